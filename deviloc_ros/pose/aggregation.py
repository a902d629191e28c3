"""Merge the correspondences of all references into one per query cell: Confidence-based Point Aggregation (CPA)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deviloc_ros.config import AggregationConfig
from deviloc_ros.types import Correspondences

PIXEL = 0.002  # of the depth: about the size of a pixel; depths need not be known better than that


def aggregate(correspondences: Correspondences, config: AggregationConfig) -> Correspondences:
    """Merge the correspondences whose query pixels fall into one cell, weighted by confidence.

    The paper averages everything in a cell, so that a foreground and a background point meet in mid-air. Here the point
    whose depth is known best founds a group, and only points that agree with it join; the others form further groups,
    and RANSAC judges between these. Within a group the weights are inverse variances, so that a landmark hardly moves
    whatever was lifted beside it.

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
    """Return the groups after one round: in each cell the first free point founds a group that agreeing ones join."""
    free = np.flatnonzero(groups < 0)
    founders, founder_of = np.unique(cells[free], return_index=True)
    founder = free[founder_of][np.searchsorted(founders, cells[free])]
    apart = np.linalg.norm(points.points_in_world[free] - points.points_in_world[founder], axis=1)
    agree = (apart <= tolerance * points.depths[founder]) | (free == founder)
    groups = groups.copy()
    groups[free[agree]] = founder[agree]
    return groups


def merge_groups(points: Correspondences, groups: NDArray) -> Correspondences:
    """Return the weighted mean of each group with its mean confidence and its first member's reference and landmark.

    Members share landmarks, so their errors are correlated: their mean gets their own uncertainty, not a smaller one.
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
