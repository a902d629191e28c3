"""What is drawn for RViz and Foxglove."""

from dataclasses import replace

import numpy as np
import pycolmap
import pytest
import yaml
from ros_helpers import ROOT, spin_until

pytest.importorskip("rclpy")

from ros.stand_in import StandInMap, open_stand_in
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from deviloc_ros.camera import Camera
from deviloc_ros.io.match_pictures import BAR_PX, draw_matches, spread_rows, write_caption
from deviloc_ros.maps.manifest import MapError
from deviloc_ros.ros.endpoints import latched_qos
from deviloc_ros.ros.node import DevilocNode
from deviloc_ros.ros.visualization import cloud_msg, frustum_lines, make_lines_marker
from deviloc_ros.types import Correspondences, Evidence

CAMERA = Camera("PINHOLE", 64, 48, (60.0, 60.0, 31.5, 23.5))


def seen(references: list[int], inlier: list[bool]) -> Evidence:
    """Points straight ahead of the first reference, at the middle of the query."""
    count = len(references)
    middle, ahead = np.full((count, 2), [32.0, 24.0]), np.full((count, 3), [0.0, 0.0, 2.0])
    points = Correspondences(middle, ahead, np.ones(count), np.ones(count), np.array(references), 0 * ahead)
    return replace(Evidence(), correspondences=points, inlier_mask=np.array(inlier, bool))


def test_a_frustum_opens_where_its_camera_looks():
    moved = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([0.0, 0.0, -5.0]))  # the camera is at z = 5
    ends = frustum_lines([(CAMERA, moved), (CAMERA, moved)])
    assert ends.shape == (32, 3)
    assert ends[:, 2].min() == pytest.approx(5.0) and ends[:, 2].max() == pytest.approx(5.15)


def test_all_keyframes_are_one_marker_and_none_removes_it():
    marker = make_lines_marker(
        Header(frame_id="map"), frustum_lines([(CAMERA, pycolmap.Rigid3d())]), Marker().color, 0.01
    )
    assert marker.type == Marker.LINE_LIST and len(marker.points) == 16 and marker.header.frame_id == "map"
    assert make_lines_marker(Header(), frustum_lines([]), Marker().color, 0.01).action == Marker.DELETE


def test_a_cloud_holds_its_points():
    points = np.arange(30, dtype=np.float64).reshape(10, 3)
    msg = cloud_msg(Header(frame_id="map"), points)
    assert (msg.width, msg.point_step, len(msg.data)) == (10, 12, 120)
    assert np.array_equal(np.frombuffer(msg.data, "<f4").reshape(-1, 3), points)
    assert cloud_msg(Header(), np.zeros((0, 3))).width == 0


def test_the_main_reference_has_most_inliers():
    assert seen([0, 0, 0, 1, 1], [False, False, True, True, True]).inlying.main_reference == 1
    assert seen([], []).inlying.main_reference == 0


@pytest.mark.parametrize("shape", [(48, 64), (48, 64, 3)])
def test_matches_are_drawn_from_the_query_to_the_reference(shape):
    evidence = seen([0], [True])
    picture = draw_matches(np.zeros(shape, np.uint8), StandInMap("").view(0), evidence, 0)
    assert picture.shape == (48, 128, 3)
    blue, green, red = picture[24, 80].tolist()  # between the middles of both
    assert green > 100 and max(blue, red) < 60
    lost = draw_matches(np.zeros(shape, np.uint8), StandInMap("").view(0), seen([], []), 0)
    assert lost[30:, :64].max() == 0


def test_a_caption_is_read_on_a_bright_wall():
    wall = np.full((480, 640, 3), 250, np.uint8)
    write_caption(wall, "view-0023.png")
    top = wall[:BAR_PX, :, 0]
    assert np.median(top) < 100 and top.max() > 240 and wall[BAR_PX:].min() == 250
    write_caption(wall, "a name that is far longer than the picture is wide " * 9)
    assert np.median(wall[:BAR_PX, -9:]) < 100  # nothing is written over the border


def test_lines_begin_all_over_the_image():
    crowd, corner = np.full((200, 2), 300.0), np.array([[5.0, 5.0], [600.0, 400.0]])
    assert {200, 201} <= set(spread_rows(np.concatenate([crowd, corner]), 3).tolist())
    assert len(spread_rows(crowd, 50)) == 50 and len(spread_rows(np.zeros((0, 2)), 50)) == 0


@pytest.mark.ros
def test_a_map_whose_landmarks_are_lost_is_still_localized_in(ros_node, monkeypatch):
    asked = []

    def landmarks(self):
        asked.append(self)
        raise MapError("landmarks.safetensors: no such file")

    monkeypatch.setattr(StandInMap, "landmarks", landmarks)
    node = DevilocNode(open_stand_in)
    assert node.start()
    ros_node.create_subscription(PointCloud2, "/deviloc/landmarks", lambda msg: None, latched_qos())
    spin_until([node, ros_node], lambda: asked)
    node._session.take_maps(open_stand_in(node._values))
    assert len(asked) == 2 and node._phase == "active"
    node.close()
    node.destroy_node()


@pytest.mark.parametrize("file", ["deviloc.rviz", "deviloc_foxglove.json"])
def test_layouts_show_every_topic_that_is_drawn(file):
    text = (ROOT / "config" / file).read_text()
    assert yaml.safe_load(text)  # JSON is YAML
    for topic in ("keyframes", "landmarks", "candidates", "matches", "path", "pose"):
        assert f"deviloc/{topic}" in text
