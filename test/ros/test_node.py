"""The node as a process of its own, over DDS, with a stand-in for the localizer."""

import numpy as np
import pycolmap
import pytest
from ros_helpers import FASTDDS_PROFILES, ROOT, free_domain_id, python_process

pytest.importorskip("rclpy")

import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros.robot import BASE_FROM_CAM, ODOM_FROM_BASE, Robot, pose_time_ns
from ros.stand_in import BLACK, WHITE, cam_from_map
from sensor_msgs.msg import Image, PointCloud2
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker

from deviloc_ros.ros.conversions import rigid_from_msg

pytestmark = pytest.mark.ros

STAND_IN = str(ROOT / "test" / "ros" / "stand_in.py")


@pytest.fixture(scope="module")
def robot():
    """One node for all tests of this file: starting it takes seconds."""
    with pytest.MonkeyPatch.context() as environment, free_domain_id() as domain_id:
        environment.setenv("ROS_DOMAIN_ID", str(domain_id))
        environment.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        environment.setenv("FASTDDS_DEFAULT_PROFILES_FILE", str(FASTDDS_PROFILES))
        rclpy.init()
        robot = Robot()
        with python_process(STAND_IN, "--ros-args", "-p", "diagnostics_period_s:=0.2"):
            yield robot
        robot.close()
        rclpy.try_shutdown()


@pytest.fixture(autouse=True)
def fresh(robot):
    """No test sees what another left."""
    robot.forget()
    robot.transforms.clear()


def expected_base(brightness: int) -> pycolmap.Rigid3d:
    return cam_from_map(brightness).inverse() * BASE_FROM_CAM.inverse()


def same(a: pycolmap.Rigid3d, b: pycolmap.Rigid3d) -> bool:
    return bool(np.allclose(a.matrix(), b.matrix(), atol=1e-6))


def pending_trigger(robot):
    """The answer of a call that waits for an image, without end."""
    assert robot.set_parameters(trigger_timeout_s=600.0) == ""
    client = robot.create_client(Trigger, "/deviloc/trigger_localization")
    robot.until(client.service_is_ready)
    answer = client.call_async(Trigger.Request())
    robot.for_a_while(0.3)
    return answer


def test_it_starts_by_itself(robot):
    assert robot.state() == "active"


def test_the_pose_is_that_of_the_robot_at_the_image_s_stamp(robot):
    pose = robot.localized(50)
    robot.see_until(lambda: robot.plain_poses)
    sent_ns = robot.send_image(50)
    robot.until(lambda: pose_time_ns(robot.poses[-1]) == sent_ns)
    assert pose.header.frame_id == robot.plain_poses[-1].header.frame_id == "map"
    assert same(rigid_from_msg(pose.pose.pose), expected_base(50))
    assert same(rigid_from_msg(robot.plain_poses[-1].pose), expected_base(50))
    assert np.linalg.eigvalsh(np.reshape(pose.pose.covariance, (6, 6)))[0] > 0
    robot.until(lambda: robot.status["state"] == "localized")
    assert robot.status["level"] == "0" and robot.status["map_id"] == "0123456789abcdef"


def test_the_map_and_the_last_image_are_shown_to_who_looks(robot):
    kept = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    seen: dict[str, object] = {}
    topics = {
        "keyframes": (Marker, kept),
        "landmarks": (PointCloud2, kept),
        "candidates": (Marker, 1),
        "matches": (Image, 1),
    }
    subscriptions = [
        robot.create_subscription(kind, f"/deviloc/{name}", lambda msg, name=name: seen.update({name: msg}), qos)
        for name, (kind, qos) in topics.items()
    ]
    robot.see_until(lambda: set(seen) == set(topics))
    assert len(seen["keyframes"].points) == 16 and seen["keyframes"].header.frame_id == "map"
    assert seen["landmarks"].width == 4 and len(seen["candidates"].points) == 16
    assert (seen["matches"].width, seen["matches"].height) == (128, 48)
    for subscription in subscriptions:
        robot.destroy_subscription(subscription)


def test_another_map_is_loaded_while_it_runs(robot):
    robot.localized(50)
    assert "broken: not a map" in robot.set_parameters(map_path="broken")
    robot.until(lambda: robot.status["state"] == "localized" or (robot.send_image(50) and False))
    assert robot.set_parameters(map_path="elsewhere") == ""
    robot.until(lambda: robot.status["map"] == "elsewhere" and robot.status["state"] == "unlocalized")
    robot.localized(50)
    assert robot.set_parameters(map_path="") == ""


def test_told_to_forget_it_does(robot):
    robot.localized(50)
    robot.until(lambda: robot.status["state"] == "localized")
    robot.forget()
    robot.until(lambda: robot.status["state"] == "unlocalized")
    robot.transforms.clear()
    robot.for_a_while(0.3)
    assert len(robot.transforms) <= 1


def test_the_path_is_what_was_published(robot):
    robot.localized(50)
    robot.paths.clear()
    robot.see_until(lambda: robot.paths and len(robot.paths[-1].poses) >= 3)
    stamps_ns = [pose_time_ns(pose) for pose in robot.paths[-1].poses]
    assert stamps_ns == sorted(stamps_ns) and robot.paths[-1].header.frame_id == "map"


def test_map_from_odom_is_dated_ahead_and_sent_on_when_no_image_comes(robot):
    robot.localized(50)
    robot.transforms.clear()
    robot.until(lambda: len(robot.transforms) >= 30)
    received_ns = np.array([time_ns for time_ns, _ in robot.transforms])
    for _, msg in robot.transforms:
        assert msg.child_frame_id == "odom"
        assert same(rigid_from_msg(msg.transform), expected_base(50) * ODOM_FROM_BASE.inverse())
    ahead_s = (pose_time_ns(robot.transforms[-1][1]) - robot.now_ns()) * 1e-9
    assert 0.0 < ahead_s <= 0.2
    assert 0.03 < np.median(np.diff(received_ns)) * 1e-9 < 0.07


def test_a_lost_robot_publishes_no_pose_but_the_reason(robot):
    robot.localized(50)
    robot.see_until(lambda: robot.status.get("reason") == "no_features", BLACK)
    robot.poses.clear()
    robot.see_until(lambda: int(robot.status["latency_ms.stamp_to_result"] != ""), BLACK)
    assert not robot.poses and "too few keypoints" in robot.status["detail"]


def test_an_error_inside_is_reported_and_the_next_image_localized(robot):
    robot.see_until(lambda: robot.status.get("reason") == "internal_error", WHITE)
    assert "white" in robot.status["detail"]
    robot.localized(50)


def test_each_image_is_told_of_once(robot):
    robot.outcomes.clear()
    robot.see_until(lambda: "no_features" in dict(robot.outcomes).values(), BLACK)
    robot.see_until(lambda: "internal_error" in dict(robot.outcomes).values(), WHITE)
    robot.localized(50)
    robot.until(lambda: "accepted" in {reason for _, reason in robot.outcomes})
    stamps = [stamp for stamp, _ in robot.outcomes]
    assert len(set(stamps)) == len(stamps) and "0.000000000" not in stamps


def test_images_that_nobody_looks_at_are_told_of_too(robot):
    robot.enable(False)
    robot.outcomes.clear()
    robot.see_until(lambda: "disabled" in dict(robot.outcomes).values())
    robot.enable(True)


def test_a_camera_info_that_changes_is_taken_over(robot):
    robot.localized(50)
    robot.send_info(size=(32, 24))
    robot.until(lambda: robot.send_image(50) and robot.status.get("reason") == "bad_image")
    robot.localized(50)


def test_an_image_of_an_unknown_camera_gives_no_pose(robot):
    robot.see_until(lambda: robot.status.get("reason") == "no_extrinsic", frame="elsewhere")
    robot.until(lambda: int(robot.status.get("tf_failures.base_link <- elsewhere", 0)) > 0)
    robot.until(lambda: robot.send_image(50, frame="nowhere") and robot.status["reason"] == "no_camera_info")


def test_odometry_that_comes_late_is_waited_for(robot):
    robot.localized(50)
    sent_ns = robot.send_image(50)
    robot.for_a_while(0.08)
    robot.send_odometry(sent_ns + 1_000_000)
    robot.until(lambda: pose_time_ns(robot.poses[-1]) == sent_ns)
    robot.until(lambda: float(robot.status.get("latency_ms.odometry", 0)) > 50)
    assert robot.status["message"] == "localized"


def test_without_odometry_at_the_stamp_there_is_a_pose_and_a_warning(robot):
    robot.localized(50)
    sent_ns = robot.send_image(50, robot.now_ns() + 500_000_000)  # no odometry reaches that far
    robot.until(lambda: pose_time_ns(robot.poses[-1]) == sent_ns)
    robot.until(lambda: "map->odom is not updated" in robot.status["message"])
    assert int(robot.status["tf_failures.odom <- base_link"]) > 0


@pytest.mark.parametrize(("age_s", "reason"), [(5.0, "too_old"), (-5.0, "from_future"), (None, "no_stamp")])
def test_images_of_a_wrong_time_are_dropped_and_counted(robot, age_s, reason):
    time_ns = 0 if age_s is None else robot.now_ns() - int(age_s * 1e9)
    robot.until(lambda: robot.send_image(50, time_ns) == time_ns and robot.status.get("reason") == reason)
    robot.until(lambda: int(robot.status.get(f"dropped.{reason}", 0)) > 0)


def test_disabled_it_is_silent(robot):
    robot.localized(50)
    robot.enable(False)
    robot.until(lambda: robot.status["level"] == "1" and "disabled" in robot.status["message"])
    robot.poses.clear()
    robot.transforms.clear()
    robot.see_until(lambda: int(robot.status.get("dropped.disabled", 0)) >= 3)
    assert not robot.poses and not robot.transforms
    robot.enable(True)
    robot.localized(50)


def test_one_image_when_asked(robot):
    assert robot.set_parameters(continuous=False) == ""
    robot.poses.clear()
    before = int(robot.status.get("dropped.not_asked", 0))
    robot.see_until(lambda: int(robot.status.get("dropped.not_asked", 0)) >= before + 3)
    assert not robot.poses
    client = robot.create_client(Trigger, "/deviloc/trigger_localization")
    robot.until(client.service_is_ready)
    answer = client.call_async(Trigger.Request())
    robot.see_until(answer.done)
    assert answer.result().success and robot.poses
    assert robot.set_parameters(trigger_timeout_s=0.3) == ""
    in_vain = robot.trigger()
    assert not in_vain.success and in_vain.message == "not localized in time: no image on /image"
    robot.enable(False)
    assert robot.trigger().message == "not localized in time: disabled by ~/enable"
    robot.enable(True)
    assert robot.set_parameters(continuous=True, trigger_timeout_s=5.0) == ""


def test_a_call_that_waits_is_answered_when_the_node_is_stopped(robot):
    answer = pending_trigger(robot)
    for state in ("deactivate", "cleanup"):
        assert robot.change_state(state)
    robot.until(answer.done)
    assert not answer.result().success and "the node " in answer.result().message
    assert robot.trigger().message == "the node is unconfigured"
    assert robot.set_parameters(trigger_timeout_s=5.0) == ""
    for state in ("configure", "activate"):
        assert robot.change_state(state)
    robot.localized(50)


def test_no_more_images_a_second_than_wanted(robot):
    robot.localized(50)
    assert robot.set_parameters(max_rate_hz=2.0) == ""
    processed, received = int(robot.status["images_processed"]), int(robot.status["images_received"])
    robot.see_until(lambda: int(robot.status["images_received"]) >= received + 10)
    assert int(robot.status["images_processed"]) <= processed + 5
    assert int(robot.status["dropped.rate_limited"]) >= 5
    assert robot.set_parameters(max_rate_hz=0.0) == ""


def test_an_initial_pose_spares_the_confirmation(robot):
    robot.localized(50)
    robot.send_initial_pose(expected_base(50))
    robot.until(lambda: robot.status["state"] == "unlocalized")
    robot.poses.clear()
    sent_ns = robot.send_image(55)  # half a metre off
    robot.until(lambda: robot.poses)
    assert pose_time_ns(robot.poses[-1]) == sent_ns


def test_an_initial_pose_in_another_frame_is_refused(robot):
    robot.localized(50)
    robot.send_initial_pose(expected_base(50), frame="odom")
    robot.for_a_while(0.5)
    assert robot.status["state"] != "unlocalized"


def test_a_far_jump_is_confirmed_before_it_is_published(robot):
    robot.localized(50)
    robot.poses.clear()
    robot.see_until(lambda: robot.poses, 200)
    assert all(same(rigid_from_msg(pose.pose.pose), expected_base(200)) for pose in robot.poses)


def test_bad_values_are_refused_with_the_name(robot):
    assert "min_inliers" in robot.set_parameters(pose__min_inliers=1)
    assert "base_frame can be changed only while the node is unconfigured" in robot.set_parameters(base_frame="base")
    assert robot.set_parameters(pose__min_inliers=31) == ""


def test_inactive_it_is_silent_and_comes_back(robot):
    robot.localized(50)
    assert robot.change_state("deactivate")
    robot.until(lambda: robot.status["message"] == "inactive")
    robot.until(lambda: robot.count_subscribers("/image") == 0)
    robot.transforms.clear()
    robot.for_a_while(0.3)
    assert not robot.transforms
    assert robot.change_state("activate")
    robot.localized(50)


def test_a_failed_configuration_leaves_it_unconfigured_and_a_better_one_works(robot):
    for transition in ("deactivate", "cleanup"):
        assert robot.change_state(transition)
    robot.until(lambda: robot.status["message"] == "unconfigured")
    assert robot.set_parameters(map_path="broken") == ""
    assert not robot.change_state("configure")
    assert robot.state() == "unconfigured"
    assert robot.set_parameters(map_path="") == ""
    assert robot.change_state("configure") and robot.change_state("activate")
    robot.localized(50)


def test_compressed_images_and_the_pose_itself_in_tf(robot):
    robot.reconfigure(image_transport="compressed", tf_mode="map_to_base")
    robot.localized(50, compressed=True)
    robot.until(lambda: robot.transforms)
    _, msg = robot.transforms[-1]
    assert msg.child_frame_id == "base_link" and same(rigid_from_msg(msg.transform), expected_base(50))
    assert pose_time_ns(msg) in [pose_time_ns(pose) for pose in robot.poses]
    robot.reconfigure(image_transport="raw", tf_mode="map_to_odom")


def test_shut_down_it_stays_reachable_and_does_nothing(robot):
    """The last test: there is no way back."""
    robot.localized(50)
    answer = pending_trigger(robot)
    assert robot.change_state("shutdown")
    robot.until(answer.done)
    assert robot.state() == "finalized"
    robot.until(lambda: robot.status["message"] == "finalized")
