"""Depth of a recording: a topic beside the images, in the same frame or another."""

import cv2
import numpy as np
import pytest
from worlds import SMALL, random_rigid, rigid_of

from deviloc_ros.bags.bag_index import RobotSetup
from deviloc_ros.bags.bag_plan import ReadingPlan, TruthSource
from deviloc_ros.bags.writer import BagWriter
from deviloc_ros.camera import Camera
from deviloc_ros.sources.depth_images import read_depth
from deviloc_ros.sources.keyframes import Spacing
from deviloc_ros.sources.recorded_depth import DepthPlan
from deviloc_ros.sources.recordings import read_bag

BASE_FROM_CAM = random_rigid(np.random.default_rng(5))
COLOR_FROM_DEPTH = rigid_of([0, 0.05, 0], [-0.05, 0.01, 0])
SENSOR = Camera("PINHOLE", 160, 120, (140.0, 140.0, 80.0, 60.0))
PERIOD_NS = 100_000_000
LATE_NS = 10_000_000  # depth comes this much after its image


def depth_at(number: int) -> np.ndarray:
    return np.full((120, 160), 1.0 + 0.5 * number, np.float32)


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """Three images, each with depth soon after it, but the last, whose depth comes late; then one that has no pose."""
    path = tmp_path_factory.mktemp("drive") / "bag"
    pixels = np.random.default_rng(0).integers(0, 255, (240, 320), np.uint8)
    with BagWriter(path) as writer:
        writer.write_transform(1, "base_link", "color", BASE_FROM_CAM, static=True)
        writer.write_transform(1, "color", "depth", COLOR_FROM_DEPTH, static=True)
        writer.write_camera_info("/color/camera_info", 1, "color", SMALL)
        writer.write_camera_info("/depth/camera_info", 1, "depth", SENSOR)
        for number in range(3):
            time_ns = (number + 10) * PERIOD_NS
            writer.write_odometry("/odom", time_ns, "odom", "base_link", rigid_of([0, 0, 0], [number, 0, 0]))
            writer.write_image("/color/image", time_ns, "color", pixels)
            depth_ns = time_ns + (LATE_NS if number < 2 else 4 * LATE_NS)
            writer.write_image("/depth/image", depth_ns, "depth", depth_at(number))
            writer.write_image("/depth/millimetres", depth_ns, "depth", (depth_at(number) * 1000).astype(np.uint16))
            writer.write_image("/aligned/image", depth_ns, "color", depth_at(number))
            writer.write_image("/elsewhere/image", depth_ns, "moon", depth_at(number))
    return path


def read(bag, folder, depth: DepthPlan, robot: RobotSetup | None = None):
    reading = ReadingPlan("/color/image", "/color/camera_info", robot or RobotSetup(), TruthSource(topic="/odom"))
    return read_bag(bag, reading, Spacing(0.0, 0.0), folder, depth=depth, quiet=True).images


@pytest.mark.parametrize("topic", ["/depth/image", "/depth/millimetres"])
def test_keyframes_get_the_depth_of_their_time(bag, tmp_path, topic):
    images = read(bag, tmp_path, DepthPlan(topic))
    assert [image.depth is None for image in images] == [False, False, True]
    for number, image in enumerate(images[:2]):
        np.testing.assert_allclose(read_depth(image.depth), depth_at(number), atol=1e-3)
        assert image.depth.camera == SENSOR
        np.testing.assert_allclose(image.depth.color_from_depth.matrix(), COLOR_FROM_DEPTH.matrix(), atol=1e-9)


def test_registered_depth_is_of_the_frame_of_the_images(bag, tmp_path):
    depth = DepthPlan("/aligned/image", camera=SENSOR)
    assert read(bag, tmp_path, depth)[0].depth.color_from_depth is None


def test_what_is_given_replaces_what_the_recording_says(bag, tmp_path):
    given = rigid_of([0, 0, 0], [1, 2, 3])
    depth = read(bag, tmp_path, DepthPlan("/elsewhere/image", camera=SENSOR, color_from_depth=given))[0].depth
    assert depth.color_from_depth is given and depth.camera is SENSOR


@pytest.mark.parametrize(
    ("depth", "why"),
    [
        (DepthPlan("/nowhere"), "no depth images on /nowhere; topics of images: /aligned/image"),
        (DepthPlan("/color/image", camera=SENSOR), "depth image of encoding 'mono8'"),
        (DepthPlan("/elsewhere/image", camera=SENSOR), "moon.*give --depth-to-color"),
        (DepthPlan("/elsewhere/image"), "choose one with --depth-camera-info-topic"),
        (DepthPlan("/elsewhere/image", "/depth/camera_info"), "'moon'.*give --depth-camera"),
    ],
)
def test_what_is_missing_is_said(bag, tmp_path, depth, why):
    with pytest.raises(ValueError, match=why):
        read(bag, tmp_path, depth)


def test_depth_files_survive_beside_the_keyframes(bag, tmp_path):
    (first, *_) = read(bag, tmp_path, DepthPlan("/depth/image"))
    assert first.depth.path.name == first.path.stem + ".depth.png"
    assert cv2.imread(str(first.depth.path), cv2.IMREAD_UNCHANGED).dtype == np.uint16
