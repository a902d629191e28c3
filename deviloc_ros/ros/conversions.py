"""Convert ROS messages to the core's types and back. Nothing here keeps state."""

from __future__ import annotations

import struct
from array import array
from typing import Any

import numpy as np
import pycolmap
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose, PoseStamped, PoseWithCovarianceStamped, Transform, TransformStamped
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from deviloc_ros.messages.headers import rigid_from_pose, rigid_from_transform
from deviloc_ros.messages.images import is_packed, layout_of, pixels_of

STAMP_END = 12  # bytes up to the end of a serialized header's stamp
UNKNOWN_STD = np.array([10.0] * 3 + [0.3] * 3)  # [m], [rad]: for axes of an initial pose without a variance
# Encodings that are left to cv_bridge; it refuses some of the others, and its releases round 16 bits differently.
BRIDGED = frozenset({f"{name}8" for name in ("mono", "bgr", "rgb", "bgra", "rgba")}) | frozenset(
    f"bayer_{name}8" for name in ("rggb", "bggr", "gbrg", "grbg")
)


def time_msg(time_ns: int) -> Time:
    """Return the stamp of a time in nanoseconds."""
    sec, nanosec = divmod(time_ns, 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


def image_from_serialized(serialized: bytes, compressed: bool) -> tuple[Header, Image | CompressedImage]:
    """Return header and message of a serialized Image or CompressedImage; pixels are decoded by `ImageDecoder`.

    Raises:
        ValueError: the bytes are not such a message.
    """
    msg = message_from_serialized(serialized, CompressedImage if compressed else Image)
    return msg.header, msg


def message_from_serialized(serialized: bytes, kind: type) -> Any:
    """Deserialize a message.

    Its third and fourth byte, which no message needs, may state how many bytes at the end are padding. Fast CDR trusts
    that number even if the message is shorter, and ends the process; so they are set to 0.

    Raises:
        ValueError: the bytes are no such message.
    """
    plain = serialized if not any(serialized[2:4]) else serialized[:2] + bytes(2) + serialized[4:]
    try:
        return deserialize_message(plain, kind)
    except Exception as error:  # RMWError, and whatever else a middleware has
        raise ValueError(f"{len(serialized)} bytes that are not a {kind.__name__}") from error


def read_serialized_stamp(serialized: bytes) -> int:
    """Return the stamp [ns] of a serialized message that begins with a Header, without reading the rest.

    0 if too short. CDR (OMG DDS-XTypes 1.3, 7.4): four bytes of which the second tells the byte order, then the fields.
    """
    if len(serialized) < STAMP_END:
        return 0
    order = "<" if serialized[1] & 1 else ">"
    sec, nanosec = struct.unpack_from(f"{order}iI", serialized, 4)
    return sec * 1_000_000_000 + nanosec


def pixels_from_msg(msg: Image | CompressedImage, bridge: Any = None) -> NDArray:
    """Return (H, W) gray or (H, W, 3) BGR, uint8; use the CvBridge, if given, for BRIDGED encodings.

    Raises:
        ValueError: the bytes do not match the encoding, or the encoding is not that of a camera image.
    """
    if bridge is None or not isinstance(msg, Image) or msg.encoding not in BRIDGED or not is_packed(msg):
        return pixels_of(msg)
    try:
        return bridge.imgmsg_to_cv2(msg, "mono8" if layout_of(msg.encoding).is_gray else "bgr8")
    except Exception as error:  # CvBridgeError is a TypeError, and OpenCV has its own
        raise ValueError(f"image cannot be decoded: {error}") from error


def image_msg(pixels: NDArray, header: Header) -> Image:
    """Return the message of a (H, W, 3) BGR picture, uint8."""
    height, width = pixels.shape[:2]
    msg = Image(header=header, height=height, width=width, encoding="bgr8", step=3 * width)
    msg.data = byte_array(pixels)
    return msg


def byte_array(values: NDArray) -> array:
    """Return an array's bytes as array.array; rclpy checks other sequences byte by byte, which may take minutes."""
    data = array("B")
    data.frombytes(np.ascontiguousarray(values).tobytes())
    return data


def rigid_from_msg(msg: Transform | Pose) -> pycolmap.Rigid3d:
    """Return `parent_from_child` of a Transform or Pose.

    Raises:
        ValueError: a number is not finite, or the quaternion does not have about unit length.
    """
    return rigid_from_transform(msg) if isinstance(msg, Transform) else rigid_from_pose(msg)


def pose_msg(parent_from_child: pycolmap.Rigid3d) -> Pose:
    """Return the pose of the child in its parent."""
    msg = Pose()
    msg.position.x, msg.position.y, msg.position.z = map(float, parent_from_child.translation)
    q = msg.orientation
    q.x, q.y, q.z, q.w = map(float, parent_from_child.rotation.quat)
    return msg


def pose_stamped_msg(parent_from_child: pycolmap.Rigid3d, time_ns: int, parent: str) -> PoseStamped:
    """Return the pose at a time, in the frame `parent`."""
    return PoseStamped(header=Header(stamp=time_msg(time_ns), frame_id=parent), pose=pose_msg(parent_from_child))


def pose_with_covariance_msg(
    parent_from_child: pycolmap.Rigid3d, covariance: NDArray, time_ns: int, parent: str
) -> PoseWithCovarianceStamped:
    """Return the pose with its (6, 6) covariance.

    Translation [m], then rotation [rad], both about the parent's axes.
    """
    msg = PoseWithCovarianceStamped(header=Header(stamp=time_msg(time_ns), frame_id=parent))
    msg.pose.pose = pose_msg(parent_from_child)
    msg.pose.covariance = covariance.reshape(36)
    return msg


def covariance_from_msg(msg: PoseWithCovarianceStamped) -> NDArray:
    """Return (6, 6); axes without a positive variance (RViz leaves z, roll and pitch at zero) become unknown.

    Raises:
        ValueError: a number is not finite, or the matrix is not symmetric and positive.
    """
    covariance = np.array(msg.pose.covariance).reshape(6, 6)
    if not np.isfinite(covariance).all() or not np.allclose(covariance, covariance.T):
        raise ValueError("covariance is not finite and symmetric")
    unknown = np.diag(covariance) <= 0
    covariance[unknown, :] = covariance[:, unknown] = 0.0
    covariance[unknown, unknown] = UNKNOWN_STD[unknown] ** 2
    if np.linalg.eigvalsh(covariance)[0] <= 0:
        raise ValueError("covariance is not positive definite")
    return covariance


def transform_msg(parent_from_child: pycolmap.Rigid3d, time_ns: int, parent: str, child: str) -> TransformStamped:
    """Return a transform for /tf."""
    msg = TransformStamped(header=Header(stamp=time_msg(time_ns), frame_id=parent), child_frame_id=child)
    t, q = msg.transform.translation, msg.transform.rotation
    t.x, t.y, t.z = map(float, parent_from_child.translation)
    q.x, q.y, q.z, q.w = map(float, parent_from_child.rotation.quat)
    return msg
