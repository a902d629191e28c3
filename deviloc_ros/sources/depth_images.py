"""Read depth images, 16-bit files in some unit, and the points that they show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.io.encoded_images import decode_image
from deviloc_ros.lifting.sensor_depth import DepthPoints, move_into_color

MILLIMETRES = 1000.0
NO_DEPTH = 65535  # means no depth, as 0 does, in the files of 7-Scenes and others


class DepthError(ValueError):
    """Raise when a depth image cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True, eq=False)
class DepthImage:
    """Name a 16-bit file of depth along the optical axis.

    camera: that took it. color_from_depth: None if its frame is the colour camera's. units_per_m: of its values.
    """

    path: Path
    camera: Camera
    color_from_depth: pycolmap.Rigid3d | None = None
    units_per_m: float = MILLIMETRES


def read_depth(depth: DepthImage) -> NDArray:
    """Return (H, W) m, 0 for no depth. Raises DepthError: missing, not 16-bit, or not of its camera's size."""
    if not depth.path.is_file():
        raise DepthError(f"{depth.path}: no such depth image")
    try:
        values = decode_image(depth.path.read_bytes())
    except ValueError as error:
        raise DepthError(f"{depth.path}: {error}") from error
    if values.dtype != np.uint16 or values.ndim != 2:
        raise DepthError(f"{depth.path}: depth has one channel of 16 bits, this is {values.shape} {values.dtype}")
    if values.shape != (depth.camera.height, depth.camera.width):
        raise DepthError(
            f"{depth.path}: {values.shape[1]} x {values.shape[0]} px, the depth camera has "
            f"{depth.camera.width} x {depth.camera.height}; say which it is with --depth-camera"
        )
    values[values == NO_DEPTH] = 0
    return (values / depth.units_per_m).astype(np.float32)


def read_depth_points(depth: DepthImage) -> DepthPoints:
    """Read the points that a depth image shows. Raises DepthError."""
    return move_into_color(read_depth(depth), depth.camera, depth.color_from_depth or pycolmap.Rigid3d())
