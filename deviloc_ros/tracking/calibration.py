"""Judge a camera's intrinsics by many images: one tells little of them, many a good deal."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config, PoseConfig, change_config
from deviloc_ros.geometry import rotation_distance_deg, translation_distance_m
from deviloc_ros.pose.intrinsics import UNKNOWN, describe_change, select_contradicting
from deviloc_ros.pose.refinement import intrinsics_units
from deviloc_ros.tracking.pooling import pool_estimates
from deviloc_ros.types import IntrinsicsFit

WINDOW = 50
LEAST_IMAGES = 10
MOVED_SHARE, MOVED_DEG = 0.05, 5.0  # of the distance to what is seen: images from one place err together


@dataclass(frozen=True, slots=True, eq=False)
class PooledIntrinsics:
    """Hold what many images say of a calibration: the (4,) change of `Camera.change_intrinsics` that fits, its stds.

    images: how many it rests on.
    """

    change: NDArray
    stds: NDArray
    images: int

    def figures(self) -> dict[str, float]:
        """Return by how much the calibration is off: the focal length that fits as a multiple of it, the rest added."""
        scale, (_, x, y, k1) = float(np.exp(self.change[0])), -self.change
        values = {"focal_scale": scale, "principal_point_x_px": x, "principal_point_y_px": y, "k1": k1}
        stds = dict(zip(values, [scale * self.stds[0], *self.stds[1:]], strict=True))
        figures = {name: float(value) for name, value in values.items()}
        return figures | {f"{name}_std": float(std) for name, std in stds.items()} | {"images": self.images}


class IntrinsicsCheck:
    """Collect what one camera's images say of its intrinsics, in order; the last `window` count."""

    def __init__(self, window: int | None = WINDOW) -> None:
        self._fits: deque[IntrinsicsFit] = deque(maxlen=window)
        self._pooled: PooledIntrinsics | None = None

    def clear_fits(self) -> None:
        """Begin anew: another camera, or another map."""
        self._fits.clear()
        self._pooled = None

    def add_fit(self, fit: IntrinsicsFit | None) -> None:
        """Take a fit into account, unless the camera has hardly moved since the last one."""
        if fit is not None and (not self._fits or has_moved(fit, self._fits[-1])):
            self._fits.append(fit)
            self._pooled = None

    def pool(self, camera: Camera) -> PooledIntrinsics | None:
        """Return what the images say together; None while there are too few."""
        if len(self._fits) < LEAST_IMAGES:
            return None
        if self._pooled is None:
            informations = np.array([fit.information for fit in self._fits])
            vectors = np.array([fit.vector for fit in self._fits])
            found = pool_estimates(informations, vectors, UNKNOWN * intrinsics_units(camera))
            self._pooled = PooledIntrinsics(found.values, found.stds, len(self._fits))
        return self._pooled

    def complaint(self, camera: Camera, config: PoseConfig) -> str:
        """Return what is wrong with the calibration and by how much, empty if nothing is to be seen."""
        pooled = self.pool(camera)
        if pooled is None:
            return ""
        wrong = np.flatnonzero(select_contradicting(pooled.change, pooled.stds, camera, config)).tolist()
        said = [describe_change(number, pooled.change[number], pooled.stds[number]) for number in wrong]
        return f"{'; '.join(said)} ({pooled.images} images): calibrate the camera" if said else ""

    def widen(self, camera: Camera, config: Config) -> Config:
        """Return `config` with a calibration that is known to be wrong taken as no better than it is."""
        pooled = self.pool(camera)
        if pooled is None:
            return config
        wrong = select_contradicting(pooled.change, pooled.stds, camera, config.pose)
        off = np.where(wrong, np.hypot(pooled.change, pooled.stds), 0.0)
        focal, x, y, k1 = np.hypot(config.pose.intrinsics_stds, off).tolist()
        stds = {"focal_std": min(focal, 1.0), "principal_point_std_px": max(x, y), "distortion_std": k1}
        return change_config(config, pose=stds)


def has_moved(fit: IntrinsicsFit, before: IntrinsicsFit) -> bool:
    """Return whether two images were taken from places, or in directions, that differ."""
    moved_m = translation_distance_m(fit.cam_from_world, before.cam_from_world)
    return moved_m > MOVED_SHARE * fit.depth_m or (
        rotation_distance_deg(fit.cam_from_world, before.cam_from_world) > MOVED_DEG
    )
