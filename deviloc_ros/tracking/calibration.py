"""Judge a camera's focal length by many images: one tells it to a few percent, many to a fraction."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from deviloc_ros.geometry import robust_std, rotation_distance_deg, translation_distance_m
from deviloc_ros.pose.focal_length import contradicts_calibration
from deviloc_ros.types import FocalFit

WINDOW = 50
LEAST_IMAGES = 10
MOVED_SHARE, MOVED_DEG = 0.05, 5.0  # of the distance to what is seen: images from one place err together


@dataclass(frozen=True, slots=True)
class MedianFocal:
    """Hold the median focal length. scale: times the camera's. std: its standard error.

    Images: how many it rests on.
    """

    scale: float
    std: float
    images: int

    def __str__(self) -> str:
        return f"{self.scale:.3f} +- {self.std:.3f} times the calibration's fits ({self.images} images)"


class FocalCheck:
    """Collect the fits of one camera's images, in order; the last `window` count."""

    def __init__(self, window: int | None = WINDOW) -> None:
        self._fits: deque[FocalFit] = deque(maxlen=window)

    def clear_fits(self) -> None:
        """Begin anew: another camera, or another map."""
        self._fits.clear()

    def add_fit(self, fit: FocalFit | None) -> None:
        """Take a fit into account, unless the camera has hardly moved since the last one."""
        if fit is not None and (not self._fits or has_moved(fit, self._fits[-1])):
            self._fits.append(fit)

    @property
    def median_fit(self) -> MedianFocal | None:
        """Return the median over the fits; None while there are too few images."""
        if len(self._fits) < LEAST_IMAGES:
            return None
        scales = np.array([fit.scale for fit in self._fits])
        median = float(np.median(scales))
        spread = robust_std(scales - median)
        return MedianFocal(median, spread * math.sqrt(math.pi / 2 / len(scales)), len(scales))  # of a median

    def complaint(self, tolerance: float) -> str:
        """Return what is wrong with the calibration, empty if nothing is to be seen."""
        found = self.median_fit
        if found is None or not contradicts_calibration(found.scale, found.std, tolerance):
            return ""
        return f"{found}: calibrate the camera"


def has_moved(fit: FocalFit, before: FocalFit) -> bool:
    """Return whether two images were taken from places, or in directions, that differ."""
    moved_m = translation_distance_m(fit.cam_from_world, before.cam_from_world)
    return moved_m > MOVED_SHARE * fit.depth_m or (
        rotation_distance_deg(fit.cam_from_world, before.cam_from_world) > MOVED_DEG
    )
