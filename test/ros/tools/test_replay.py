"""A bag played over DDS to a node of its own process comes back as poses at the images' stamps."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pycolmap
import pytest
from ros_helpers import ROOT, python_process

from deviloc_ros.bags.writer import BagWriter
from deviloc_ros.camera import Camera
from deviloc_ros.demo.recording import CAMERA_FRAME, IMAGE_TOPIC, INFO_TOPIC, write_bag
from deviloc_ros.demo.worlds import DriveFrame, World
from deviloc_ros.io.tum_trajectory import read_tum
from deviloc_ros.ros.tools.replay import select_playable, show_bar

CAMERA = Camera("PINHOLE", 64, 48, (60.0, 60.0, 31.5, 23.5))
# The stand-in reads x = brightness / 10 off the image.
BRIGHTNESSES = range(10, 22)

pytestmark = pytest.mark.ros


def replay(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "deviloc_ros.ros.tools.replay", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, check=False)


def frame(brightness: int) -> DriveFrame:
    cam_from_world = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([-brightness / 10, 0, 0]))
    return DriveFrame(cam_from_world, lambda: np.full((48, 64, 3), brightness, np.uint8))


def test_poses_come_back_at_the_stamps_of_the_images(ros_domain, tmp_path):
    truth = write_bag(World("bright", CAMERA, 10.0, False, [], [frame(b) for b in BRIGHTNESSES]), tmp_path / "bag")
    parameters = {
        "use_sim_time": "true",
        "map_path": "stand-in",
        "image_topic": IMAGE_TOPIC,
        "camera_info_topic": INFO_TOPIC,
    }
    arguments = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
    with python_process("test/ros/stand_in.py", "--ros-args", *arguments):
        done = replay(str(tmp_path / "bag"), "--image", IMAGE_TOPIC, "--poses", str(tmp_path / "poses.tum"))
    assert done.returncode == 0, done.stderr
    assert f"sent {len(BRIGHTNESSES)} images" in done.stdout
    estimated, true_pose = read_tum(tmp_path / "poses.tum"), dict(truth)
    assert len(estimated) >= len(BRIGHTNESSES) - 3  # the first ones have to confirm each other
    for time_ns, map_from_base in estimated:
        np.testing.assert_allclose(map_from_base.matrix(), true_pose[time_ns].matrix(), atol=1e-6)


def test_only_what_may_be_sent_is_played(capsys):
    topics = {
        "/image": "sensor_msgs/msg/Image",
        "/clock": "rosgraph_msgs/msg/Clock",  # two clocks would set time back
        "/deviloc/pose": "geometry_msgs/msg/PoseWithCovarianceStamped",
        "/wheels": "carmaker_msgs/msg/Wheels",
    }
    assert list(select_playable(topics, "/deviloc/pose")) == ["/image"]
    assert "/wheels is left out, its type carmaker_msgs/msg/Wheels is not installed" in capsys.readouterr().err


def test_a_bag_without_the_topic_is_an_error_in_one_line(ros_domain, tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.write_camera_info(INFO_TOPIC, 1, CAMERA_FRAME, CAMERA)
    done = replay(str(tmp_path / "bag"), "--image", "/nothing")
    assert done.returncode == 1
    assert "no topic /nothing" in done.stderr and "Traceback" not in done.stderr


def test_a_bar_counts_the_images(capsys):
    sent = [SimpleNamespace(topic=topic) for topic in ("/image", "/tf", "/image")]
    assert list(show_bar(sent, ["/image"], 2)) == sent
    assert "2/2" in capsys.readouterr().err
