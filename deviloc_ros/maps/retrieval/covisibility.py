"""Group references that see the same place, by the landmarks they share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components


def cluster_by_covisibility(landmark_ids: Sequence[NDArray]) -> list[list[int]]:
    """Group views that share landmarks, directly or through others; return their indices, the largest group first.

    As in hloc, this clusters retrieved views: a place that only looks alike shares no landmarks with the true one.
    """
    if not landmark_ids:
        return []
    views = np.repeat(np.arange(len(landmark_ids)), [len(ids) for ids in landmark_ids])
    known, columns = np.unique(np.concatenate(landmark_ids), return_inverse=True)
    observes = csr_matrix((np.ones(len(views)), (views, columns)), (len(landmark_ids), max(len(known), 1)))
    _, cluster_of = connected_components(observes @ observes.T, directed=False)
    clusters = [np.flatnonzero(cluster_of == number).tolist() for number in range(cluster_of.max() + 1)]
    return sorted(clusters, key=len, reverse=True)
