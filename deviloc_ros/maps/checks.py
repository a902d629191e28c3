"""Check the types, shapes and ranges of a map's arrays; a right hash does not make them valid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deviloc_ros.camera import Camera

MAX_LENGTH_M = 1e8  # beyond any frame on Earth; squares of it fit into a float
MAX_ABOVE_ONE = 1e-3  # of a confidence: rounding
HALF_EXPONENT = 0x7C00  # all bits set: infinite or NaN


@dataclass(frozen=True, slots=True)
class AllowedValues:
    """Bound the values of an array. kind: numpy's letter for its type, f or i."""

    low: float
    high: float
    kind: str = "f"


LENGTH = AllowedValues(-MAX_LENGTH_M, MAX_LENGTH_M)
DISTANCE = AllowedValues(0.0, MAX_LENGTH_M)
SHARE = AllowedValues(0.0, 1.0 + MAX_ABOVE_ONE)
IDENTIFIER = AllowedValues(0, 2**63 - 1, "i")
FINITE = AllowedValues(-3.4e38, 3.4e38)


def check_view(arrays: Mapping[str, NDArray], camera: Camera) -> None:
    """Check the arrays of one view's files.

    Raises:
        KeyError, ValueError: an array is missing, or does not fit the others or the camera; the message names it.
    """
    count = count_rows(arrays, "keypoints")
    check_pixels(arrays, "keypoints", count, camera)
    check_array(arrays, "scores", (count,), FINITE)
    shape = (count, 2)[: arrays["scales"].ndim]  # one number in maps of earlier releases
    check_array(arrays, "scales", shape, AllowedValues(1e-6, 1e6))
    check_array(arrays, "points_in_world", (count, 3), LENGTH)
    check_array(arrays, "confidence", (count,), SHARE)
    check_array(arrays, "depths", (count,), DISTANCE)
    if (lifted := arrays["depths"][arrays["confidence"] > 0]).size and not lifted.all():
        raise ValueError("depths: zero, for a keypoint that has a 3D point")
    if "depth_stds" in arrays:  # not in maps of earlier releases
        check_array(arrays, "depth_stds", (count,), AllowedValues(0.0, 3.4e38))
        last = count_rows(arrays, "landmark_ids") - 1
        check_array(arrays, "landmark_rows", (count,), AllowedValues(-1, last, "i"))
    check_array(arrays, "descriptors", (count, max(1, *arrays["descriptors"].shape[1:2])), FINITE)
    check_landmark_arrays(arrays, camera)
    for name in arrays:
        if name == "fine" or name.startswith("tower."):
            check_array(arrays, name, arrays[name].shape, FINITE)


def check_landmark_arrays(arrays: Mapping[str, NDArray], camera: Camera) -> None:
    """Check the landmarks that a view observes. Raises KeyError or ValueError as `check_view`."""
    count = count_rows(arrays, "landmark_ids")
    check_array(arrays, "landmark_ids", (count,), IDENTIFIER)
    check_pixels(arrays, "landmark_keypoints", count, camera)
    check_array(arrays, "landmark_points_in_world", (count, 3), LENGTH)
    if "landmark_depth_stds" in arrays:  # not in maps of earlier releases
        check_array(arrays, "landmark_depth_stds", (count,), AllowedValues(0.0, float("inf")))


def count_rows(arrays: Mapping[str, NDArray], name: str) -> int:
    """Return the length of an array. Raises KeyError if it is missing, ValueError if it is a scalar."""
    if arrays[name].ndim == 0:
        raise ValueError(f"{name} is of shape (), not a list")
    return len(arrays[name])


def check_pixels(arrays: Mapping[str, NDArray], name: str, count: int, camera: Camera) -> None:
    """Raise ValueError unless (count, 2) pixels lie in the image, or outside by less than its size."""
    check_array(arrays, name, (count, 2), FINITE)
    size = np.array([camera.width, camera.height])
    if not ((arrays[name] > -size) & (arrays[name] < 2 * size)).all():
        raise ValueError(f"{name}: a pixel far outside the image of {camera.width} x {camera.height} px")


def check_array(arrays: Mapping[str, NDArray], name: str, shape: tuple[int, ...], allowed: AllowedValues) -> None:
    """Raise KeyError or ValueError unless an array is there, with this shape and allowed type and values."""
    array = arrays[name]
    if tuple(array.shape) != shape:
        raise ValueError(f"{name} is of shape {tuple(array.shape)}, not {shape}")
    if array.dtype.kind != allowed.kind:
        raise ValueError(f"{name} is of type {array.dtype}")
    if not is_finite(array):
        raise ValueError(f"{name}: a value is not finite")
    if allowed is not FINITE and array.size and not (array.min() >= allowed.low and array.max() <= allowed.high):
        raise ValueError(f"{name}: a value is outside {allowed.low:g} to {allowed.high:g}")


def is_finite(array: NDArray) -> bool:
    """Return whether all values are finite; half precision is checked by its bits, since NumPy would convert it."""
    if array.dtype == np.float16:
        return not bool(((np.ascontiguousarray(array).view(np.uint16) & HALF_EXPONENT) == HALF_EXPONENT).any())
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())
