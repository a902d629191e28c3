"""Depth images beside the images of a map: files, their units, and how they are compared with landmarks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.geometry import transform_points
from deviloc_ros.sensor_depth import (
    LEAST_PAIRS,
    Correction,
    DepthPoints,
    fit_correction,
    points_in_color,
    sense,
)
from deviloc_ros.types import Camera, Landmarks

if TYPE_CHECKING:
    from deviloc_ros.maps.sources import PosedImage, Skipped

MILLIMETRES = 1000.0
NO_DEPTH = 65535  # beside 0, in the files of 7-Scenes and others
COMPARED_VIEWS = 40  # evenly spread over a map, these tell how far the sensor is off
MOST_OFF = 1.2  # a sensor that is off by a larger factor has the wrong unit


class DepthError(ValueError):
    """A depth image that cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True, eq=False)
class DepthImage:
    """A 16-bit file of depth along the optical axis.

    camera: that took it. color_from_depth: None where its frame is the colour camera's. units_per_m: of its values.
    """

    path: Path
    camera: Camera
    color_from_depth: pycolmap.Rigid3d | None = None
    units_per_m: float = MILLIMETRES


def read_depth(depth: DepthImage) -> NDArray:
    """(H, W) m, 0 where there is none. Raises DepthError: missing, not 16-bit, or not of its camera's size."""
    if not depth.path.is_file():
        raise DepthError(f"{depth.path}: no such depth image")
    try:
        values = cv2.imdecode(np.fromfile(depth.path, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # an empty file
        values = None
    if values is None:
        raise DepthError(f"{depth.path}: not an image, or truncated")
    if values.dtype != np.uint16 or values.ndim != 2:
        raise DepthError(f"{depth.path}: depth has one channel of 16 bits, this is {values.shape} {values.dtype}")
    if values.shape != (depth.camera.height, depth.camera.width):
        raise DepthError(
            f"{depth.path}: {values.shape[1]} x {values.shape[0]} px, the depth camera has "
            f"{depth.camera.width} x {depth.camera.height}; say which it is with --depth-camera"
        )
    values[values == NO_DEPTH] = 0
    return (values / depth.units_per_m).astype(np.float32)


@dataclass(slots=True)
class DepthOfViews:
    """Sensor depth of a map's images: the correction that all share, and why some images have none."""

    correction: Correction = field(default_factory=Correction)
    used: int = 0
    skipped: list[Skipped] = field(default_factory=list)

    def count(self, image: PosedImage, problem: str) -> None:
        """One image more, whose depth was used unless there is a problem with it."""
        from deviloc_ros.maps.sources import Skipped

        if problem:
            self.skipped.append(Skipped(image.name, problem))
        elif image.depth is not None:
            self.used += 1


def points_of(depth: DepthImage) -> DepthPoints:
    """Raises DepthError."""
    return points_in_color(read_depth(depth), depth.camera, depth.color_from_depth or pycolmap.Rigid3d())


def compared_with_landmarks(images: list[PosedImage], landmarks: dict[str, Landmarks]) -> DepthOfViews:
    """Depth of these images, corrected by the landmarks that they observe.

    Raises:
        DepthError: sensor and landmarks differ so much that the unit must be wrong.
    """
    pairs = [pair for image in evenly(images) for pair in depths_at_landmarks(image, landmarks[image.name])]
    if not pairs:
        return DepthOfViews()
    rays, sensed, true = (np.concatenate(column) for column in zip(*pairs, strict=True))
    if len(true) >= LEAST_PAIRS and not 1 / MOST_OFF < (ratio := float(np.median(true / sensed))) < MOST_OFF:
        raise DepthError(f"landmarks are {ratio:.3g} times as far as depth images say: is --depth-scale right?")
    return DepthOfViews(fit_correction(rays, sensed, true))


def evenly(images: list[PosedImage]) -> list[PosedImage]:
    """At most COMPARED_VIEWS of those with depth."""
    with_depth = [image for image in images if image.depth is not None]
    return with_depth[:: max(1, -(-len(with_depth) // COMPARED_VIEWS))]


def depths_at_landmarks(image: PosedImage, landmarks: Landmarks) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
    """(N, 2) rays, (N,) sensed and (N,) true depths [m] of landmarks; nothing if the depth cannot be read."""
    try:
        seen = points_of(image.depth)  # type: ignore[arg-type]
    except DepthError:  # is named when the view is lifted
        return
    in_cam = transform_points(image.cam_from_world, landmarks.points_in_world)
    rays = image.camera.rays(landmarks.keypoints)[:, :2]
    sensed, _ = sense(seen, rays)
    usable = np.isfinite(sensed) & (in_cam[:, 2] > 1e-6)
    yield rays[usable], sensed[usable], in_cam[usable, 2]
