"""Compute errors of localized queries, and statistics over sets of queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pycolmap
from scipy.stats import binom

from deviloc_ros.evaluation.covariance import measure_consistency
from deviloc_ros.geometry import pose_difference, rotation_distance_deg, squared_mahalanobis, translation_distance_m
from deviloc_ros.types import Localized, Result

RECALL_THRESHOLDS = {
    "1cm_1deg": (0.01, 1.0),
    "2cm_2deg": (0.02, 2.0),
    "5cm_5deg": (0.05, 5.0),
    "10cm_5deg": (0.10, 5.0),
}
WRONG_FIX_M, WRONG_FIX_DEG = 0.5, 10.0
DRAWS = 10_000  # of a bootstrap, so that shares are accurate to half a percent
INTERVAL = 0.95  # confidence of the interval of a median


@dataclass(frozen=True, slots=True, eq=False)
class QueryOutcome:
    """Hold one query's result with its errors, NaN if it was not localized; `scene_m` divides translations.

    nees: normalised estimation error squared, e^T covariance^-1 e of the six degrees of freedom.
    """

    name: str
    result: Result
    translation_m: float
    rotation_deg: float
    nees: float
    scene_m: float = 1.0

    @property
    def localized(self) -> bool:
        """Return whether the query got a pose."""
        return isinstance(self.result, Localized)

    @property
    def is_wrong_fix(self) -> bool:
        """Return whether a pose was given that is far off."""
        return is_wrong_fix(self.translation_m, self.rotation_deg)


class ScoredQuery(Protocol):
    """Describe what recall and medians are computed from; errors are NaN for a query that was not localized."""

    @property
    def translation_m(self) -> float: ...
    @property
    def rotation_deg(self) -> float: ...
    @property
    def scene_m(self) -> float: ...
    @property
    def localized(self) -> bool: ...


def is_wrong_fix(translation_m: float, rotation_deg: float) -> bool:
    """Return whether a pose that was given is far off; NaN, for none given, is not."""
    return translation_m > WRONG_FIX_M or rotation_deg > WRONG_FIX_DEG


def compare_to_truth(
    name: str, result: Result, true_cam_from_world: pycolmap.Rigid3d, scene_m: float = 1.0
) -> QueryOutcome:
    """Compare a result with the truth."""
    if not isinstance(result, Localized):
        return QueryOutcome(name, result, np.nan, np.nan, np.nan, scene_m)
    estimated = result.cam_from_world
    return QueryOutcome(
        name,
        result,
        translation_distance_m(estimated, true_cam_from_world),
        rotation_distance_deg(estimated, true_cam_from_world),
        normalised_error_squared(result, true_cam_from_world),
        scene_m,
    )


def compare_to_nothing(name: str, result: Result) -> QueryOutcome:
    """Compare the result of an image of another place than the map's: any pose is infinitely far off."""
    errors = [np.inf if isinstance(result, Localized) else np.nan] * 3
    return QueryOutcome(name, result, *errors)


def normalised_error_squared(result: Localized, true_cam_from_world: pycolmap.Rigid3d) -> float:
    """Return the NEES of world_from_cam, chi-squared with 6 degrees of freedom if its covariance is right."""
    error = pose_difference(result.cam_from_world.inverse(), true_cam_from_world.inverse())
    return squared_mahalanobis(error, result.covariance)


def recall_by_threshold(outcomes: Sequence[ScoredQuery]) -> dict[str, float]:
    """Return the share of *all* queries within each threshold; lost ones are misses."""
    return {
        name: float(np.mean([o.translation_m / o.scene_m <= near and o.rotation_deg <= turned for o in outcomes]))
        for name, (near, turned) in RECALL_THRESHOLDS.items()
    }


def translation_errors(outcomes: Sequence[ScoredQuery]) -> list[float]:
    """Return the errors of all queries [m or scene units]; a lost one counts as infinitely wrong."""
    return [o.translation_m / o.scene_m if o.localized else np.inf for o in outcomes]


def median_errors(outcomes: Sequence[ScoredQuery]) -> tuple[float, float]:
    """Return median translation [m or scene units] and rotation [deg]; a lost query counts as infinitely wrong."""
    rotations = [o.rotation_deg if o.localized else np.inf for o in outcomes]
    return float(np.median(translation_errors(outcomes))), float(np.median(rotations))


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the confidence interval of the median, with a confidence of at least INTERVAL.

    It lies between two order statistics, since each query is below the true median with probability one half for any
    distribution (Conover, Practical Nonparametric Statistics, section 3.2); lost ones may be infinite. With too few
    queries it is the range of all.
    """
    ordered = sorted(values)
    outside = max(int(binom.ppf((1 - INTERVAL) / 2, len(ordered), 0.5)) - 1, 0)
    return ordered[outside], ordered[-1 - outside]


def share_not_worse(errors: Sequence[float], baseline: Sequence[float]) -> float:
    """Return the share of DRAWS bootstrap samples in which the median error is not larger than a baseline's.

    A paired bootstrap (Efron and Tibshirani 1993): both are of the same queries in the same order; lost ones are
    infinite.
    """
    one, other = np.asarray(errors, float), np.asarray(baseline, float)
    if one.shape != other.shape:
        raise ValueError(f"{len(one)} and {len(other)} errors are not of the same queries")
    drawn = np.random.default_rng(0).integers(len(one), size=(DRAWS, len(one)))
    return float((np.median(one[drawn], axis=1) <= np.median(other[drawn], axis=1)).mean())


def summarize(outcomes: list[QueryOutcome]) -> dict[str, object]:
    """Return the figures that every report contains."""
    translation, rotation = median_errors(outcomes)
    times = [sum(o.result.evidence.stages_ms.values()) for o in outcomes]
    stages = {name for o in outcomes for name in o.result.evidence.stages_ms}
    localized = [o for o in outcomes if o.localized]
    return {
        "queries": len(outcomes),
        "localized": len(localized),
        "wrong_fixes": sum(o.is_wrong_fix for o in outcomes),
        "median_translation_m": translation,
        "median_translation_interval_m": median_interval(translation_errors(outcomes)),
        "median_rotation_deg": rotation,
        "translations_m": translation_errors(outcomes),
        "recall": recall_by_threshold(outcomes),
        "covariance": measure_consistency([o.nees for o in localized]),
        "median_inliers": float(np.median([o.result.evidence.inliers for o in localized])) if localized else 0.0,
        "latency_ms": {
            "p50": float(np.percentile(times, 50)),
            "p95": float(np.percentile(times, 95)),
            "stages": {
                name: float(np.median([o.result.evidence.stages_ms.get(name, 0.0) for o in outcomes]))
                for name in sorted(stages)
            },
        },
    }
