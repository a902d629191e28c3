"""Compare places that one image fits: whether two are the same, and which have comparable support."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import pycolmap

from deviloc_ros.config import PoseConfig
from deviloc_ros.geometry import isotropic_covariance, rotation_distance_deg, translation_distance_m
from deviloc_ros.types import Localized, Place, Result

T = TypeVar("T")

ONE_PLACE_M, ONE_PLACE_DEG = 0.3, 10.0  # poses that differ by less are solutions of one place
# A place that views show less well than its look-alike has down to a sixth of its inliers although it is the right one.
# An unrelated place has less than a fiftieth.
CLEAR_SHARE = 0.15
WITHHELD_STD_M, WITHHELD_STD_RAD = 0.3, 0.1  # assumed for a pose that a gate withholds: enough to recognize the place


def place_of(result: Result, config: PoseConfig) -> Place | None:
    """Return the place of a result, even if a gate withholds its pose; None without a pose or with too few inliers."""
    evidence = result.evidence
    if evidence.cam_from_world is None or evidence.inliers < config.min_inliers:
        return None
    passes = isinstance(result, Localized)
    covariance = (
        result.covariance if isinstance(result, Localized) else isotropic_covariance(WITHHELD_STD_M, WITHHELD_STD_RAD)
    )
    view = evidence.references[evidence.inlying.main_reference] if evidence.references else ""
    return Place(evidence.cam_from_world, covariance, evidence.inliers, passes, view)


def are_one_place(one: pycolmap.Rigid3d, other: pycolmap.Rigid3d) -> bool:
    """Return whether two cam_from_world are near enough to be solutions of one place."""
    near = translation_distance_m(one, other) < ONE_PLACE_M
    return near and rotation_distance_deg(one, other) < ONE_PLACE_DEG


def select_comparable(found: Iterable[T], support: Callable[[T], float]) -> list[T]:
    """Return, best first, the items whose support is not clearly less than the best one's."""
    best_first = sorted(found, key=support, reverse=True)
    return [one for one in best_first if support(one) >= CLEAR_SHARE * support(best_first[0])]
