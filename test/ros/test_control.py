"""nav2's services, where nav2_msgs is installed; here stand-ins have their fields."""

from types import SimpleNamespace

import numpy as np
import pycolmap
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from ros.stand_in import StandInMap, open_stand_in
from small_maps import reference_view, write_map

from deviloc_ros.maps.provenance import ARBITRARY_SCALE
from deviloc_ros.ros.conversions import time_msg
from deviloc_ros.ros.node import DevilocNode
from deviloc_ros.ros.pipeline import open_localizers
from deviloc_ros.status import Status
from deviloc_ros.tracking.fix import Fix
from deviloc_ros.tracking.grouping import GroupedImage
from deviloc_ros.tracking.step import Step

RESULTS = {"RESULT_SUCCESS": 0, "RESULT_INVALID_MAP_METADATA": 3}


def guess(frame: str = "map", time_ns: int = 0) -> PoseWithCovarianceStamped:
    msg = PoseWithCovarianceStamped()
    msg.header.frame_id, msg.header.stamp = frame, time_msg(time_ns)
    msg.pose.pose.orientation.w = 1.0
    return msg


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


def test_a_map_that_was_replaced_in_its_place_is_loaded_and_the_same_one_changes_nothing(node, monkeypatch):
    follower = node._session._follower
    assert load(node, "/maps/a") == RESULTS["RESULT_SUCCESS"]
    first = follower.localizer
    assert load(node, "/maps/a") == RESULTS["RESULT_SUCCESS"] and follower.localizer is first
    monkeypatch.setattr(StandInMap, "identity", "fedcba9876543210")
    assert load(node, "/maps/a") == RESULTS["RESULT_SUCCESS"] and follower.localizer is not first
    assert node._session.about["map_id"] == "fedcba9876543210"


@pytest.mark.parametrize("error", [RuntimeError("no such device"), OSError("name too long"), AssertionError()])
def test_whatever_is_wrong_with_a_new_map_the_old_one_stays(node, monkeypatch, error):
    def fail(parameters):
        raise error

    monkeypatch.setattr(node, "_open_maps", fail)
    (result,) = node.set_parameters([Parameter("map_path", value="elsewhere")])
    assert not result.successful and result.reason == (str(error) or "AssertionError")
    assert node._session.about["map"] == "stand-in" and node.get_parameter("map_path").value == ""


@pytest.mark.parametrize("given", ["drawn.map", "."])
def test_no_robot_is_driven_in_a_map_without_metres(ros, node, tmp_path, monkeypatch, capfd, given):
    """Not at the start, and not by ~/load_map: a map, or one of a folder of them."""
    for name, notes in (("drawn.map", {"scale": ARBITRARY_SCALE}), ("measured.map", {})):
        write_map(tmp_path / name, [reference_view(0)], notes)
    monkeypatch.setattr(node, "_open_maps", open_localizers)
    path = str(tmp_path / given)
    assert load(node, path) == RESULTS["RESULT_INVALID_MAP_METADATA"]
    assert node._session.about["map"] == "stand-in"
    other = DevilocNode(parameter_overrides=[Parameter("map_path", value=path)])
    try:
        assert other.trigger_configure() == TransitionCallbackReturn.FAILURE
    finally:
        other.destroy_node()
    refused, failed = (line for line in capfd.readouterr().err.splitlines() if "its unit is arbitrary" in line)
    assert "map not loaded" in refused and "on_configure failed" in failed
    for line in (refused, failed):
        assert "drawn.map: " in line and "measured.map" not in line
        assert "map align" in line and "--known-distance" in line


def test_set_initial_pose_is_an_initialpose(node):
    session = node._session
    for frame, is_taken in (("odom", False), ("map", True)):
        session._control._on_set_initial_pose(SimpleNamespace(pose=guess(frame)), None)
        expected = session._follower._maps.shown.tracker.expected_fix(node.get_clock().now().nanoseconds, None)
        assert (expected is not None) == is_taken


@pytest.mark.parametrize("age_s", [-3600, 40, 3600])
def test_an_initial_pose_of_another_time_is_refused_and_the_robot_stays_where_it_is(node, age_s):
    session, now_ns = node._session, node.get_clock().now().nanoseconds
    session._control._on_initial_pose(guess(time_ns=now_ns))
    epoch = session._follower._maps.shown.tracker.epoch
    session._control._on_initial_pose(guess(time_ns=now_ns - age_s * 10**9))
    assert session._follower._maps.shown.tracker.epoch == epoch


def test_an_initial_pose_of_no_time_waits_for_no_clock(node):
    """It would count as one of 1970 as soon as there is time, and keep the saved pose from being used."""
    session = node._session
    node.set_parameters([Parameter("use_sim_time", value=True)])
    epoch = session._follower._maps.shown.tracker.epoch
    session._control._on_initial_pose(guess())
    assert session._follower._maps.shown.tracker.epoch == epoch


def test_a_new_diagnostics_period_holds_from_the_next_configuration_on(node):
    node.trigger_cleanup()
    (result,) = node.set_parameters([Parameter("diagnostics_period_s", value=30.0)])
    assert result.successful
    node.trigger_configure()
    assert node._report_timer.timer_period_ns == 30 * 10**9
    assert node._report_timer.time_until_next_call() > 20 * 10**9  # not only after the old period


@pytest.mark.parametrize("is_enabled", [True, False])
def test_a_pose_that_is_kept_back_answers_no_trigger(node, monkeypatch, is_enabled):
    session, answers = node._session, []
    accepted = Step(5, Status.ACCEPTED, fix=Fix(5, pycolmap.Rigid3d(), np.eye(6)))
    monkeypatch.setattr(session._pipeline, "follow", lambda images: accepted)
    monkeypatch.setattr(session._triggers, "answer", answers.append)
    session._control.enabled, session._pose_awaits_clock = is_enabled, False
    session._on_images(session._pipeline.read([GroupedImage("", 5, 5, b"")]))
    assert answers == ([""] if is_enabled else [])
