"""Play a robot that lives through a drive now: send images and odometry at their rate, and note what comes back."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pycolmap
import tf2_ros
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage
from std_srvs.srv import Empty
from tf2_msgs.msg import TFMessage

from deviloc_ros.bags.writer import distortion_to_ros
from deviloc_ros.camera import Camera
from deviloc_ros.messages.headers import stamp_ns
from deviloc_ros.ros.conversions import rigid_from_msg, time_msg, transform_msg
from deviloc_ros.ros.spinning_thread import ListeningThread

LIMIT_S = 120.0


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """Hold an image file's bytes, the odometry (seconds after the image, odom_from_base), and the truth if known."""

    file: bytes
    camera: Camera
    odometry: list[tuple[float, pycolmap.Rigid3d]]
    map_from_base: pycolmap.Rigid3d | None = None


@dataclass(slots=True)
class Notes:
    """Hold what came back, by wall time [ns]. poses: by the stamp of their image, arrival and map_from_base."""

    sent: list[int] = field(default_factory=list)  # stamps of the images
    poses: dict[int, tuple[int, pycolmap.Rigid3d]] = field(default_factory=dict)
    transforms: list[tuple[int, int]] = field(default_factory=list)  # stamp and arrival of map->odom
    status: dict[str, str] = field(default_factory=dict)


class LiveRobot(Node):
    """Send and listen; messages are received in a thread of their own. Use it as a context."""

    def __init__(self, base_from_cam: pycolmap.Rigid3d) -> None:
        super().__init__("live_robot")
        self.notes = Notes()
        self._base_from_cam = base_from_cam
        self._images = self.create_publisher(CompressedImage, "image/compressed", qos_profile_sensor_data)
        self._infos = self.create_publisher(CameraInfo, "camera_info", qos_profile_sensor_data)
        self._moving, self._static = tf2_ros.TransformBroadcaster(self), tf2_ros.StaticTransformBroadcaster(self)
        self.create_subscription(PoseWithCovarianceStamped, "deviloc/pose", self._on_pose, 10)
        self.create_subscription(TFMessage, "/tf", self._on_tf, 100)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._forget: Any = self.create_client(Empty, "reinitialize_global_localization")
        self._thread = ListeningThread(self, "live_robot", self._on_error)

    def _on_error(self, error: BaseException) -> None:
        self.get_logger().error(repr(error))

    def __enter__(self) -> LiveRobot:
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.close()
        self.destroy_node()

    def wait_for_status(self, value: str, key: str = "lifecycle", limit_s: float = LIMIT_S) -> None:
        """Wait until diagnostics say so; raise TimeoutError."""
        deadline_s = time.monotonic() + limit_s
        while self.notes.status.get(key) != value:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{key} is {self.notes.status.get(key)!r}, not {value!r} within {limit_s:.0f} s")
            time.sleep(0.05)

    def read_settled_status(self) -> dict[str, str]:
        """Return the diagnostics after all that is under way."""
        time.sleep(3.0)
        return dict(self.notes.status)

    def start_anew(self) -> Notes:
        """Make the node forget its pose, and begin empty notes."""
        if not self._forget.wait_for_service(LIMIT_S):
            raise TimeoutError("the node offers no reinitialize_global_localization")
        done = threading.Event()
        self._forget.call_async(Empty.Request()).add_done_callback(lambda _: done.set())
        done.wait(LIMIT_S)
        return self.begin_notes()

    def begin_notes(self) -> Notes:
        """Note what comes from now on apart from what came before."""
        self.notes = Notes(status=self.notes.status)
        return self.notes

    def drive(self, shots: list[Shot], rate_hz: float) -> None:
        """Send images at a rate, each with its calibration, and the odometry between them."""
        start_s = time.monotonic()
        for number, shot in enumerate(shots):
            due_s = start_s + number / rate_hz
            time.sleep(max(0.0, due_s - time.monotonic()))
            self._send(shot)
            for after_s, odom_from_base in shot.odometry:
                time.sleep(max(0.0, due_s + after_s - time.monotonic()))
                self._moving.sendTransform(transform_msg(odom_from_base, self._now_ns(), "odom", "base_link"))

    def _send(self, shot: Shot) -> None:
        time_ns, frame = self._now_ns(), f"camera_{shot.camera.width}x{shot.camera.height}"
        if shot.odometry:
            self._moving.sendTransform(transform_msg(shot.odometry[0][1], time_ns, "odom", "base_link"))
        self._static.sendTransform(transform_msg(self._base_from_cam, 0, "base_link", frame))
        self._infos.publish(make_info_msg(shot.camera, frame))
        msg = CompressedImage(format="jpeg", data=shot.file)
        msg.header.frame_id, msg.header.stamp = frame, time_msg(time_ns)
        self.notes.sent.append(time_ns)
        self._images.publish(msg)

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _on_pose(self, msg: PoseWithCovarianceStamped) -> None:
        self.notes.poses[stamp_ns(msg)] = self._now_ns(), rigid_from_msg(msg.pose.pose)

    def _on_tf(self, msg: TFMessage) -> None:
        now_ns = self._now_ns()
        self.notes.transforms += [(stamp_ns(t), now_ns) for t in msg.transforms if t.header.frame_id == "map"]

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        for status in msg.status:
            if status.name == "deviloc: localization":
                self.notes.status = {value.key: value.value for value in status.values}


def make_info_msg(camera: Camera, frame: str) -> Any:
    """Return the camera_info of an unrectified image."""
    model, coefficients = distortion_to_ros(camera)
    msg = CameraInfo(width=camera.width, height=camera.height, distortion_model=model, d=coefficients)
    msg.k = np.asarray(camera.colmap.calibration_matrix(), float).reshape(-1)
    msg.header.frame_id = frame
    return msg
