"""Publish visualizations of the map and of the last image for RViz and Foxglove, only if someone subscribes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import pycolmap
from geometry_msgs.msg import Point, Vector3
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image, PointCloud2, PointField
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker

from deviloc_ros.camera import Camera
from deviloc_ros.io.match_pictures import draw_best_matches
from deviloc_ros.maps.store import Map
from deviloc_ros.ros.conversions import byte_array, image_msg, time_msg
from deviloc_ros.ros.endpoints import Endpoints, latched_qos
from deviloc_ros.types import Evidence

FRUSTUM_DEPTH_M = 0.15
KEYFRAME_COLOR, CANDIDATE_COLOR = ColorRGBA(r=0.3, g=0.6, b=1.0, a=0.6), ColorRGBA(r=1.0, g=0.6, b=0.0, a=1.0)


class Visualization:
    """Publish visualization topics. Those of the map are latched, those of the last image are not."""

    def __init__(self, node: LifecycleNode, endpoints: Endpoints, reference_map: Map, map_frame: str) -> None:
        self._frame = map_frame
        self._log = node.get_logger()
        self._now: Callable[[], int] = lambda: node.get_clock().now().nanoseconds
        self._candidates = endpoints.open_publisher(Marker, "~/candidates", QoSProfile(depth=1))
        self._matches = endpoints.open_publisher(Image, "~/matches", QoSProfile(depth=1))
        self._keyframes = endpoints.open_on_demand(Marker, "~/keyframes", latched_qos(), self._send_keyframes)
        self._landmarks = endpoints.open_on_demand(PointCloud2, "~/landmarks", latched_qos(), self._send_landmarks)
        self.show_map(reference_map)

    def show_map(self, reference_map: Map) -> None:
        """Publish another map to current subscribers."""
        self._map = reference_map
        self._records = {record.name: number for number, record in enumerate(getattr(reference_map, "records", ()))}
        for publisher, send in ((self._keyframes, self._send_keyframes), (self._landmarks, self._send_landmarks)):
            if publisher.get_subscription_count():
                send()

    def show_query(self, pixels: Mapping[str, NDArray], evidence: Evidence, time_ns: int) -> None:
        """Publish the candidates and a picture of the matches of one image, or of the images of a rig.

        Args:
            pixels: by the camera's name; pictures of several cameras are stacked.
            evidence: that of the rig if there are several cameras.
        """
        with self._for_people("candidates and matches"):
            header = Header(stamp=time_msg(time_ns), frame_id=self._frame)
            numbers = [self._records[name] for name in evidence.references if name in self._records]
            self._show_candidates(header, numbers)
            if self._matches.get_subscription_count() and numbers:
                picture = draw_best_matches(pixels, evidence, self._map.view_named)
                self._matches.publish(image_msg(picture, header))

    def _show_candidates(self, header: Header, numbers: list[int]) -> None:
        if self._candidates.get_subscription_count():
            views = [self._map.records[number] for number in numbers]
            lines = frustum_lines((view.camera, view.cam_from_world) for view in views)
            self._candidates.publish(make_lines_marker(header, lines, CANDIDATE_COLOR, 0.02))

    def _send_keyframes(self) -> None:
        with self._for_people("keyframes"):
            header = Header(stamp=time_msg(self._now()), frame_id=self._frame)
            lines = frustum_lines((record.camera, record.cam_from_world) for record in self._map.records)
            self._keyframes.publish(make_lines_marker(header, lines, KEYFRAME_COLOR, 0.005))

    def _send_landmarks(self) -> None:
        with self._for_people("landmarks"):
            header = Header(stamp=time_msg(self._now()), frame_id=self._frame)
            self._landmarks.publish(cloud_msg(header, self._map.landmarks()))

    @contextmanager
    def _for_people(self, topic: str) -> Iterator[None]:
        """Log any exception in the block: a visualization that fails must not affect results."""
        try:
            yield
        except Exception as error:
            self._log.error(f"~/{topic} not shown: {error}", throttle_duration_sec=5.0)


def frustum_lines(cameras: Iterable[tuple[Camera, pycolmap.Rigid3d]]) -> NDArray:
    """Return the (N, 3) end points of line segments, in pairs: eight segments for each camera."""
    parts = [
        frustum_edges(camera) @ rigid.rotation.matrix().T + rigid.translation for camera, rigid in invert_poses(cameras)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, 3))


def invert_poses(cameras: Iterable[tuple[Camera, pycolmap.Rigid3d]]) -> Iterable[tuple[Camera, pycolmap.Rigid3d]]:
    """Yield cameras with world_from_cam instead of cam_from_world."""
    return ((camera, cam_from_world.inverse()) for camera, cam_from_world in cameras)


def frustum_edges(camera: Camera) -> NDArray:
    """Return the (16, 3) end points of the eight edges of a camera's frustum, in its own frame."""
    width, height = camera.width - 1, camera.height - 1
    corners = FRUSTUM_DEPTH_M * camera.rays(np.array([[0, 0], [width, 0], [width, height], [0, height]], float))
    centre = np.zeros(3)
    edges = [end for number in range(4) for end in (centre, corners[number], corners[number], corners[number - 1])]
    return np.array(edges)


def make_lines_marker(header: Header, ends: NDArray, color: ColorRGBA, width_m: float) -> Marker:
    """Return a single marker with all lines; RViz becomes slow with thousands of markers."""
    marker = Marker(header=header, ns="deviloc", type=Marker.LINE_LIST, color=color)
    marker.action = Marker.ADD if len(ends) else Marker.DELETE
    marker.pose.orientation.w = 1.0
    marker.scale = Vector3(x=width_m, y=0.0, z=0.0)
    marker.points = [Point(x=x, y=y, z=z) for x, y, z in ends.tolist()]
    return marker


def cloud_msg(header: Header, points: NDArray) -> PointCloud2:
    """Return the point cloud message of (N, 3) points [m]."""
    data = byte_array(points.astype("<f4"))
    fields = [
        PointField(name=name, offset=4 * number, datatype=PointField.FLOAT32, count=1)
        for number, name in enumerate("xyz")
    ]
    count = len(points)
    layout = {"height": 1, "width": count, "point_step": 12, "row_step": 12 * count, "is_dense": True}
    return PointCloud2(header=header, fields=fields, data=data, **layout)
