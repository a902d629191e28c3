"""Check a camera's intrinsics by many images; a single one tells little about them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config, PoseConfig
from deviloc_ros.config_fields import change_config
from deviloc_ros.geometry import rotation_distance_deg, translation_distance_m
from deviloc_ros.pose.intrinsics import UNKNOWN, describe_change, select_contradicting
from deviloc_ros.pose.refinement import ALL_INTRINSICS, intrinsics_units
from deviloc_ros.tracking.pooling import Pooled, pool_estimates
from deviloc_ros.types import IntrinsicsFit

WINDOW = 50
LEAST_IMAGES = 10
POOL_AGAIN_AFTER = 5  # new images, since pooling takes milliseconds
POOLED_STDS = 7.0  # the largest deviation of right calibrations is 5.0, in windows of ten and more images of seven maps
MOVED_SHARE, MOVED_DEG = 0.05, 5.0  # of the distance to what is seen; errors at one place are correlated


@dataclass(frozen=True, slots=True, eq=False)
class PooledIntrinsics:
    """Hold the estimate of a camera's intrinsics from many images.

    change: (4,) of `Camera.change_intrinsics`. stds: (4,). images: how many there were. wrong: the change and its
    standard deviation of those INTRINSICS, by index, that must be wrong to explain the images, with the others as
    calibrated; empty if the calibration explains them.
    """

    change: NDArray
    stds: NDArray
    images: int
    wrong: dict[int, tuple[float, float]] = field(default_factory=dict)

    def figures(self) -> dict[str, float]:
        """Return by name how far the calibration is off, with deviations: focal length as a factor, the rest added."""
        scale, (_, x, y, k1) = float(np.exp(self.change[0])), -self.change
        values = {"focal_scale": scale, "principal_point_x_px": x, "principal_point_y_px": y, "k1": k1}
        stds = dict(zip(values, [scale * self.stds[0], *self.stds[1:]], strict=True))
        figures = {name: float(value) for name, value in values.items()}
        return figures | {f"{name}_std": float(std) for name, std in stds.items()} | {"images": self.images}


class IntrinsicsCheck:
    """Collect what one camera's images tell about its intrinsics; only the last `window` count."""

    def __init__(self, window: int | None = WINDOW) -> None:
        self._fits: deque[IntrinsicsFit] = deque(maxlen=window)
        self._pooled: PooledIntrinsics | None = None
        self._added = 0  # since they were pooled

    def add_fit(self, fit: IntrinsicsFit | None) -> None:
        """Take a fit into account, unless the camera has hardly moved since the last one."""
        if fit is not None and (not self._fits or has_moved(fit, self._fits[-1])):
            self._fits.append(fit)
            self._added += 1

    def pool(self, camera: Camera, config: PoseConfig) -> PooledIntrinsics | None:
        """Return the pooled estimate, given the accuracy of a calibration; None while there are too few images."""
        if len(self._fits) >= LEAST_IMAGES and self._added >= (1 if self._pooled is None else POOL_AGAIN_AFTER):
            self._pooled, self._added = pool_fits(self._fits, camera, config), 0
        return self._pooled

    def complaint(self, camera: Camera, config: PoseConfig) -> str:
        """Say what is wrong with the calibration and by how much; empty if nothing is."""
        pooled = self.pool(camera, config)
        if pooled is None or not pooled.wrong:
            return ""
        said = "; ".join(describe_change(number, *found) for number, found in sorted(pooled.wrong.items()))
        return f"{said} ({pooled.images} images): calibrate the camera"

    def widen(self, camera: Camera, config: Config) -> Config:
        """Return `config` with the standard deviations of a wrong calibration widened by its error."""
        pooled = self.pool(camera, config.pose)
        if pooled is None or not pooled.wrong:
            return config
        off = [math.hypot(*pooled.wrong.get(number, (0.0, 0.0))) for number in ALL_INTRINSICS]
        focal, x, y, k1 = np.hypot(config.pose.intrinsics_stds, off).tolist()
        stds = {"focal_std": min(focal, 1.0), "principal_point_std_px": max(x, y), "distortion_std": k1}
        return change_config(config, pose=stds)


def pool_fits(fits: Sequence[IntrinsicsFit], camera: Camera, config: PoseConfig) -> PooledIntrinsics:
    """Return the joint estimate of all intrinsics, and which few of them must be wrong to explain the images.

    Errors of focal length, principal point and distortion can look much alike at one place, so that all of them
    together are poorly determined. Usually one is wrong: the most significant one is freed first, then the next, while
    there is one (forward selection).
    """
    informations, vectors = np.array([fit.information for fit in fits]), np.array([fit.vector for fit in fits])
    unknown, calibrated = UNKNOWN * intrinsics_units(camera), np.array(config.intrinsics_stds)

    def pool(free: list[int]) -> Pooled:
        return pool_estimates(informations, vectors, np.where(np.isin(ALL_INTRINSICS, free), unknown, calibrated))

    wrong: list[int] = []
    while left := [number for number in ALL_INTRINSICS if number not in wrong]:
        tried = {number: pool([*wrong, number]) for number in left}
        surest = max(tried, key=lambda number: abs(tried[number].values[number]) / tried[number].claimed_stds[number])
        found = tried[surest]
        if not select_contradicting(found.values, found.stds, camera, config, POOLED_STDS)[surest]:
            break
        wrong.append(surest)
    everything, explained = pool([*ALL_INTRINSICS]), pool(wrong)
    named = {number: (float(explained.values[number]), float(explained.stds[number])) for number in wrong}
    return PooledIntrinsics(everything.values, everything.stds, len(fits), named)


def measure_contradiction(fits: Sequence[IntrinsicsFit], camera: Camera) -> float:
    """Return by how many standard deviations the most deviating of the intrinsics is off, by all images."""
    informations, vectors = np.array([fit.information for fit in fits]), np.array([fit.vector for fit in fits])
    pooled = pool_estimates(informations, vectors, UNKNOWN * intrinsics_units(camera))
    return float(np.max(np.abs(pooled.values) / pooled.stds))


def has_moved(fit: IntrinsicsFit, before: IntrinsicsFit) -> bool:
    """Return whether two images were taken from clearly different positions or in different directions."""
    moved_m = translation_distance_m(fit.cam_from_world, before.cam_from_world)
    return moved_m > MOVED_SHARE * fit.depth_m or (
        rotation_distance_deg(fit.cam_from_world, before.cam_from_world) > MOVED_DEG
    )
