"""ROS messages to the core's types and back. Nothing here keeps state."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pycolmap
from builtin_interfaces.msg import Time
from cv_bridge import CvBridge
from geometry_msgs.msg import Pose, PoseStamped, PoseWithCovarianceStamped, Transform, TransformStamped
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from deviloc_ros.messages.headers import rigid_of_pose, rigid_of_transform
from deviloc_ros.messages.images import is_known_to_cv_bridge, pixels_of, wanted_encoding

STAMP_END = 12  # bytes up to the end of a serialized header's stamp
UNKNOWN_STD = np.array([10.0] * 3 + [0.3] * 3)  # [m], [rad]: axes of an initial pose about which nothing is said


def stamp_ns(stamp: Time) -> int:
    """Nanoseconds of a header's stamp."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def time_msg(time_ns: int) -> Time:
    """The stamp of a time in nanoseconds."""
    sec, nanosec = divmod(time_ns, 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


def image_from_serialized(serialized: bytes, compressed: bool) -> tuple[Header, Image | CompressedImage]:
    """Header and message of a serialized Image or CompressedImage; pixels are decoded by `pixels_from_msg`."""
    msg = deserialize_message(serialized, CompressedImage if compressed else Image)
    return msg.header, msg


def stamp_of_serialized(serialized: bytes) -> int:
    """Stamp [ns] of a serialized message that begins with a Header, without reading the rest; 0 if it is too short.

    CDR (OMG DDS-XTypes 1.3, 7.4): four bytes of which the second tells the byte order, then the fields.
    """
    if len(serialized) < STAMP_END:
        return 0
    order = "<" if serialized[1] & 1 else ">"
    sec, nanosec = struct.unpack_from(f"{order}iI", serialized, 4)
    return sec * 1_000_000_000 + nanosec


def pixels_from_msg(msg: Image | CompressedImage) -> NDArray:
    """(H, W) gray or (H, W, 3) BGR, uint8.

    Raises:
        ValueError: the bytes are not what the encoding says, or the encoding is not one of a camera's picture.
    """
    if not isinstance(msg, Image) or not is_known_to_cv_bridge(msg.encoding):
        return pixels_of(msg)
    try:
        return CvBridge().imgmsg_to_cv2(msg, wanted_encoding(msg.encoding))
    except (TypeError, ValueError, cv2.error) as error:  # CvBridgeError is a TypeError
        raise ValueError(f"image cannot be decoded: {error}") from error


def decoded_size(msg: Image | CompressedImage) -> tuple[int, int] | None:
    """Width and height [px] of a picture, None if it cannot be decoded."""
    try:
        height, width = pixels_from_msg(msg).shape[:2]
    except ValueError:
        return None
    return width, height


def rigid_from_msg(msg: Transform | Pose) -> pycolmap.Rigid3d:
    """`parent_from_child` of a Transform or Pose.

    Raises:
        ValueError: a number is not finite, or the quaternion does not have about unit length.
    """
    return rigid_of_transform(msg) if isinstance(msg, Transform) else rigid_of_pose(msg)


def pose_msg(parent_from_child: pycolmap.Rigid3d) -> Pose:
    """Pose of the child in its parent."""
    msg = Pose()
    msg.position.x, msg.position.y, msg.position.z = map(float, parent_from_child.translation)
    q = msg.orientation
    q.x, q.y, q.z, q.w = map(float, parent_from_child.rotation.quat)
    return msg


def pose_stamped_msg(parent_from_child: pycolmap.Rigid3d, time_ns: int, parent: str) -> PoseStamped:
    """Pose at a time, in the frame `parent`."""
    return PoseStamped(header=Header(stamp=time_msg(time_ns), frame_id=parent), pose=pose_msg(parent_from_child))


def pose_with_covariance_msg(
    parent_from_child: pycolmap.Rigid3d, covariance: NDArray, time_ns: int, parent: str
) -> PoseWithCovarianceStamped:
    """The same with its (6, 6) covariance: translation [m], then rotation [rad], both about the parent's axes."""
    msg = PoseWithCovarianceStamped(header=Header(stamp=time_msg(time_ns), frame_id=parent))
    msg.pose.pose = pose_msg(parent_from_child)
    msg.pose.covariance = covariance.reshape(36)
    return msg


def covariance_from_msg(msg: PoseWithCovarianceStamped) -> NDArray:
    """(6, 6); axes without a positive variance (RViz leaves z, roll and pitch at zero) become unknown.

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
    """A transform for /tf."""
    msg = TransformStamped(header=Header(stamp=time_msg(time_ns), frame_id=parent), child_frame_id=child)
    t, q = msg.transform.translation, msg.transform.rotation
    t.x, t.y, t.z = map(float, parent_from_child.translation)
    q.x, q.y, q.z, q.w = map(float, parent_from_child.rotation.quat)
    return msg
