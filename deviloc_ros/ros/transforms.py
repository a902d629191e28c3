"""Look up transforms on TF, and broadcast the one that the node provides."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pycolmap
import tf2_ros
from geometry_msgs.msg import TransformStamped
from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.time import Time
from tf2_msgs.msg import TFMessage

from deviloc_ros.messages.headers import parse_rigid
from deviloc_ros.parameters.node_config import CameraConfig, NodeConfig
from deviloc_ros.ros.bounded_counter import BoundedCounter
from deviloc_ros.ros.conversions import rigid_from_msg, time_msg, transform_msg
from deviloc_ros.ros.endpoints import deserialize_for, latched_qos
from deviloc_ros.ros.spinning_thread import ListeningThread
from deviloc_ros.ros.transform_checks import TransformSieve
from deviloc_ros.ros.worker import ThreadState
from deviloc_ros.tracking.odometry import Odometer, Odometry

LOG_EVERY_S = 5.0  # for failures that a sender may cause a thousand times a second
QUEUE = 100  # depth of the subscriptions, as in tf2_ros
AUTHORITY = "default_authority"  # tf2_ros's name for an unknown sender
BUFFER_S = 30.0  # longer than any image waits to be localized, even in a recording that is played fast


@dataclass(frozen=True, slots=True)
class MissingTransform:
    """Say that there is no transform; `detail` has tf2's reason."""

    detail: str


class Transforms:
    """Look up the camera's mount and the odometry, and broadcast the localized transform.

    It listens in a thread of its own with a node of its own, `<name>_tf`: transforms are the most frequent messages,
    rclpy checks all entities of a node whenever one arrives, and they must arrive while the main node is busy. Look-ups
    that wait are for the worker's threads; with `wait_s` None they return at once and count no failure.
    """

    def __init__(self, node: Node, config: NodeConfig) -> None:
        self._config = config
        self._node = Node(
            f"{node.get_name()}_tf",
            context=node.context,
            cli_args=remap_arguments(node),
            enable_rosout=False,
            start_parameter_services=False,
        )
        # Without a node, since the buffer would never unregister from the node's clock: rclpy would then access freed
        # memory when time jumps.
        self._buffer = tf2_ros.Buffer(Duration(seconds=BUFFER_S))
        back = JumpThreshold(min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=True)
        self._jump_handle = node.get_clock().create_jump_callback(back, post_callback=lambda jump: self._buffer.clear())
        self._sieve = TransformSieve(self._buffer, BUFFER_S, lambda: node.get_clock().now().nanoseconds)
        listen_to_transforms(self._node, self._sieve)
        self._broadcaster = tf2_ros.TransformBroadcaster(self._node)
        self._odometer = Odometer(lambda time_ns: or_none(self._odom_from_base(time_ns, None)))
        self.failures = BoundedCounter()  # by the transform that was missing
        self._sent: pycolmap.Rigid3d | None = None
        self._msg = TransformStamped()
        self._thread = ListeningThread(self._node, "transforms", self._on_error)

    def state(self) -> ThreadState:
        """Return the state of the listening thread."""
        return self._thread.state()

    @property
    def refused(self) -> dict[str, int]:
        """Return how many transforms were refused, by reason."""
        return dict(self._sieve.refused)

    def close(self) -> None:
        """Stop listening and sending."""
        self._thread.close()
        self._jump_handle.unregister()
        self._node.destroy_node()

    def base_from_cam(
        self, camera: CameraConfig, image_frame: str, time_ns: int, wait_s: float | None
    ) -> pycolmap.Rigid3d | MissingTransform:
        """Return the camera's mount when the image was taken: from the parameter if set, else from TF."""
        if camera.base_from_camera:
            return parse_rigid(camera.base_from_camera)
        camera_frame = camera.camera_frame or image_frame.removeprefix("/")  # as tf2 names frames
        return self._lookup(self._config.base_frame, camera_frame, time_ns, wait_s)

    def odometry(self, time_ns: int, wait_s: float | None) -> Odometry | MissingTransform:
        """Return the odometry at a time."""
        found = self._odom_from_base(time_ns, wait_s)
        return found if isinstance(found, MissingTransform) else self._odometer.read_at(time_ns, found)

    def latest_odometry(self, time_ns: int) -> Odometry | None:
        """Return the newest odometry without waiting, as that of a time for which there is none yet."""
        found = or_none(self._odom_from_base(0, None))
        return None if found is None else self._odometer.read_at(time_ns, found)

    def broadcast(self, map_from_child: pycolmap.Rigid3d, child: str, time_ns: int) -> None:
        """Broadcast the transform from the map frame to `child`, unless the listening thread has failed.

        Not to be called from two threads at once.
        """
        if self.state().complaint:
            return
        if map_from_child is not self._sent:  # else only the stamp changes
            self._sent = map_from_child
            self._msg = transform_msg(map_from_child, time_ns, self._config.map_frame, child)
        self._msg.header.stamp = time_msg(time_ns)
        self._broadcaster.sendTransform(self._msg)

    def _odom_from_base(self, time_ns: int, wait_s: float | None) -> pycolmap.Rigid3d | MissingTransform:
        return self._lookup(self._config.odom_frame, self._config.base_frame, time_ns, wait_s)

    def _lookup(
        self, target: str, source: str, time_ns: int, wait_s: float | None
    ) -> pycolmap.Rigid3d | MissingTransform:
        if complaint := self.state().complaint:  # the buffer is outdated
            return self._missing(target, source, complaint, wait_s)
        try:
            found = self._buffer.lookup_transform(
                target, source, Time(nanoseconds=time_ns), Duration(seconds=wait_s or 0.0)
            )
            return rigid_from_msg(found.transform)
        except (tf2_ros.TransformException, ValueError) as error:
            return self._missing(target, source, str(error), wait_s)

    def _missing(self, target: str, source: str, why: str, wait_s: float | None) -> MissingTransform:
        if wait_s is not None:  # an image cannot be localized for lack of this transform
            self.failures.count(f"{target} <- {source}")
        return MissingTransform(f"no transform {target} <- {source}: {why}")

    def _on_error(self, error: BaseException) -> None:
        text = "".join(traceback.format_exception(error))
        self._node.get_logger().error(text, throttle_duration_sec=LOG_EVERY_S)


def listen_to_transforms(node: Node, buffer: Any) -> None:
    """Fill a tf2 buffer as tf2's own listener does, but without crashing on malformed messages."""

    def subscribe(topic: str, take: Callable[[TransformStamped, str], None], qos: QoSProfile) -> None:
        def take_all(msg: TFMessage) -> None:
            for transform in msg.transforms:
                take(transform, AUTHORITY)

        node.create_subscription(TFMessage, topic, deserialize_for(take_all, TFMessage), qos, raw=True)

    subscribe("/tf", buffer.set_transform, QoSProfile(depth=QUEUE))
    subscribe("/tf_static", buffer.set_transform_static, latched_qos(depth=QUEUE))


def or_none(found: pycolmap.Rigid3d | MissingTransform) -> pycolmap.Rigid3d | None:
    """Return the transform, None if it is missing."""
    return None if isinstance(found, MissingTransform) else found


def remap_arguments(node: Node) -> list[str]:
    """Return the remapping arguments of `node` for its companion node `<name>_tf`.

    Rules that name `node` would not apply to it.
    """
    places = {"__node": f"{node.get_name()}_tf", "__ns": node.get_namespace()}
    places |= {topic: node.resolve_topic_name(topic) for topic in ("/tf", "/tf_static")}
    return ["--ros-args", *(word for name, place in places.items() for word in ("-r", f"{name}:={place}"))]
