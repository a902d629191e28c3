"""Check lifted points of neighbouring views against each other before they enter a map.

This is Confidence-based Point Aggregation at the time of map building: a point that projects to where another view has
a nearer or farther point loses confidence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from deviloc_ros.config import LiftConfig
from deviloc_ros.geometry import transform_points
from deviloc_ros.maps.retrieval.by_pose import centres_and_axes, nearest_by_pose
from deviloc_ros.maps.store import Map
from deviloc_ros.types import Lifted, Prior, ReferenceView, depth_stds_from_confidence

VIEWS_IN_HAND = 64  # views kept in memory; neighbours are near each other in most orders of views


@dataclass(frozen=True, slots=True, eq=False)
class LiftedPixels:
    """Index the lifted keypoints of a view: their (M,) rows, and a tree of their pixels if there are any."""

    view: ReferenceView
    rows: NDArray
    tree: cKDTree | None

    @staticmethod
    def from_view(view: ReferenceView) -> LiftedPixels:
        """Index the lifted keypoints of a view."""
        rows = np.flatnonzero(view.lifted.confidence > 0)
        return LiftedPixels(view, rows, cKDTree(view.features.keypoints.cpu().numpy()[rows]) if len(rows) else None)


def check_neighbours(
    views: list[ReferenceView], config: LiftConfig, meters_per_radian: float, reference_map: Map | None = None
) -> list[Lifted]:
    """Return the lifted keypoints of each view with confidences scaled by the agreement of neighbouring views.

    Neighbours are other new views and, when a map is extended, its existing views, which do not change.
    `meters_per_radian` is retrieval's weight of turning against distance.

    With w_j the confidences of neighbours at the pixel to which a point projects, and a_j whether they agree in depth,
    the factor is (1 + sum a_j w_j) / (1 + sum w_j); without neighbours it is 1.
    """
    centres, axes = centres_and_axes([view.cam_from_world for view in views])
    if reference_map is not None:
        centres = np.concatenate([centres, reference_map.centres])
        axes = np.concatenate([axes, reference_map.axes])

    @lru_cache(VIEWS_IN_HAND)
    def surroundings(number: int) -> LiftedPixels:
        if reference_map is None or number < len(views):
            return LiftedPixels.from_view(views[number])
        return LiftedPixels.from_view(reference_map.view(number - len(views)))

    checked = []
    for number, view in enumerate(views):
        near = nearest_by_pose(centres, axes, Prior(view.cam_from_world), config.check_views + 1, meters_per_radian)
        others = [int(other) for other in near if other != number][: config.check_views]
        agreed, said = np.zeros(len(view.features)), np.zeros(len(view.features))
        for other in others:
            agrees, weight = compare_with(view, surroundings(other), config)
            agreed += agrees * weight
            said += weight
        checked.append(lower_confidence(view.lifted, view.lifted.confidence * (1 + agreed) / (1 + said)))
    return checked


def lower_confidence(lifted: Lifted, confidence: NDArray) -> Lifted:
    """Return the lifted keypoints with scaled confidences, and accordingly larger standard deviations of depths."""
    before, after = depth_stds_from_confidence(lifted.confidence), depth_stds_from_confidence(confidence)
    less_certain = np.where(lifted.confidence < 1, after / np.maximum(before, 1e-9), 1.0)  # not what is a landmark
    return replace(lifted, confidence=confidence, depth_stds=less_certain * lifted.depth_stds)


def compare_with(view: ReferenceView, other: LiftedPixels, config: LiftConfig) -> tuple[NDArray, NDArray]:
    """Return (N,) whether `other` agrees with each point of `view`, and (N,) its confidence there, 0 if it has none."""
    agrees, weight = np.zeros(len(view.features), bool), np.zeros(len(view.features))
    in_other = transform_points(other.view.cam_from_world, view.lifted.points_in_world)
    pixels = other.view.camera.project_visible(in_other)
    rows = np.flatnonzero((view.lifted.confidence > 0) & np.isfinite(pixels).all(1))
    if other.tree is None or not len(rows):
        return agrees, weight
    distance_px, nearest = other.tree.query(pixels[rows], distance_upper_bound=config.check_radius_px)
    found = np.isfinite(distance_px)
    rows, there = rows[found], other.rows[nearest[found]]
    ratio = in_other[rows, 2] / other.view.lifted.depths[there]
    agrees[rows] = np.abs(np.log(ratio)) < config.check_depth_difference
    weight[rows] = other.view.lifted.confidence[there]
    return agrees, weight
