"""Publish accepted poses on `~/pose`, `~/pose_stamped` and `~/path`, and on TF with tf_mode map_to_base."""

from __future__ import annotations

from collections import deque

from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from nav_msgs.msg import Path
from rclpy.qos import QoSProfile

from deviloc_ros.parameters.node_config import NodeConfig
from deviloc_ros.ros.conversions import pose_stamped_msg, pose_with_covariance_msg
from deviloc_ros.ros.endpoints import Endpoints, latched_qos
from deviloc_ros.ros.transforms import Transforms
from deviloc_ros.tracking.fix import Fix


class PosePublisher:
    """Publish poses at the stamps of their images. It reads no live parameters."""

    def __init__(self, endpoints: Endpoints, transforms: Transforms, config: NodeConfig) -> None:
        self._transforms = transforms
        self._config = config
        self._so_far: deque[PoseStamped] = deque(maxlen=config.path_length)
        self._pose = endpoints.open_publisher(PoseWithCovarianceStamped, "~/pose", latched_qos())
        self._pose_stamped = endpoints.open_publisher(PoseStamped, "~/pose_stamped", QoSProfile(depth=1))
        self._path = endpoints.open_publisher(Path, "~/path", QoSProfile(depth=1))

    def publish(self, fix: Fix) -> None:
        """Publish a fix on all topics."""
        frame = self._config.map_frame
        self._pose.publish(pose_with_covariance_msg(fix.map_from_base, fix.covariance, fix.stamp_ns, frame))
        pose = pose_stamped_msg(fix.map_from_base, fix.stamp_ns, frame)
        self._pose_stamped.publish(pose)
        self._so_far.append(pose)
        if self._path.get_subscription_count():
            self._path.publish(Path(header=pose.header, poses=list(self._so_far)))
        if self._config.tf_mode == "map_to_base":
            # At its own stamp: with a later one, the robot would be shown where it was before.
            self._transforms.broadcast(fix.map_from_base, self._config.base_frame, fix.stamp_ns)

    def forget(self) -> None:
        """Begin a new path."""
        self._so_far.clear()
