"""Show a running node on the page of `view`: its ~/status, ~/pose and ~/matches become events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from deviloc_ros.messages.headers import stamp_ns
from deviloc_ros.messages.images import pixels_of
from deviloc_ros.ros.conversions import covariance_from_msg, rigid_from_msg
from deviloc_ros.ros.diagnostics import parse_stamp
from deviloc_ros.view.events import event_from_status, make_picture_uri, pose_to_event

NAME = "deviloc"  # of the localizer's node


class WatchedNode(Node):
    """Send an event for each message about an image.

    axis_m: length of the axes drawn at the robot.
    """

    def __init__(self, axis_m: float, send: Callable[[dict[str, Any]], None], watched: str = NAME) -> None:
        super().__init__("deviloc_view")
        self._axis_m, self._send = axis_m, send
        self.create_subscription(DiagnosticStatus, f"{watched}/status", self._on_status, QoSProfile(depth=50))
        self.create_subscription(PoseWithCovarianceStamped, f"{watched}/pose", self._on_pose, QoSProfile(depth=10))
        self.create_subscription(Image, f"{watched}/matches", self._on_matches, QoSProfile(depth=1))

    def _on_status(self, msg: DiagnosticStatus) -> None:
        values = {value.key: value.value for value in msg.values}
        self._send(event_from_status(values, parse_stamp(values.get("image_stamp", "0.0"))))

    def _on_pose(self, msg: PoseWithCovarianceStamped) -> None:
        pose = pose_to_event(rigid_from_msg(msg.pose.pose), covariance_from_msg(msg), self._axis_m)
        self._send({"time_ns": str(stamp_ns(msg)), **pose})

    def _on_matches(self, msg: Image) -> None:
        self._send({"time_ns": str(stamp_ns(msg)), "picture": make_picture_uri(pixels_of(msg))})


def watch_node(axis_m: float, send: Callable[[dict[str, Any]], None]) -> None:
    """Send events about each image of the localizer's node until Ctrl-C or SIGTERM; both raise KeyboardInterrupt."""
    rclpy.init()
    node = WatchedNode(axis_m, send)
    try:
        rclpy.spin(node)
    except ExternalShutdownException:
        raise KeyboardInterrupt from None
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
