"""Fit the correction of a sensor's depth images to the landmarks of a map's images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deviloc_ros.geometry import transform_points
from deviloc_ros.lifting.sensor_depth import LEAST_PAIRS, DepthCorrection, fit_correction, sense_depths
from deviloc_ros.sampling import thin_evenly
from deviloc_ros.sources.base import PosedImage, Skipped
from deviloc_ros.sources.depth_images import DepthError, read_depth_points
from deviloc_ros.types import Landmarks

COMPARED_VIEWS = 40  # evenly spread over the map
MOST_OFF = 1.2  # if the sensor is off by a larger factor, its unit is wrong


@dataclass(slots=True)
class DepthOfViews:
    """Hold the common correction of all of a map's depth images, and why some images have no depth."""

    correction: DepthCorrection = field(default_factory=DepthCorrection)
    used: int = 0
    skipped: list[Skipped] = field(default_factory=list)

    def count_image(self, image: PosedImage, problem: str) -> None:
        """Count an image, whose depth was used unless there is a problem with it."""
        if problem:
            self.skipped.append(Skipped(image.name, problem))
        elif image.depth is not None:
            self.used += 1


def fit_depth_correction(images: list[PosedImage], landmarks: dict[str, Landmarks]) -> DepthOfViews:
    """Fit the correction of these images' depth to the landmarks that they observe.

    Raises:
        DepthError: sensor and landmarks differ so much that the unit must be wrong.
    """
    pairs = [pair for image in sample_with_depth(images) for pair in depths_at_landmarks(image, landmarks[image.name])]
    if not pairs:
        return DepthOfViews()
    rays, sensed, true = (np.concatenate(column) for column in zip(*pairs, strict=True))
    if len(true) >= LEAST_PAIRS and not 1 / MOST_OFF < (ratio := float(np.median(true / sensed))) < MOST_OFF:
        raise DepthError(f"landmarks are {ratio:.3g} times as far as depth images say: is --depth-scale right?")
    return DepthOfViews(fit_correction(rays, sensed, true))


def sample_with_depth(images: list[PosedImage]) -> list[PosedImage]:
    """Return at most COMPARED_VIEWS of the images with depth, evenly spread."""
    return thin_evenly([image for image in images if image.depth is not None], COMPARED_VIEWS)


def depths_at_landmarks(image: PosedImage, landmarks: Landmarks) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
    """Yield (N, 2) rays, (N,) sensed and (N,) true depths [m] of landmarks of each image whose depth can be read."""
    try:
        seen = read_depth_points(image.depth)  # type: ignore[arg-type]
    except DepthError:  # is named when the view is lifted
        return
    in_cam = transform_points(image.cam_from_world, landmarks.points_in_world)
    rays = image.camera.rays(landmarks.keypoints)[:, :2]
    sensed, _ = sense_depths(seen, rays)
    usable = np.isfinite(sensed) & (in_cam[:, 2] > 1e-6)
    yield rays[usable], sensed[usable], in_cam[usable, 2]
