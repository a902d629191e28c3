"""The node with several cameras, over DDS, with a stand-in for the localizer."""

import numpy as np
import pycolmap
import pytest
from ros_helpers import ROOT, python_process
from worlds import rigid_of

pytest.importorskip("rclpy")

from cv_bridge import CvBridge
from rclpy.qos import qos_profile_sensor_data
from ros.robot import BASE_FROM_CAM, ODOM_FROM_BASE, pose_time_ns
from ros.stand_in import cam_from_map
from sensor_msgs.msg import CameraInfo, Image

from deviloc_ros.ros.conversions import rigid_from_msg, time_msg, transform_msg

pytestmark = pytest.mark.ros

STAND_IN = str(ROOT / "test" / "ros" / "stand_in.py")
# Each camera stands beside the front one, along its own x: by so much more it sees brighter.
BESIDE = {"front": 0, "left": 5, "back": 9}
PERIOD_NS = 100_000_000


class Rig:
    """What a robot with several cameras sends."""

    def __init__(self, robot) -> None:
        self.robot = robot
        self.images = {n: robot.create_publisher(Image, f"{n}/image", qos_profile_sensor_data) for n in BESIDE}
        self.infos = {
            n: robot.create_publisher(CameraInfo, f"{n}/camera_info", qos_profile_sensor_data) for n in BESIDE
        }
        mounts = {name: BASE_FROM_CAM * rigid_of([0, 0, 0], [more / 10, 0, 0]) for name, more in BESIDE.items()}
        robot.static.sendTransform([transform_msg(mount, 0, "base_link", name) for name, mount in mounts.items()])

    def send_image(self, name: str, brightness: int, time_ns: int, frame: str = "") -> None:
        info = CameraInfo(width=64, height=48, distortion_model="plumb_bob")
        info.k = [60.0, 0.0, 31.5, 0.0, 60.0, 23.5, 0.0, 0.0, 1.0]
        info.header.frame_id = frame or name
        self.infos[name].publish(info)
        msg = CvBridge().cv2_to_imgmsg(np.full((48, 64), brightness + BESIDE[name], np.uint8), "mono8")
        msg.header.frame_id, msg.header.stamp = frame or name, time_msg(time_ns)
        self.images[name].publish(msg)

    def send_odometry(self, start_ns: int, moved: pycolmap.Rigid3d) -> None:
        """The robot moves in the first 40 ms, and stands before and after."""
        for part, time_ns in ((0.0, -20_000_000), (0.0, 0), (1.0, 40_000_000), (1.0, 80_000_000)):
            between = pycolmap.Rigid3d.interpolate(pycolmap.Rigid3d(), moved, part)
            at = transform_msg(ODOM_FROM_BASE * between, start_ns + time_ns, "odom", "base_link")
            self.robot.moving.sendTransform(at)

    def see_until(self, condition, names=tuple(BESIDE), wrong=None, brightness: int = 50, frames=None) -> int:
        """Send what the cameras see at one time, ten times a second, until a condition holds; return the last stamp.

        wrong: how much brighter it is for a camera than its place says.
        """
        sent = []

        def send() -> None:
            time_ns = self.robot.now_ns()
            self.send_odometry(time_ns, pycolmap.Rigid3d())
            for name in names:
                more = (wrong or {}).get(name, 0)
                self.send_image(name, brightness + more, time_ns, (frames or {}).get(name, ""))
            sent.append(time_ns)
            self.robot.for_a_while(0.1)

        self.robot.until(lambda: condition() or send(), limit_s=60.0)
        return sent[-1] if sent else self.robot.now_ns()


def start_node(*parameters: str):
    given = (f"cameras:=[{', '.join(BESIDE)}]", "diagnostics_period_s:=0.2", *parameters)
    return python_process(STAND_IN, "--ros-args", *(word for p in given for word in ("-p", p)))


@pytest.fixture
def rig(robot):
    with start_node():
        yield Rig(robot)


def expected_base(brightness: float) -> pycolmap.Rigid3d:
    return cam_from_map(brightness).inverse() * BASE_FROM_CAM.inverse()


def says(robot, key: str, value: str) -> bool:
    return robot.status.get(key) == value


def nothing_is_said_of_cameras(robot) -> bool:
    """Whether it is localized and complains of none. Nodes that other tests killed may be named: DDS counts them on."""
    return robot.status["message"].startswith("localized") and "camera" not in robot.status["message"]


def test_all_cameras_give_one_pose(rig, robot):
    rig.see_until(lambda: robot.poses and all(says(robot, f"camera.{name}.used", "True") for name in BESIDE))
    assert np.allclose(rigid_from_msg(robot.poses[-1].pose.pose).matrix(), expected_base(50).matrix(), atol=1e-6)
    received = "camera.{}.images_received"
    rig.see_until(
        lambda: nothing_is_said_of_cameras(robot) and all(int(robot.status[received.format(n)]) > 2 for n in BESIDE)
    )
    assert len(robot.outcomes) < sum(int(robot.status[received.format(name)]) for name in BESIDE)


def test_images_of_different_times_are_brought_together_by_odometry(rig, robot):
    """The robot drives 10 cm between two images: taken as of one time, they would contradict each other."""
    rig.see_until(lambda: len(robot.poses) > 3)
    # In the map it moves along x by what the next brightness shows.
    moved = expected_base(50).inverse() * expected_base(51)
    times_ns = []

    def drive() -> None:
        time_ns = robot.now_ns()
        rig.send_odometry(time_ns, moved)
        rig.send_image("front", 50, time_ns)
        rig.send_image("left", 51, time_ns + 40_000_000)
        rig.send_image("back", 51, time_ns + 40_000_000)
        times_ns.append(time_ns + 40_000_000)
        robot.for_a_while(0.1)

    robot.until(lambda: len(set(times_ns) & {*map(pose_time_ns, robot.poses)}) > 3 or drive())
    robot.until(lambda: all(says(robot, f"camera.{name}.used", "True") for name in BESIDE))
    assert np.allclose(rigid_from_msg(robot.poses[-1].pose.pose).matrix(), expected_base(51).matrix(), atol=1e-6)
    stamps = {name: robot.status[f"camera.{name}.image_stamp"] for name in BESIDE}
    assert stamps["left"] == stamps["back"] != stamps["front"]


def test_a_dead_camera_is_a_warning_and_the_others_go_on(rig, robot):
    rig.see_until(lambda: len(robot.poses) > 3)
    rig.see_until(lambda: "camera left: no image on /left/image" in robot.status["message"], ("front", "back"))
    assert robot.status["level"] == "1" and robot.status["state"] == "localized"
    before = len(robot.poses)
    rig.see_until(lambda: len(robot.poses) > before + 5, ("front", "back"))
    rig.see_until(lambda: nothing_is_said_of_cameras(robot))


def test_a_camera_of_another_clock_is_named(rig, robot):
    """Its images are never of one time with the others', so that only one of them is localized."""

    def look() -> None:
        time_ns = robot.now_ns()
        rig.send_odometry(time_ns, pycolmap.Rigid3d())
        for name in BESIDE:
            rig.send_image(name, 50, time_ns - 500_000_000 * (name == "left"))
        robot.for_a_while(0.1)

    robot.until(lambda: "camera left: its images come 0.5" in robot.status.get("message", "") or look())
    assert robot.status["level"] == "1"
    rig.see_until(lambda: nothing_is_said_of_cameras(robot))


def test_a_camera_that_contradicts_the_others_is_named(rig, robot):
    rig.see_until(
        lambda: "camera back: it contradicts the others" in robot.status.get("message", ""), wrong={"back": 30}
    )
    assert robot.status["level"] == "1" and robot.status["camera.back.used"] == "False"
    assert np.allclose(rigid_from_msg(robot.poses[-1].pose.pose).matrix(), expected_base(50).matrix(), atol=1e-6)


def test_a_camera_whose_place_is_unknown_stays_out_and_says_so(rig, robot):
    rig.see_until(lambda: len(robot.poses) > 3, frames={"back": "unknown"})
    robot.until(lambda: says(robot, "camera.back.reason", "no_extrinsic"))
    assert "unknown" in robot.status["camera.back.detail"] and robot.status["camera.front.used"] == "True"


def test_without_odometry_a_rig_takes_what_is_of_one_time(robot):
    with start_node("odom_frame:=''", "tf_mode:=map_to_base"):
        rig = Rig(robot)
        rig.see_until(lambda: robot.poses and says(robot, "camera.left.used", "True"))
        newest = []

        def send() -> None:
            newest.append(robot.now_ns())
            rig.send_image("front", 50, newest[-1] - 40_000_000)
            rig.send_image("left", 50, newest[-1])
            robot.for_a_while(0.1)

        robot.until(lambda: set(newest) & {*map(pose_time_ns, robot.poses)} or send())
        robot.until(lambda: ("camera.left.used" in robot.status and "camera.front.used" not in robot.status) or send())


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        pytest.param(("cameras:=[front, front]",), "'front' is named twice", marks=pytest.mark.long),
        pytest.param(
            ("left.image_topic:=front/image",), "cameras front and left have one image_topic", marks=pytest.mark.long
        ),
        (("letf.image_topic:=a",), "unknown parameter letf.image_topic; cameras: front, left, back"),
    ],
)
def test_bad_parameters_end_the_node_with_an_error_that_names_them(robot, parameters, says, capfd):
    with start_node(*parameters) as process:
        assert process.wait(timeout=60) == 1
    assert says in "".join(capfd.readouterr())
