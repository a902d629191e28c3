"""What the doctor finds on a robot."""

import threading
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.executors import SingleThreadedExecutor
from ros.robot import BASE_FROM_CAM, Robot
from sensor_msgs.msg import CameraInfo, Image
from std_srvs.srv import Trigger

from benchmarks.node.live_robot import make_info_msg
from deviloc_ros.camera import Camera
from deviloc_ros.doctor.checks import Level
from deviloc_ros.ros.conversions import transform_msg
from deviloc_ros.ros.tools.doctor import (
    Questions,
    TopicTraffic,
    examine_info,
    examine_robot,
    examine_topic,
    examine_transforms,
)
from deviloc_ros.ros.tools.running_node import RunningNode, find_running_node, list_localizers, pair_subscriptions

ASKED = Questions()
CAMERA = Camera("PINHOLE", 64, 48, (60.0, 60.0, 31.5, 23.5))


def test_a_topic_that_nobody_fills_is_a_fail():
    assert examine_topic(TopicTraffic("image")).level is Level.FAIL
    assert examine_topic(TopicTraffic("image", publishers=["camera (best_effort, depth 5)"])).level is Level.FAIL
    heard = TopicTraffic("image", publishers=["camera (best_effort, depth 5)"], count=30, seconds=3.0)
    assert examine_topic(heard).level is Level.OK and "10.0 Hz" in examine_topic(heard).what


def test_a_calibration_must_be_usable_and_of_the_image():
    image = Image(width=64, height=48, encoding="mono8", step=64, data=bytes(64 * 48))
    image.header.frame_id = "camera"
    images = TopicTraffic("image", last=image)

    def level(info: CameraInfo | None) -> Level:
        return examine_info(TopicTraffic("camera_info", last=info), images)[1].level

    assert level(make_info_msg(CAMERA, "camera")) is Level.OK
    assert level(make_info_msg(CAMERA, "other")) is Level.FAIL
    assert level(make_info_msg(Camera("PINHOLE", 640, 480, (600.0, 600.0, 319.5, 239.5)), "camera")) is Level.FAIL
    assert level(CameraInfo(width=64, height=48)) is Level.FAIL and level(None) is Level.FAIL


@pytest.mark.parametrize(
    ("reason", "level"),
    [(None, Level.FAIL), ("no_extrinsic", Level.FAIL), ("accepted", Level.OK), ("few_inliers", Level.OK)],
)
def test_a_camera_that_is_not_in_tf_is_a_fail_unless_the_localizer_knows_its_place(reason, level):
    status = DiagnosticStatus(values=[KeyValue(key="reason", value=reason)]) if reason else None
    robot = SimpleNamespace(
        asked=ASKED, status=status, explain_missing_transform=lambda target, source: "unknown frame"
    )
    image = Image()
    image.header.frame_id = "camera"
    camera, odometry, _ = examine_transforms(robot, [image])
    assert camera.level is level and odometry.level is Level.WARN


@pytest.mark.ros
def test_a_robot_is_examined_over_dds(ros_domain):
    import rclpy

    context = rclpy.Context()
    rclpy.init(context=context)
    robot = Robot(context=context)
    robot.static.sendTransform(transform_msg(BASE_FROM_CAM, 0, "base_link", "camera"))
    ended = threading.Event()

    def drive() -> None:
        while not ended.is_set():
            robot.send_info()
            robot.send_odometry()
            robot.send_image(50)
            ended.wait(0.1)

    driver = threading.Thread(target=drive)
    driver.start()
    try:
        findings, cameras = examine_robot({"seconds": 4.0})
    finally:
        ended.set()
        driver.join()
        robot.close()
        rclpy.try_shutdown(context=context)
    fails = [finding.what for finding in findings if finding.level is Level.FAIL]
    said = "\n".join(map(str, findings))
    assert not fails and len(cameras) == 1
    assert "transform base_link <- camera" in said and "transform odom <- base_link" in said
    assert "no localizer reports" in said and "no transform map <- base_link" in said


@pytest.mark.ros
def test_topics_and_frames_are_those_of_the_node_that_runs(ros):
    import rclpy

    rules = ["--ros-args", "-r", "image:=/front/color", "-r", "__ns:=/robot", "-p", "use_sim_time:=true"]
    node = rclpy.create_node("finder", cli_args=rules)
    for name, value in {"map_frame": "floor", "odom_frame": "", "base_frame": "robot/base"}.items():
        node.declare_parameter(name, value)
    node.create_service(Trigger, "~/trigger_localization", lambda request, response: response)
    for kind, topic in ((Image, "image"), (Image, "mask"), (CameraInfo, "/front/camera_info"), (Image, "/rear/image")):
        node.create_subscription(kind, topic, print, 1)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    spinning = threading.Thread(target=executor.spin)
    spinning.start()
    doctor = rclpy.create_node("doctor")
    found = find_running_node(doctor, 20.0)
    executor.shutdown()
    spinning.join()
    doctor.destroy_node()
    node.destroy_node()
    frames = {"map_frame": "floor", "odom_frame": "", "base_frame": "robot/base"}
    assert found == RunningNode("/robot/finder", (("/front/color", "/front/camera_info"),), frames, sim_time=True)
    assert Questions(**found.describe()).odom_frame == ""


def test_a_node_whose_services_are_known_before_it_is_does_not_count_yet():
    services = [("/robot/finder/trigger_localization", ["std_srvs/srv/Trigger"]), ("/other", [])]
    known = [("doctor", "/")]
    asker = SimpleNamespace(
        get_service_names_and_types=lambda: services, get_node_names_and_namespaces=lambda: iter(known)
    )
    assert list_localizers(asker) == []
    known.append(("finder", "/robot"))
    assert list_localizers(asker) == [("finder", "/robot")]


@pytest.mark.parametrize(
    ("images", "infos", "cameras"),
    [
        ([], ["/camera_info"], ()),
        (["/image"], ["/camera_info"], (("/image", "/camera_info"),)),
        (["/a/image/compressed"], ["/a/camera_info"], (("/a/image", "/a/camera_info"),)),
        (["/b/i", "/a/i"], ["/a/c", "/b/c"], (("/a/i", "/a/c"), ("/b/i", "/b/c"))),
        (["/a/i", "/people/mask"], ["/a/c"], (("/a/i", "/a/c"),)),
    ],
)
def test_a_calibration_goes_with_the_images_beside_it(images, infos, cameras):
    def kind_of(topic: str) -> str:
        return "sensor_msgs/msg/CompressedImage" if topic.endswith("compressed") else "sensor_msgs/msg/Image"

    heard = [(topic, [kind_of(topic)]) for topic in images]
    heard += [(topic, ["sensor_msgs/msg/CameraInfo"]) for topic in infos]
    assert pair_subscriptions(heard) == cameras


@pytest.mark.ros
def test_each_camera_of_a_rig_is_examined(ros_domain):
    cameras = (("front/image", "front/camera_info"), ("left/image", "left/camera_info"))
    findings, found = examine_robot({"cameras": cameras, "seconds": 0.5})
    silent = [finding.what for finding in findings if "nobody publishes it" in finding.what]
    assert [what.partition(":")[0] for what in silent] == [topic for camera in cameras for topic in camera]
    assert found == ()
