"""Cameras of camera_info messages."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from deviloc_ros.camera import Camera


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
