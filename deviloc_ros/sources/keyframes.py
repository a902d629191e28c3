"""Select keyframes of a drive: the sharpest image of each stretch of the path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.geometry import rotation_distance_deg, translation_distance_m


@dataclass(frozen=True, slots=True, eq=False)
class PosedFrame:
    """Hold an image of a drive with its pose. pixels: (H, W) gray or (H, W, 3) BGR."""

    time_ns: int
    cam_from_world: pycolmap.Rigid3d
    pixels: NDArray


@dataclass(frozen=True, slots=True)
class Spacing:
    """Say how far a camera moves or turns on one stretch of the path."""

    distance_m: float = 0.25
    angle_deg: float = 10.0

    def is_far(self, one: pycolmap.Rigid3d, other: pycolmap.Rigid3d) -> bool:
        """Return whether two poses cam_from_world differ by at least the distance or the angle."""
        return (
            translation_distance_m(one, other) >= self.distance_m or rotation_distance_deg(one, other) >= self.angle_deg
        )


def select_keyframes(frames: Iterable[PosedFrame], spacing: Spacing) -> Iterator[PosedFrame]:
    """Yield the sharpest frame of each stretch, in order, holding at most two; a robot that stands still gives one."""
    start, best, best_sharpness = None, None, -1.0
    for frame in frames:
        if start is None or spacing.is_far(start, frame.cam_from_world):
            if best is not None:
                yield best
            start, best_sharpness = frame.cam_from_world, -1.0
        if (sharpness := measure_sharpness(frame.pixels)) > best_sharpness:
            best, best_sharpness = frame, sharpness
    if best is not None:
        yield best


def measure_sharpness(pixels: NDArray) -> float:
    """Return the variance of the Laplacian divided by that of the image: blur lowers it, exposure does not."""
    gray = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY) if pixels.ndim == 3 else pixels
    return float(cv2.Laplacian(gray, cv2.CV_32F).var() / max(float(np.var(gray)), 1.0))
