"""Define the estimate of each image of a recording, and compare it with the truth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.bags.truth import Truth
from deviloc_ros.camera import Camera
from deviloc_ros.evaluation.metrics import is_wrong_fix
from deviloc_ros.geometry import isotropic_covariance, pose_difference, rotation_distance_deg, squared_mahalanobis
from deviloc_ros.maps.alignment.similarity import align_positions
from deviloc_ros.status import Status
from deviloc_ros.tracking.fix import Fix, largest_stds
from deviloc_ros.types import Area, CameraReport, IntrinsicsFit, Prior


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """Hold the estimate of one image.

    map_from_base, covariance: (6, 6) as in tracking.Fix; None without a pose. prior: where its camera was searched for.
    intrinsics: what the image tells about its camera's intrinsics. seen: the robot's pose by the image, believed or
    not. stages_ms: by stage, in order; measured, so not reproducible. cameras: of a rig, the outcome of each. map_name:
    of several maps, the one that it shows.
    """

    received_ns: int
    stamp_ns: int
    status: Status
    detail: str = ""
    map_from_base: pycolmap.Rigid3d | None = None
    covariance: NDArray | None = None
    inliers: int = 0
    inlier_ratio: float = 0.0
    coverage: float = 0.0
    references: tuple[str, ...] = ()
    prior: Prior | Area | None = None
    intrinsics: IntrinsicsFit | None = None
    camera: Camera | None = None
    seen: Fix | None = None
    stages_ms: dict[str, float] = field(default_factory=dict)
    cameras: tuple[CameraReport, ...] = ()
    map_name: str = ""

    @property
    def tried(self) -> bool:
        """Return whether the image reached the localizer."""
        return self.status.tried

    @property
    def localized(self) -> bool:
        """Return whether there is a pose."""
        return self.status is Status.ACCEPTED

    @property
    def latency_ms(self) -> float:
        """Return the milliseconds of all stages together."""
        return sum(self.stages_ms.values())


@dataclass(frozen=True, slots=True, eq=False)
class JudgedFrame:
    """Hold an estimate with its errors, NaN without a pose or without a truth.

    map_from_base: of the estimate, aligned if requested. nees: normalised estimation error squared, 6 on average if the
    covariance is right.
    """

    estimate: Estimate
    map_from_base: pycolmap.Rigid3d | None
    true_map_from_base: pycolmap.Rigid3d | None
    translation_m: float
    rotation_deg: float
    std_m: float
    std_deg: float
    nees: float
    scene_m: float = 1.0

    @property
    def localized(self) -> bool:
        """Return whether there is a pose."""
        return self.estimate.localized

    @property
    def has_truth(self) -> bool:
        """Return whether the true pose is known."""
        return self.true_map_from_base is not None

    @property
    def is_wrong_fix(self) -> bool:
        """Return whether the pose is far off."""
        return is_wrong_fix(self.translation_m, self.rotation_deg)


def list_stamps(estimates: Iterable[Estimate]) -> list[int]:
    """Return the stamps [ns] of images that have one."""
    return [estimate.stamp_ns for estimate in estimates if estimate.stamp_ns > 0]


def judge_estimates(estimates: list[Estimate], truth: Truth | None, align: bool) -> list[JudgedFrame]:
    """Compare estimates with the truth; `align` first moves all of them by the best rigid transform.

    Raises:
        ValueError: no image has a truth, or too few to align.
    """
    true_from_base = [truth.at(e.stamp_ns) if truth else None for e in estimates]
    if truth and estimates and not any(true_from_base):
        stamps_ns = list_stamps(estimates) or [0]
        first, last = stamps_ns[0] * 1e-9, stamps_ns[-1] * 1e-9
        raise ValueError(
            f"no image has ground truth within {first:.3f} to {last:.3f} s: it spans {truth.span_s[0]:.3f} to "
            f"{truth.span_s[1]:.3f} s; are both of one clock?"
        )
    true_from_map = pycolmap.Rigid3d()
    if align:
        both = [(e.map_from_base, t) for e, t in zip(estimates, true_from_base, strict=True) if e.localized and t]
        origins = [np.array([pose.translation for pose in side if pose]) for side in zip(*both, strict=True)]
        try:
            found = align_positions(*(origins or [np.zeros((0, 3))] * 2), rigid=True)
        except ValueError as error:
            raise ValueError(f"--align: of localized frames with ground truth, {error}") from error
        true_from_map = pycolmap.Rigid3d(found.rotation, found.translation)
    return [judge_estimate(e, true, true_from_map) for e, true in zip(estimates, true_from_base, strict=True)]


def judge_estimate(
    estimate: Estimate, true_from_base: pycolmap.Rigid3d | None, true_from_map: pycolmap.Rigid3d | None = None
) -> JudgedFrame:
    """Compare one estimate, moved by `true_from_map`, with the truth."""
    estimated_from_base, covariance = estimate.map_from_base, estimate.covariance
    if estimated_from_base is None:
        return JudgedFrame(estimate, None, true_from_base, np.nan, np.nan, np.nan, np.nan, np.nan)
    if true_from_map is not None:
        estimated_from_base = true_from_map * estimated_from_base
        covariance = turn_covariance(covariance, true_from_map)
    std_m, std_deg = largest_stds(covariance) if covariance is not None else (np.nan, np.nan)
    if true_from_base is None:
        return JudgedFrame(estimate, estimated_from_base, None, np.nan, np.nan, std_m, std_deg, np.nan)
    difference = pose_difference(estimated_from_base, true_from_base)
    return JudgedFrame(
        estimate,
        estimated_from_base,
        true_from_base,
        float(np.linalg.norm(difference[:3])),
        rotation_distance_deg(estimated_from_base, true_from_base),
        std_m,
        std_deg,
        normalise_error(difference, covariance),
    )


def turn_covariance(covariance: NDArray | None, true_from_map: pycolmap.Rigid3d) -> NDArray | None:
    """Return (6, 6) in the axes of another frame."""
    if covariance is None:
        return None
    rotation = np.kron(np.eye(2), true_from_map.rotation.matrix())
    return rotation @ covariance @ rotation.T


def normalise_error(error: NDArray, covariance: NDArray | None) -> float:
    """Return the NEES: error^T covariance^-1 error; NaN without a covariance."""
    if covariance is None or not covariance.any():
        return np.nan
    return squared_mahalanobis(error, covariance + isotropic_covariance(1e-12, 1e-12))
