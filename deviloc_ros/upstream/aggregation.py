"""Average everything that falls into one cell of the query: Confidence-based Point Aggregation as published."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from deviloc_ros.config import AggregationConfig
from deviloc_ros.types import Correspondences


def merge_cells(keypoints: Tensor, points: Tensor, confidence: Tensor, cell_px: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the confidence-weighted mean of the correspondences in each cell, cells in order of x, then y.

    Differentiable with respect to points and confidence.

    Args:
        keypoints, points, confidence: (N, 2) px of the query, (N, 3) m, (N,) in [0, 1].
    """
    cells, cell_of, counts = torch.unique(
        torch.round(keypoints / cell_px).long(), dim=0, return_inverse=True, return_counts=True
    )

    def mean(values: Tensor) -> Tensor:
        return values.new_zeros(len(cells), values.shape[1]).index_add(0, cell_of, values) / counts[:, None]

    weights = confidence[:, None]
    merged = mean(weights)
    scale = merged + 1e-6
    return mean(keypoints * weights) / scale, mean(points * weights) / scale, merged[:, 0]


def aggregate_as_published(correspondences: Correspondences, config: AggregationConfig) -> Correspondences:
    """Return correspondences above the confidence, one per cell, most confident first.

    A merged one comes from several references; it names one of them, and its depth is their mean.
    """
    left = correspondences[correspondences.confidence > config.min_confidence]
    carried = np.column_stack([left.points_in_world, left.depths])
    columns = [torch.from_numpy(np.ascontiguousarray(c)) for c in (left.keypoints, carried, left.confidence)]
    merged = merge_cells(columns[0], columns[1], columns[2], config.cell_px)
    keypoints, values, confidence = (column.numpy() for column in merged)
    _, first = np.unique(np.round(left.keypoints / config.cell_px), axis=0, return_index=True)
    came_from = left.references[first], left.origins[first]
    points = Correspondences(keypoints, values[:, :3], confidence, values[:, 3], *came_from)
    return points[np.argsort(-confidence, kind="stable")]
