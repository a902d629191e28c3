"""Values of ROS messages. No ROS is imported: rclpy and rosbags give their fields the same names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray
from rosbags.image import ImageError, image_to_cvimage
from rosbags.image.image import to_cvtype

from deviloc_ros.geometry import rigid_of_quaternion
from deviloc_ros.types import Camera

GRAY_ENCODINGS = {"mono8": "mono8", "mono16": "mono8", "8UC1": "8UC1"}  # and what they are converted to


def stamp_ns(message: Any) -> int:
    """Time of a message with a header [ns]."""
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


def rigid_of_pose(message: Any) -> pycolmap.Rigid3d:
    """frame_from_body of a geometry_msgs/Pose. Raises ValueError: not finite, or not a rotation."""
    return rigid_of(message.position, message.orientation)


def rigid_of_transform(message: Any) -> pycolmap.Rigid3d:
    """parent_from_child of a geometry_msgs/Transform. Raises ValueError: not finite, or not a rotation."""
    return rigid_of(message.translation, message.rotation)


def rigid_of(translation: Any, rotation: Any) -> pycolmap.Rigid3d:
    """Of a Vector3 or Point, and a Quaternion. Raises ValueError: not finite, or not a rotation."""
    xyzw = (rotation.x, rotation.y, rotation.z, rotation.w)
    return rigid_of_quaternion(xyzw, (translation.x, translation.y, translation.z))


def rigid_of_text(text: str) -> pycolmap.Rigid3d:
    """`x y z qx qy qz qw`, as static_transform_publisher takes it.

    Raises:
        ValueError: not seven numbers, or not a transform.
    """
    try:
        x, y, z, qx, qy, qz, qw = map(float, text.split())
    except ValueError as error:
        raise ValueError(f"{text!r} is not seven numbers x y z qx qy qz qw") from error
    return rigid_of(SimpleNamespace(x=x, y=y, z=z), SimpleNamespace(x=qx, y=qy, z=qz, w=qw))


def pixels_of(message: Any) -> NDArray:
    """(H, W) gray or (H, W, 3) BGR, uint8, of an Image or CompressedImage, as `cv_bridge` converts it.

    Raises:
        ValueError: the bytes are not what the encoding says, or the encoding is not one of a camera's picture.
    """
    try:
        if hasattr(message, "encoding"):
            return image_to_cvimage(unpadded(message), wanted_encoding(message.encoding))
        data = np.frombuffer(message.data, np.uint8)
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except (ImageError, TypeError, ValueError, cv2.error) as error:
        raise ValueError(f"image cannot be decoded: {error}") from error
    if pixels is None or pixels.dtype != np.uint8 or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise ValueError(f"compressed image of format {message.format!r} is not 8-bit gray or colour")
    return pixels


def wanted_encoding(encoding: str) -> str:
    """What a picture is converted to: gray stays gray, all else becomes BGR."""
    return GRAY_ENCODINGS.get(encoding, "bgr8")


def unpadded(message: Any) -> Any:
    """An Image without the bytes that a driver may add to each row. Raises ValueError: too few bytes."""
    _, _, dtype, channels = to_cvtype(message.encoding)
    row_bytes = message.width * channels * np.dtype(dtype).itemsize
    data = np.frombuffer(message.data, np.uint8)
    step = max(message.step, row_bytes)
    if data.size < message.height * step:
        raise ValueError(f"{data.size} bytes, {message.height} rows of {step} expected")
    rows = data[: message.height * step].reshape(message.height, step)[:, :row_bytes]
    return SimpleNamespace(
        encoding=message.encoding,
        height=message.height,
        width=message.width,
        is_bigendian=bool(message.is_bigendian),
        data=np.ascontiguousarray(rows).reshape(-1).data,
    )


def camera_from_info(info: Any, rectified: bool = False) -> Camera:
    """The camera that took an image with this camera_info; a rectified image is described by P, any other by K and D.

    Raises:
        ValueError: uncalibrated (all-zero matrix), of an unknown distortion model, or not a pinhole matrix.
    """
    info = in_lower_case(info)
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


def region_of_interest(info: Any) -> tuple[int, int, int, int]:
    """x, y, width, height [px] of the part of the full image that is sent; a size of zero stands for all of it."""
    roi = info.roi
    return roi.x_offset, roi.y_offset, roi.width or info.width, roi.height or info.height


def distortion_from_info(info: Any) -> tuple[str, tuple[float, ...]]:
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


def in_lower_case(info: Any) -> Any:
    """A CameraInfo with ROS 2's names of the matrices: ROS 1 writes them D, K, R, P."""
    if hasattr(info, "k"):
        return info
    names = ("header", "width", "height", "distortion_model", "binning_x", "binning_y", "roi")
    matrices = {name: getattr(info, name.upper()) for name in "dkrp"}
    return SimpleNamespace(**{name: getattr(info, name) for name in names}, **matrices)
