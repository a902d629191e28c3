"""Read the cameras of camera_info messages."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from deviloc_ros.camera import Camera
from deviloc_ros.messages.distortions import to_colmap_model


def camera_from_info(info: Any, rectified: bool = False) -> Camera:
    """Return the camera of a CameraInfo: for rectified images by P, otherwise by K and D.

    Raises:
        ValueError: uncalibrated (all-zero matrix), of an unknown distortion model, or not a pinhole matrix.
    """
    info = lower_case_fields(info)
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
    size = (width // bin_x, height // bin_y)
    model, params = ("PINHOLE", intrinsics)
    if not rectified:
        try:
            model, params = to_colmap_model(info.distortion_model, tuple(info.d), intrinsics, size)
        except ValueError as error:
            raise ValueError(f"camera_info of {info.header.frame_id!r}: {error}") from error
    return Camera(model, *size, tuple(float(value) for value in params))


def region_of_interest(info: Any) -> tuple[int, int, int, int]:
    """Return x, y, width, height [px] of the sent part of the full image; a size of zero means all of it."""
    roi = info.roi
    return roi.x_offset, roi.y_offset, roi.width or info.width, roi.height or info.height


def lower_case_fields(info: Any) -> Any:
    """Return a CameraInfo with ROS 2's lower-case names of the matrices; in ROS 1 they are D, K, R, P."""
    if hasattr(info, "k"):
        return info
    names = ("header", "width", "height", "distortion_model", "binning_x", "binning_y", "roi")
    matrices = {name: getattr(info, name.upper()) for name in "dkrp"}
    return SimpleNamespace(**{name: getattr(info, name) for name in names}, **matrices)
