"""Merge the correspondences of all references into one per query cell: Confidence-based Point Aggregation (CPA)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deviloc_ros.config import AggregationConfig
from deviloc_ros.types import Correspondences

PIXEL = 0.002  # of the depth: about what a pixel across the ray amounts to, below which no depth need be known


def aggregate(correspondences: Correspondences, config: AggregationConfig) -> Correspondences:
    """Merge the correspondences whose query pixels fall into one cell, weighted by confidence.

    The paper averages everything in a cell, so a foreground and a background point meet in mid-air. Here the point of a
    cell whose depth is known best speaks first and only points that agree with it join it; the others merge among
    themselves and stay as correspondences of their own, for RANSAC to judge. Within a group the weights are inverse
    variances, so that a landmark stays where it is whatever was lifted beside it.

    Returns:
        Correspondences with the mean confidence of what each was merged from, most confident first.
    """
    if config.method == "paper":
        from deviloc_ros.upstream.aggregation import aggregate_as_published

        return aggregate_as_published(correspondences, config)
    known = np.isfinite(correspondences.points_in_world).all(1)
    left = correspondences[known & (correspondences.confidence > config.min_confidence)]
    left = left[np.lexsort((-left.confidence, left.depth_stds))]
    _, cells = np.unique(np.round(left.keypoints / config.cell_px), axis=0, return_inverse=True)
    groups = np.full(len(left), -1)
    while (groups < 0).any():
        groups = join_first_of_each_cell(groups, cells.reshape(-1), left, config.max_depth_difference)
    merged = merge_groups(left, groups)
    return merged[np.argsort(-merged.confidence, kind="stable")]


def join_first_of_each_cell(groups: NDArray, cells: NDArray, points: Correspondences, tolerance: float) -> NDArray:
    """Do one round: in each cell, the first point without a group founds one, and those that agree with it join."""
    free = np.flatnonzero(groups < 0)
    founders, founder_of = np.unique(cells[free], return_index=True)
    founder = free[founder_of][np.searchsorted(founders, cells[free])]
    apart = np.linalg.norm(points.points_in_world[free] - points.points_in_world[founder], axis=1)
    agree = (apart <= tolerance * points.depths[founder]) | (free == founder)
    groups = groups.copy()
    groups[free[agree]] = founder[agree]
    return groups


def merge_groups(points: Correspondences, groups: NDArray) -> Correspondences:
    """Return the weighted mean of each group, its mean confidence, and where its first member came from.

    Members err together, since they rest on the same landmarks: their mean is not taken to be surer than they are.
    """
    _, first, member_of = np.unique(groups, return_index=True, return_inverse=True)
    weights = 1 / (PIXEL**2 + points.depth_stds**2)

    def sum_up(values: NDArray) -> NDArray:
        return np.bincount(member_of, values, minlength=len(first))

    def mean(values: NDArray) -> NDArray:
        columns = np.atleast_2d(values.T)
        return np.stack([sum_up(weights * column) for column in columns], 1) / sum_up(weights)[:, None]

    return Correspondences(
        mean(points.keypoints),
        mean(points.points_in_world),
        sum_up(points.confidence) / np.bincount(member_of, minlength=len(first)),
        mean(points.depths)[:, 0],
        points.references[first],
        points.origins[first],
        np.sqrt(mean(points.depth_stds**2)[:, 0]),
        mean(points.stds_px)[:, 0],
        points.landmark_ids[first],
    )
