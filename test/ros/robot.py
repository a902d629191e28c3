"""What is around the node on a robot, over DDS: camera, odometry, somebody who listens and calls services."""

import time
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pycolmap
import pytest
from cv_bridge import CvBridge
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from nav_msgs.msg import Path as PathMsg
from rcl_interfaces.msg import Parameter as ParameterMsg
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.task import Future
from ros_helpers import DISCOVERY_LIMIT_S
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_srvs.srv import Empty, SetBool, Trigger
from tf2_msgs.msg import TFMessage
from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

from deviloc_ros.messages.headers import stamp_ns
from deviloc_ros.ros.conversions import message_from_serialized, pose_with_covariance_msg, time_msg, transform_msg

BASE_FROM_CAM = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([-0.5, 0.5, -0.5, 0.5])), np.array([0.2, 0.0, 0.4]))
ODOM_FROM_BASE = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0.0, 0.0, 0.3])), np.array([7.0, 1.0, 0.0]))
LIMIT_S = DISCOVERY_LIMIT_S
TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
    "deactivate": Transition.TRANSITION_DEACTIVATE,
    "cleanup": Transition.TRANSITION_CLEANUP,
    "shutdown": Transition.TRANSITION_ACTIVE_SHUTDOWN,
}


class Robot(Node):
    """Sends images whose brightness says where the camera is (see stand_in.py) and keeps what comes back."""

    def __init__(self, context: Context | None = None) -> None:
        super().__init__("robot", context=context)
        self.images = self.create_publisher(Image, "image", qos_profile_sensor_data)
        self.compressed_images = self.create_publisher(CompressedImage, "image/compressed", qos_profile_sensor_data)
        self.infos = self.create_publisher(CameraInfo, "camera_info", qos_profile_sensor_data)
        self.initial_poses = self.create_publisher(PoseWithCovarianceStamped, "initialpose", 1)
        self.moving, self.static = TransformBroadcaster(self), StaticTransformBroadcaster(self)
        self.static.sendTransform(transform_msg(BASE_FROM_CAM, 0, "base_link", "camera"))
        self.poses: list[PoseWithCovarianceStamped] = []
        self.plain_poses: list[PoseStamped] = []
        self.transforms: list[tuple[int, object]] = []  # received at [ns], of frames that hang on the map
        self.status: dict[str, str] = {}
        self.reasons: list[str] = []
        self.largest_diagnostic = 0  # bytes of text
        latched = QoSProfile(
            depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
        )
        self.create_subscription(PoseWithCovarianceStamped, "/deviloc/pose", self.poses.append, latched)
        self.create_subscription(PoseStamped, "/deviloc/pose_stamped", self.plain_poses.append, 10)
        self.paths: list[PathMsg] = []
        self.create_subscription(PathMsg, "/deviloc/path", self.paths.append, 10)
        self.create_subscription(TFMessage, "/tf", self._on_tf_bytes, 100, raw=True)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.outcomes: list[tuple[str, str]] = []  # stamp and reason of each image that the node told of
        self.create_subscription(DiagnosticStatus, "/deviloc/status", self._on_outcome, 50)
        self.executor_ = SingleThreadedExecutor(context=context)
        self.executor_.add_node(self)

    def close(self) -> None:
        self.executor_.shutdown()
        self.destroy_node()

    # ---- what it hears

    def _on_tf_bytes(self, serialized: bytes) -> None:
        with suppress(ValueError):  # faults are sent there, too
            self._on_tf(message_from_serialized(serialized, TFMessage))

    def _on_tf(self, msg: TFMessage) -> None:
        self.transforms += [(time.monotonic_ns(), t) for t in msg.transforms if t.header.frame_id == "map"]

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        (status,) = msg.status
        self.status = {value.key: value.value for value in status.values} | {"message": status.message}
        size = sum(len(value.key) + len(value.value) for value in status.values) + len(status.message)
        self.largest_diagnostic = max(self.largest_diagnostic, size)
        self.reasons.append(self.status.get("reason", ""))
        self.status["level"] = str(int.from_bytes(status.level, "little"))

    def _on_outcome(self, msg: DiagnosticStatus) -> None:
        values = {value.key: value.value for value in msg.values}
        self.outcomes.append((values["image_stamp"], values["reason"]))

    def until(self, condition: Callable[[], object], limit_s: float = LIMIT_S) -> None:
        """Spin until the condition holds; fail if it does not."""
        deadline = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"not within {limit_s:.0f} s; last status: {self.status}")
            self.executor_.spin_once(timeout_sec=0.02)

    def for_a_while(self, seconds: float) -> None:
        """Spin: to see that something does not happen."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.executor_.spin_once(timeout_sec=0.02)

    # ---- what it sends

    def now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def send_odometry(self, time_ns: int | None = None) -> None:
        self.moving.sendTransform(transform_msg(ODOM_FROM_BASE, time_ns or self.now_ns(), "odom", "base_link"))

    def send_info(self, frame: str = "camera", size: tuple[int, int] = (64, 48), focal_px: float = 60.0) -> None:
        msg = CameraInfo(width=size[0], height=size[1], distortion_model="plumb_bob")
        msg.k = [focal_px, 0.0, (size[0] - 1) / 2, 0.0, focal_px, (size[1] - 1) / 2, 0.0, 0.0, 1.0]
        msg.header.frame_id = frame
        self.infos.publish(msg)

    def send_image(
        self, brightness: int, time_ns: int | None = None, frame: str = "camera", compressed: bool = False
    ) -> int:
        """Returns the image's stamp [ns]."""
        return self.send_pixels(np.full((48, 64), brightness, np.uint8), time_ns, frame, compressed)

    def send_pixels(
        self, pixels: np.ndarray, time_ns: int | None = None, frame: str = "camera", compressed: bool = False
    ) -> int:
        """Returns the image's stamp [ns]."""
        bridge = CvBridge()
        encoding = "mono8" if pixels.ndim == 2 else "bgr8"
        msg = bridge.cv2_to_compressed_imgmsg(pixels) if compressed else bridge.cv2_to_imgmsg(pixels, encoding)
        time_ns = self.now_ns() if time_ns is None else time_ns
        msg.header.frame_id, msg.header.stamp = frame, time_msg(time_ns)
        (self.compressed_images if compressed else self.images).publish(msg)
        return time_ns

    def see_until(self, condition: Callable[[], object], brightness: int = 50, **image) -> None:
        """Send odometry, calibration and images, ten a second, until the condition holds."""
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"not within {LIMIT_S:.0f} s of images; last status: {self.status}")
            time_ns = self.now_ns()
            self.send_info(image.get("frame", "camera"))
            self.send_odometry(time_ns - 20_000_000)
            self.send_image(brightness, time_ns, **image)
            self.send_odometry(time_ns + 20_000_000)
            self.for_a_while(0.1)

    def localized(self, brightness: int = 50, **image) -> PoseWithCovarianceStamped:
        """Look at one place until the first pose comes."""
        self.poses.clear()
        self.plain_poses.clear()
        self.see_until(lambda: self.poses, brightness, **image)
        return self.poses[-1]

    def send_initial_pose(self, map_from_base: pycolmap.Rigid3d, frame: str = "map") -> None:
        covariance = np.diag([0.25, 0.25, 0.0, 0.0, 0.0, 0.07])  # as RViz does
        self.initial_poses.publish(pose_with_covariance_msg(map_from_base, covariance, self.now_ns(), frame))

    # ---- what it asks

    def call(self, kind: type, name: str, request=None):
        client = self.create_client(kind, name)
        self.until(client.service_is_ready)
        future = client.call_async(request or kind.Request())
        self.until(future.done)
        self.destroy_client(client)
        return future.result()

    def state(self) -> str:
        """Asked again each second: an answer is lost if the node has not yet discovered who asks."""
        client = self.create_client(GetState, "/deviloc/get_state")
        self.until(client.service_is_ready)
        asked: list[tuple[float, Future]] = []

        def answered() -> bool:
            if not asked or time.monotonic() > asked[-1][0] + 1.0:
                asked.append((time.monotonic(), client.call_async(GetState.Request())))
            return any(future.done() for _, future in asked)

        self.until(answered)
        self.destroy_client(client)
        return next(future.result() for _, future in asked if future.done()).current_state.label

    def change_state(self, name: str) -> bool:
        request = ChangeState.Request(transition=Transition(id=TRANSITIONS[name]))
        return self.call(ChangeState, "/deviloc/change_state", request).success

    def set_parameters(self, **values) -> str:
        """Empty if accepted, else the reason."""
        parameters: list[ParameterMsg] = [
            Parameter(name.replace("__", "."), value=value).to_parameter_msg() for name, value in values.items()
        ]
        request = SetParametersAtomically.Request(parameters=parameters)
        result = self.call(SetParametersAtomically, "/deviloc/set_parameters_atomically", request).result
        return "" if result.successful else result.reason

    def reconfigure(self, **values) -> None:
        """Take the node down, change parameters, bring it up."""
        for transition in ("deactivate", "cleanup"):
            assert self.change_state(transition)
        assert self.set_parameters(**values) == ""
        for transition in ("configure", "activate"):
            assert self.change_state(transition)

    def enable(self, on: bool) -> None:
        assert self.call(SetBool, "/deviloc/enable", SetBool.Request(data=on)).success

    def forget(self) -> None:
        self.call(Empty, "/reinitialize_global_localization")

    def trigger(self) -> Trigger.Response:
        return self.call(Trigger, "/deviloc/trigger_localization")


def pose_time_ns(msg) -> int:
    return stamp_ns(msg)
