"""nav2's services, where nav2_msgs is installed; here stand-ins have their fields."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.parameter import Parameter
from ros.stand_in import open_stand_in

from deviloc_ros.ros.node import DevilocNode

RESULTS = {"RESULT_SUCCESS": 0, "RESULT_INVALID_MAP_METADATA": 3}


@pytest.fixture
def node(ros):
    node = DevilocNode(open_stand_in)
    node.trigger_configure()
    yield node
    node.close()
    node.destroy_node()


def load(node: DevilocNode, url: str) -> int:
    return node._on_load_map(SimpleNamespace(map_url=url), SimpleNamespace(result=None, **RESULTS)).result


def test_load_map_is_a_change_of_map_path(node):
    assert load(node, "file:///maps/a") == RESULTS["RESULT_SUCCESS"]
    assert node._session.about["map"] == "/maps/a" and node.get_parameter("map_path").value == "/maps/a"
    assert load(node, "broken") == RESULTS["RESULT_INVALID_MAP_METADATA"]
    assert node._session.about["map"] == "/maps/a" and node.get_parameter("map_path").value == "/maps/a"


@pytest.mark.parametrize("error", [RuntimeError("no such device"), OSError("name too long"), AssertionError()])
def test_whatever_is_wrong_with_a_new_map_the_old_one_stays(node, monkeypatch, error):
    def fail(parameters):
        raise error

    monkeypatch.setattr(node, "_open_localizer", fail)
    (result,) = node.set_parameters([Parameter("map_path", value="elsewhere")])
    assert not result.successful and result.reason == (str(error) or "AssertionError")
    assert node._session.about["map"] == "stand-in" and node.get_parameter("map_path").value == ""


def test_set_initial_pose_is_an_initialpose(node):
    pose = PoseWithCovarianceStamped()
    pose.pose.pose.orientation.w = 1.0
    session = node._session
    for frame, is_taken in (("odom", False), ("map", True)):
        pose.header.frame_id = frame
        session._control._on_set_initial_pose(SimpleNamespace(pose=pose), None)
        assert (session._pipeline.tracker.expected(node.get_clock().now().nanoseconds, None) is not None) == is_taken
