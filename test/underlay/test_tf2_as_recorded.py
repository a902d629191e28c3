"""The stand-in answers as the real tf2_ros does, whose answers were written down on a machine that has it (Kilted).

Each row: transforms in the order of arrival, a question, and the answer. Where tf2_ros is the real one, the same table
is asked of it.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest
from ros_helpers import spin_until

pytest.importorskip("rclpy")

import rclpy
from geometry_msgs.msg import TransformStamped
from rclpy.action import ActionServer
from rclpy.clock import ClockType
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.time import Time
from tf2_msgs.action import LookupTransform
from tf2_msgs.msg import TF2Error
from tf2_msgs.srv import FrameGraph
from tf2_ros import (
    Buffer,
    BufferClient,
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TimeoutException,
    TransformException,
)

LATEST = 0.0


class Sent(NamedTuple):
    """A transform whose only content is a shift along x."""

    parent: str
    child: str
    x: float
    time_s: float = 0.0
    static: bool = False
    quaternion_length: float = 1.0


def stamped(sent: Sent) -> TransformStamped:
    msg = TransformStamped(child_frame_id=sent.child)
    msg.header.frame_id, msg.header.stamp = sent.parent, Time(nanoseconds=round(sent.time_s * 1e9)).to_msg()
    msg.transform.translation.x, msg.transform.rotation.w = sent.x, sent.quaternion_length
    return msg


def filled(sent: list[Sent], cache_s: float = 10.0) -> Buffer:
    buffer = Buffer(cache_time=Duration(seconds=cache_s))
    for each in sent:
        put = buffer.set_transform_static if each.static else buffer.set_transform
        assert put(stamped(each), "test") is None
    return buffer


RING = [Sent("a", "b", 1.0, 1.0), Sent("b", "c", 2.0, 1.0), Sent("c", "a", 4.0, 1.0)]
TWO_PARENTS = [Sent("odom", "base", 1.0, 1.0), Sent("wheel", "base", 2.0, 2.0), Sent("wheel", "base", 4.0, 3.0)]
SECONDS = [Sent("odom", "base", time_s, time_s) for time_s in (1.0, 2.0, 3.0, 4.0, 5.0)]
ANSWERS = {
    "the newer of two at one time counts": (
        [Sent("a", "b", 1.0, 1.0), Sent("a", "b", 2.0, 1.0)],
        ("a", "b", 1.0),
        2.0,
    ),
    "also between others": (
        [Sent("a", "b", 0.0, 1.0), Sent("a", "b", 9.0, 3.0), Sent("a", "b", 1.0, 2.0), Sent("a", "b", 5.0, 2.0)],
        ("a", "b", 2.0),
        5.0,
    ),
    "a frame in itself needs not be known": ([], ("ghost", "ghost", LATEST), 0.0),
    "not even to have a good name": ([], ("/ghost", "/ghost", 1.0), 0.0),
    "an unknown frame": ([Sent("a", "b", 1.0, 1.0)], ("a", "ghost", LATEST), LookupException),
    "a leading slash": ([Sent("a", "b", 1.0, 1.0)], ("a", "/b", LATEST), InvalidArgumentException),
    "a leading slash is stripped of what arrives": ([Sent("/a", "/b", 1.0, 1.0)], ("a", "b", 1.0), 1.0),
    "a second parent: the first held before": (TWO_PARENTS, ("odom", "base", 1.0), 1.0),
    "and until the second came": (TWO_PARENTS, ("odom", "base", 1.5), 1.0),
    "from then on it is the second's": (TWO_PARENTS, ("odom", "base", 2.5), ConnectivityException),
    "there it interpolates": (TWO_PARENTS, ("wheel", "base", 2.5), 3.0),
    "the latest is the second's": (TWO_PARENTS, ("odom", "base", LATEST), ConnectivityException),
    "a frame off a ring": ([*RING, Sent("x", "y", 1.0, 1.0)], ("x", "a", 1.0), LookupException),
    "a frame off a ring, the latest": ([*RING, Sent("x", "y", 1.0, 1.0)], ("x", "a", LATEST), LookupException),
    "on a ring the way up from the source": (RING, ("a", "c", 1.0), 3.0),
    "and not the shorter one down": (RING, ("c", "b", 1.0), 5.0),
    "a static mount that moves then": (
        [Sent("a", "b", 1.0, 0.0, static=True), Sent("a", "b", 2.0, 5.0)],
        ("a", "b", 1.0),
        ExtrapolationException,
    ),
    "a moving mount that is static then": (
        [Sent("a", "b", 2.0, 5.0), Sent("a", "b", 1.0, 0.0, static=True)],
        ("a", "b", 1.0),
        1.0,
    ),
    "of static ones the last": (
        [Sent("a", "b", 1.0, 0.0, static=True), Sent("c", "b", 2.0, 0.0, static=True)],
        ("c", "b", 7.0),
        2.0,
    ),
    "a quaternion of half the length is refused": (
        [Sent("a", "b", 1.0, 1.0, quaternion_length=0.5)],
        ("a", "b", 1.0),
        LookupException,
    ),
    "one within the tolerance is scaled": ([Sent("a", "b", 1.0, 1.0, quaternion_length=1.004)], ("a", "b", 1.0), 1.0),
    "beyond the samples": (SECONDS, ("odom", "base", 5.5), ExtrapolationException),
    "one sample, another time": ([Sent("a", "b", 1.0, 1.0)], ("a", "b", 1.5), ExtrapolationException),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_answer_is_the_recorded_one(name):
    sent, (target, source, time_s), expected = ANSWERS[name]
    buffer, time = filled(sent), Time(nanoseconds=round(time_s * 1e9))
    possible = buffer.can_transform(target, source, time)
    if isinstance(expected, float):
        answer = buffer.lookup_transform(target, source, time)
        assert answer.transform.translation.x == pytest.approx(expected)
        assert possible == 1 and type(possible) is int
    else:
        with pytest.raises(expected):
            buffer.lookup_transform(target, source, time)
        assert possible == 0


def test_a_loop_is_named():
    with pytest.raises(LookupException, match=r"contains a loop.*\n.*Frame b exists with parent a"):
        filled([*RING, Sent("x", "y", 1.0, 1.0)]).lookup_transform("x", "a", Time(nanoseconds=10**9))


def test_the_cache_keeps_one_sample_more_than_asked():
    buffer = filled(SECONDS, cache_s=2.0)
    assert buffer.can_transform("odom", "base", Time(nanoseconds=2 * 10**9))
    assert not buffer.can_transform("odom", "base", Time(nanoseconds=10**9))


def test_the_latest_common_time_is_of_the_systems_clock():
    common = filled(SECONDS).get_latest_common_time("odom", "base")
    assert (common.nanoseconds, common.clock_type) == (5 * 10**9, ClockType.SYSTEM_TIME)


def test_frames_are_listed():
    buffer = filled([*SECONDS, Sent("base", "cam", 1.0, static=True)])
    assert buffer.all_frames_as_string().splitlines() == [
        "Frame base exists with parent odom.",
        "Frame cam exists with parent base.",
    ]
    assert "base: \n  parent: 'odom'\n  broadcaster: 'test'\n  rate: 1.250" in buffer.all_frames_as_yaml()
    assert filled([]).all_frames_as_yaml() == "[]"


@pytest.mark.ros
def test_the_service_lists_frames_as_the_buffer_does(ros_node):
    buffer = Buffer(node=ros_node)
    buffer.set_transform(stamped(Sent("a", "b", 1.0, 1.0)), "test")
    client = ros_node.create_client(FrameGraph, "tf2_frames")
    spin_until(ros_node, client.service_is_ready)
    future = client.call_async(FrameGraph.Request())
    spin_until(ros_node, future.done)
    assert future.result().frame_yaml == buffer.all_frames_as_yaml() and "parent: 'a'" in future.result().frame_yaml


ERRORS = {
    LookupException: TF2Error.LOOKUP_ERROR,
    ConnectivityException: TF2Error.CONNECTIVITY_ERROR,
    ExtrapolationException: TF2Error.EXTRAPOLATION_ERROR,
    InvalidArgumentException: TF2Error.INVALID_ARGUMENT_ERROR,
}


class Server:
    """A buffer server, as `ros2 run tf2_ros buffer_server`; `buffer` is the one that is asked, `hangs` answers none."""

    def __init__(self, node: Node):
        self.buffer, self.let_go = Buffer(), threading.Event()
        self.let_go.set()
        self.action = ActionServer(node, LookupTransform, "tf2_buffer_server", self.answer)

    def answer(self, handle) -> LookupTransform.Result:
        self.let_go.wait(20)
        goal, result = handle.request, LookupTransform.Result()
        time, target_time = Time.from_msg(goal.source_time), Time.from_msg(goal.target_time)
        try:
            if goal.advanced:
                ends = (goal.target_frame, target_time, goal.source_frame, time)
                result.transform = self.buffer.lookup_transform_full(*ends, goal.fixed_frame)
            else:
                result.transform = self.buffer.lookup_transform(goal.target_frame, goal.source_frame, time)
        except TransformException as error:
            result.error.error, result.error.error_string = ERRORS[type(error)], str(error)
        handle.succeed()
        return result


@contextmanager
def spun(node: Node) -> Iterator[None]:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    yield
    executor.shutdown()
    thread.join()


@pytest.mark.ros
def test_a_client_gives_the_recorded_answers_of_a_buffer_elsewhere(ros_node):
    server_node = rclpy.create_node("buffer_server")
    server, client = Server(server_node), BufferClient(ros_node, "tf2_buffer_server")
    spin_until([ros_node, server_node], client.action_client.server_is_ready)
    with spun(ros_node), spun(server_node):
        for name, (sent, (target, source, time_s), expected) in ANSWERS.items():
            server.buffer, time = filled(sent), Time(nanoseconds=round(time_s * 1e9))
            assert client.can_transform(target, source, time) == isinstance(expected, float), name
            if isinstance(expected, float):
                answer = client.lookup_transform(target, source, time)
                assert answer.transform.translation.x == pytest.approx(expected), name
            else:
                with pytest.raises(expected):
                    client.lookup_transform(target, source, time)
        server.buffer = filled(SECONDS)
        two_apart = client.lookup_transform_full(
            "base", Time(nanoseconds=10**9), "base", Time(nanoseconds=3 * 10**9), "odom"
        )
        assert two_apart.transform.translation.x == pytest.approx(2.0)
    server.action.destroy()
    client.destroy()
    server_node.destroy_node()


@pytest.mark.ros
def test_a_server_that_is_not_there_or_does_not_answer_is_told(ros_node):
    client = BufferClient(ros_node, "tf2_buffer_server", timeout_padding=Duration(nanoseconds=1))
    with pytest.raises(TimeoutException, match="not available"):
        client.lookup_transform("a", "b", Time())
    server_node = rclpy.create_node("buffer_server")
    server = Server(server_node)
    spin_until([ros_node, server_node], client.action_client.server_is_ready)
    server.let_go.clear()
    with spun(ros_node), spun(server_node):
        with pytest.raises(TimeoutException, match="did not come back"):
            client.lookup_transform("a", "b", Time())
        server.let_go.set()
    server.action.destroy()
    client.destroy()
    server_node.destroy_node()
