"""The node with its real localizer: a rendered room is mapped, and images between the mapped ones come over DDS."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from ros_helpers import python_process

pytest.importorskip("rclpy")

from ros.robot import BASE_FROM_CAM, pose_time_ns

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config
from deviloc_ros.config_fields import from_dict
from deviloc_ros.geometry import rotation_distance_deg, translation_distance_m
from deviloc_ros.mapping.build import build_map
from deviloc_ros.ros.conversions import rigid_from_msg
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.synthetic.render import render_color
from deviloc_ros.synthetic.room import make_room
from deviloc_ros.synthetic.trajectory import make_smooth_path

pytestmark = [pytest.mark.ros, pytest.mark.slow]

CAMERA = Camera("PINHOLE", 320, 240, (262.0, 262.0, 159.5, 119.5))


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A map of five views, and a picture from between two of them with its true pose."""
    folder = tmp_path_factory.mktemp("room")
    rng = np.random.default_rng(0)
    scene = make_room(rng)
    scene.free_low[2] = scene.free_high[2] = 1.1
    target = (scene.free_low + scene.free_high) / 2 + [0, 0.6 * scene.free_high[1], 0]
    poses = make_smooth_path(scene, rng, 9, target, span=0.15)
    mapped, between = poses[::2], poses[5]
    images = []
    for number, pose in enumerate(mapped):
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), render_color(scene, CAMERA, pose))
        images.append(PosedImage(path.name, path, CAMERA, pose))
    config = from_dict(Config(), {"matcher": {"max_keypoints": 1024}})
    build_map(images, folder / "map", config, quiet=True)
    return SimpleNamespace(map=folder / "map", picture=render_color(scene, CAMERA, between), cam_from_map=between)


def test_a_real_image_is_localized_and_noise_or_a_wrong_calibration_is_not(robot, room):
    def look(pixels, focal_px=262.0) -> None:
        time_ns = robot.now_ns()
        robot.send_info(size=(320, 240), focal_px=focal_px)
        robot.send_odometry(time_ns - 50_000_000)
        robot.send_pixels(pixels, time_ns)
        robot.send_odometry(time_ns + 50_000_000)
        robot.for_a_while(0.2)

    def look_until(condition, *image) -> None:
        robot.until(lambda: condition() or look(*image), limit_s=60)

    map_path, period = f"map_path:={room.map}", "diagnostics_period_s:=0.2"
    with python_process("-m", "deviloc_ros.ros", "--ros-args", "-p", map_path, "-p", period) as process:
        look_until(lambda: len(robot.poses) >= 2, room.picture)
        base_from_map = BASE_FROM_CAM * room.cam_from_map
        for pose in robot.poses:
            estimate = rigid_from_msg(pose.pose.pose).inverse()
            assert translation_distance_m(estimate, base_from_map) < 0.03
            assert rotation_distance_deg(estimate, base_from_map) < 0.5
        robot.until(lambda: int(robot.status.get("inliers", 0)) > 30)
        assert robot.status["map_views"] == "5" and robot.status["matcher"] == "xfeat"

        noise = np.random.default_rng(1).integers(0, 255, (240, 320, 3), np.uint8)
        noise_from_ns = robot.now_ns()
        look_until(lambda: robot.status["reason"] not in ("accepted", "unconfirmed"), noise)
        robot.until(lambda: robot.status["state"] == "coasting")
        assert pose_time_ns(robot.poses[-1]) < noise_from_ns

        look_until(lambda: robot.status["reason"] == "miscalibrated", room.picture, 240.0)
        assert float(robot.status["focal_scale"]) == pytest.approx(262 / 240, abs=0.02)
        poses = len(robot.poses)
        for _ in range(5):
            look(room.picture, 240.0)
        assert len(robot.poses) == poses
        look_until(lambda: len(robot.poses) > poses, room.picture)
        process.terminate()
        assert process.wait(timeout=20) == 0
