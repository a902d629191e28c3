"""Lifted points of neighbouring views checked against each other before they enter a map.

Confidence-based Point Aggregation merges what several references say of one query pixel; this is the same thought at
the time a map is built: a point that lands where another view says something nearer or farther loses confidence.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from deviloc_ros.config import LiftConfig
from deviloc_ros.geometry import transform_points
from deviloc_ros.maps.retrieval import centres_and_axes, nearest_by_pose
from deviloc_ros.maps.store import Map
from deviloc_ros.types import Lifted, Prior, ReferenceView

METERS_PER_RADIAN = 1.0


def check_neighbours(views: list[ReferenceView], config: LiftConfig, reference_map: Map | None = None) -> list[Lifted]:
    """What each view's keypoints are lifted to, with confidences scaled by how far neighbouring views agree.

    Neighbours are other new views and, when a map grows, those that it has already; these stay as they are.

    With w_j the confidences that neighbours have in what they say at the pixel a point projects to, and a_j whether
    that agrees in depth, the factor is (1 + sum a_j w_j) / (1 + sum w_j): nothing said leaves it at 1.
    """
    centres, axes = centres_and_axes([view.cam_from_world for view in views])
    if reference_map is not None:
        centres = np.concatenate([centres, reference_map.centres])
        axes = np.concatenate([axes, reference_map.axes])

    def read(number: int) -> ReferenceView:
        if reference_map is None or number < len(views):
            return views[number]
        return reference_map.view(number - len(views))

    checked = []
    for number, view in enumerate(views):
        near = nearest_by_pose(centres, axes, Prior(view.cam_from_world), config.check_views + 1, METERS_PER_RADIAN)
        others = [other for other in near if other != number][: config.check_views]
        agreed, said = np.zeros(len(view.features)), np.zeros(len(view.features))
        for other in others:
            agrees, weight = compare(view, read(int(other)), config)
            agreed += agrees * weight
            said += weight
        checked.append(replace(view.lifted, confidence=view.lifted.confidence * (1 + agreed) / (1 + said)))
    return checked


def compare(view: ReferenceView, other: ReferenceView, config: LiftConfig) -> tuple[NDArray, NDArray]:
    """(N,) whether `other` agrees with each point of `view`, and (N,) its confidence there; 0 where it says nothing."""
    agrees, weight = np.zeros(len(view.features), bool), np.zeros(len(view.features))
    lifted = np.flatnonzero(other.lifted.confidence > 0)
    in_other = transform_points(other.cam_from_world, view.lifted.points_in_world)
    pixels = other.camera.project(in_other)
    rows = np.flatnonzero((view.lifted.confidence > 0) & (in_other[:, 2] > 0) & np.isfinite(pixels).all(1))
    if not len(lifted) or not len(rows):
        return agrees, weight
    tree = cKDTree(other.features.keypoints.cpu().numpy()[lifted])
    distance_px, nearest = tree.query(pixels[rows], distance_upper_bound=config.check_radius_px)
    found = np.isfinite(distance_px)
    rows, there = rows[found], lifted[nearest[found]]
    ratio = in_other[rows, 2] / other.lifted.depths[there]
    agrees[rows] = np.abs(np.log(ratio)) < config.check_depth_difference
    weight[rows] = other.lifted.confidence[there]
    return agrees, weight
