"""ROS messages to the core's types and back. Nothing here keeps state."""

from __future__ import annotations

import cv2
import numpy as np
import pycolmap
from builtin_interfaces.msg import Time
from cv_bridge import CvBridge
from geometry_msgs.msg import Pose, PoseStamped, PoseWithCovarianceStamped, Transform, TransformStamped
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from deviloc_ros.types import Camera

GRAY_ENCODINGS = ("mono8", "mono16", "8UC1")
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


def pixels_from_msg(msg: Image | CompressedImage) -> NDArray:
    """(H, W) gray or (H, W, 3) BGR, uint8.

    Raises:
        ValueError: the bytes are not what the encoding says, or the encoding is not one of a camera's picture.
    """
    bridge = CvBridge()
    try:
        if isinstance(msg, Image):
            return bridge.imgmsg_to_cv2(msg, "mono8" if msg.encoding in GRAY_ENCODINGS else "bgr8")
        pixels = bridge.compressed_imgmsg_to_cv2(msg)
    except (TypeError, ValueError, cv2.error) as error:  # CvBridgeError is a TypeError
        raise ValueError(f"image cannot be decoded: {error}") from error
    if pixels is None or pixels.dtype != np.uint8 or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise ValueError(f"compressed image of format {msg.format!r} is not 8-bit gray or colour")
    return pixels


def decoded_size(msg: Image | CompressedImage) -> tuple[int, int] | None:
    """Width and height [px] of a picture, None if it cannot be decoded."""
    try:
        height, width = pixels_from_msg(msg).shape[:2]
    except ValueError:
        return None
    return width, height


def camera_from_info(info: CameraInfo, rectified: bool = False) -> Camera:
    """The camera that took an image with this camera_info; a rectified image is described by P, any other by K and D.

    Raises:
        ValueError: uncalibrated (all-zero matrix), of an unknown distortion model, or not a pinhole matrix.
    """
    matrix = np.array(info.p).reshape(3, 4)[:, :3] if rectified else np.array(info.k).reshape(3, 3)
    if not matrix.any():
        raise ValueError(
            f"camera_info of {info.header.frame_id!r} is not calibrated: {'P' if rectified else 'K'} is all zero"
        )
    if info.width == 0 or info.height == 0:
        raise ValueError(f"camera_info of {info.header.frame_id!r} has no image size")
    fx, fy, cx, cy = matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]
    if not np.array_equal(matrix, [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], equal_nan=True):
        raise ValueError(
            f"camera_info of {info.header.frame_id!r} has a camera matrix with skew or wrong scale: {matrix.tolist()}"
        )
    x, y, width, height = region_of_interest(info)
    bin_x, bin_y = max(info.binning_x, 1), max(info.binning_y, 1)
    # As image_geometry does: the matrix is that of the full, unbinned image.
    intrinsics = (fx / bin_x, fy / bin_y, (cx - x) / bin_x, (cy - y) / bin_y)
    model, distortion = ("PINHOLE", ()) if rectified else distortion_from_info(info)
    params = tuple(float(value) for value in (*intrinsics, *distortion))
    return Camera(model, width // bin_x, height // bin_y, params)


def region_of_interest(info: CameraInfo) -> tuple[int, int, int, int]:
    """x, y, width, height [px] of the part of the full image that is sent; a size of zero stands for all of it."""
    roi = info.roi
    return roi.x_offset, roi.y_offset, roi.width or info.width, roi.height or info.height


def distortion_from_info(info: CameraInfo) -> tuple[str, tuple[float, ...]]:
    """COLMAP's name of the camera model, and its distortion parameters.

    Raises:
        ValueError: not plumb_bob, rational_polynomial or equidistant, or not with as many coefficients as it has.
    """
    d, name = tuple(info.d), info.distortion_model
    if not any(d) and name != "equidistant":
        return "PINHOLE", ()
    if name == "equidistant" and len(d) == 4:
        return "OPENCV_FISHEYE", d
    if name == "plumb_bob" and len(d) in (4, 5):
        k3 = d[4] if len(d) == 5 else 0.0
        return ("FULL_OPENCV", (*d[:4], k3, 0.0, 0.0, 0.0)) if k3 else ("OPENCV", d[:4])
    if name == "rational_polynomial" and len(d) >= 8 and not any(d[8:]):
        return "FULL_OPENCV", d[:8]
    raise ValueError(
        f"camera_info of {info.header.frame_id!r}: distortion {name!r} with {len(d)} coefficients is not supported; "
        "known are plumb_bob (4 or 5), rational_polynomial (8), equidistant (4)"
    )


def rigid_from_msg(msg: Transform | Pose) -> pycolmap.Rigid3d:
    """`parent_from_child` of a Transform or Pose.

    Raises:
        ValueError: a number is not finite, or the quaternion does not have about unit length.
    """
    translation, rotation = (
        (msg.translation, msg.rotation) if isinstance(msg, Transform) else (msg.position, msg.orientation)
    )
    xyz = np.array([translation.x, translation.y, translation.z])
    xyzw = np.array([rotation.x, rotation.y, rotation.z, rotation.w])
    length = float(np.linalg.norm(xyzw))
    if not np.isfinite(xyz).all() or not abs(length - 1.0) < 1e-2:
        raise ValueError(f"pose with position {xyz.tolist()} and quaternion (xyzw) {xyzw.tolist()} is not valid")
    return pycolmap.Rigid3d(pycolmap.Rotation3d(xyzw / length), xyz)


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


def rigid_from_text(text: str) -> pycolmap.Rigid3d:
    """`x y z qx qy qz qw`, as static_transform_publisher takes it.

    Raises:
        ValueError: not seven numbers, or not a transform.
    """
    try:
        x, y, z, qx, qy, qz, qw = map(float, text.split())
    except ValueError as error:
        raise ValueError(f"{text!r} is not seven numbers x y z qx qy qz qw") from error
    msg = Pose()
    msg.position.x, msg.position.y, msg.position.z = x, y, z
    msg.orientation.x, msg.orientation.y, msg.orientation.z, msg.orientation.w = qx, qy, qz, qw
    return rigid_from_msg(msg)
