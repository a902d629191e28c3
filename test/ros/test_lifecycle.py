"""What a node is configured with ends with its cleanup, however often, and its end is no fault."""

import gc
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import rclpy
from rclpy.clock import JumpHandle
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

pytest.importorskip("rclpy")

from ros.stand_in import open_stand_in

from deviloc_ros.ros.node import DevilocNode

pytestmark = pytest.mark.ros
SUCCESS = TransitionCallbackReturn.SUCCESS
CYCLE = ("configure", "activate", "deactivate", "cleanup")


@pytest.fixture
def node(ros: None) -> Iterator[DevilocNode]:
    node = DevilocNode(open_stand_in)
    yield node
    node.close()
    node.destroy_node()


def change_state(node: DevilocNode, *names: str) -> None:
    for name in names:
        assert getattr(node, f"trigger_{name}")() == SUCCESS, name


def count_entities(node: DevilocNode) -> list[int]:
    """What a node has of each kind."""
    kinds = node.publishers, node.subscriptions, node.clients, node.services, node.timers, node.guards, node.waitables
    return [len(list(kind)) for kind in kinds]


@pytest.fixture
def watched(monkeypatch) -> dict[int, object]:
    """Clocks that are watched now, by where that lies in memory which watches them: a clock knows no more of it."""
    watched: dict[int, object] = {}
    begin, end = JumpHandle.__init__, JumpHandle.unregister

    def note(handle: JumpHandle, **given: object) -> None:
        begin(handle, **given)
        watched[id(handle)] = given["clock"]

    def forget(handle: JumpHandle) -> None:
        watched.pop(id(handle), None)
        end(handle)

    monkeypatch.setattr(JumpHandle, "__init__", note)
    monkeypatch.setattr(JumpHandle, "unregister", forget)
    return watched


def watch(node: DevilocNode, watched: dict[int, object]) -> set[int]:
    """What watches a node's clock."""
    return {place for place, clock in watched.items() if clock is node.get_clock()}


def test_nothing_is_left_of_what_was_configured(watched, node):
    """A clock that went on calling what is gone would end the process when time jumps."""
    before, entities = watch(node, watched), count_entities(node)
    for _ in range(3):
        change_state(node, *CYCLE)
        gc.collect()
        assert watch(node, watched) == before
        assert count_entities(node) == entities


def test_nor_of_what_could_not_be_configured(watched, node):
    node.set_parameters([rclpy.parameter.Parameter("contribute_path", value="/dev/null/nowhere")])
    before, entities = watch(node, watched), count_entities(node)
    for _ in range(3):
        assert node.trigger_configure() != SUCCESS
        assert watch(node, watched) == before and count_entities(node) == entities


def test_threads_that_end_as_they_are_told_are_no_fault(node):
    """An image in hand may tell how the node is while it stops."""
    change_state(node, "configure", "activate")
    session, complaints = node._session, []

    def look() -> None:
        complaints.extend(thread.complaint for thread in session.health("active").threads)

    with ExitStack() as last:
        last.callback(look)
        last.push(session._running.pop_all())
        session._running = last.pop_all()
    change_state(node, "deactivate")
    assert complaints and not any(complaints)


@pytest.mark.parametrize(
    ("name", "topic"),
    [("image_topic", "a b"), ("camera_info_topic", "/tf"), ("mask_topic", "x" * 300), ("gnss_topic", "1a")],
)
def test_a_topic_that_cannot_be_listened_to_is_named_and_the_node_can_be_set_right(node, capfd, name, topic):
    usual = node.get_parameter(name)
    for value, success in ((topic, False), (usual.value, True)):
        assert node.set_parameters([Parameter(name, value=value)])[0].successful
        change_state(node, "configure")
        assert (node.trigger_activate() == SUCCESS) is success
        change_state(node, *(("deactivate", "cleanup") if success else ("cleanup",)))
    assert f"on_activate failed: topic {topic[:100]!r}"[:-1] in capfd.readouterr().err


def test_qos_of_no_topic_is_warned_of(ros, capfd):
    names = [f"qos_overrides./{name}" for name in ("image.subscription.depth", "imgae.subscription.depth")]
    node = DevilocNode(open_stand_in, parameter_overrides=[Parameter(name, value=2) for name in names])
    assert node.start()
    node.close()
    node.destroy_node()
    said = [line for line in capfd.readouterr().err.splitlines() if "qos_overrides" in line]
    assert len(said) == 1 and names[1] in said[0] and names[0] not in said[0]
