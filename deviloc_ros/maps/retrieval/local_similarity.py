"""Rank views by how many local descriptors they share with a query, more exactly than global descriptors do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from deviloc_ros.maps.retrieval.covisibility import cluster_by_covisibility
from deviloc_ros.maps.retrieval.global_descriptors import rows_for_retrieval
from deviloc_ros.matching.neighbours import match_each_mutual_nearest
from deviloc_ros.threads import run_on_one_thread
from deviloc_ros.types import Features, ReferenceView

COMPARED = 512  # keypoints of each image
SELECTIVITY = 8


def sort_by_similarity(query: Features, views: Sequence[ReferenceView]) -> list[ReferenceView]:
    """Return the views, the most similar to a query first."""
    likeness = similarities_to(query, [view.features for view in views])
    return [views[row] for row in np.argsort(-likeness, kind="stable")]


def match_roughly(query: Features, view: ReferenceView) -> tuple[NDArray, NDArray]:
    """Return (M, 2) keypoints of a query and the (M, 3) points [m] of a view that are mutual nearest neighbours.

    Only the best keypoints are matched, and without a matcher's refinement: they are accurate to a cell of its feature
    map.
    """
    our_rows, their_rows = rank_keypoints(query), rank_keypoints(view.features)
    ours, theirs = best_descriptors(query), best_descriptors(view.features)
    ((matched, their_matched),) = match_each_mutual_nearest(ours, [theirs.to(ours)])
    keypoints = query.keypoints[our_rows[matched]].cpu().numpy().astype(float)
    lifted = view.lifted[their_rows.cpu()[their_matched.cpu()].numpy()]
    known = lifted.confidence > 0
    return keypoints[known], lifted.points_in_world[known]


def put_same_place_first(
    query: Features, views: Sequence[ReferenceView], sessions: Sequence[str], count: int
) -> list[ReferenceView]:
    """Return the first `count` views after moving those of another place, as behind a wall, to the end.

    Views that share landmarks, directly or through others, see one place. If there are several such groups, the one
    with the view most similar to the query comes first; within a group the order stays. Sessions are separated in the
    same way: by day a place looks most like it did by day.

    Args:
        sessions: of each view.
    """
    places = cluster_by_covisibility([view.landmarks.ids for view in views])
    groups = [
        [row for row in place if sessions[row] == session] for place in places for session in sorted(set(sessions))
    ]
    groups = [group for group in groups if group]
    if len(groups) < 2:
        return list(views[:count])
    likeness = similarities_to(query, [view.features for view in views])
    groups.sort(key=lambda group: -likeness[group].max())
    return [views[row] for group in groups for row in group][:count]


@run_on_one_thread
def similarities_to(query: Features, references: Sequence[Features]) -> NDArray:
    """Return the (R,) similarities of images to a query.

    A similarity is the sum of s^p over mutual nearest neighbours among the best keypoints, with s their cosine: a few
    certain pairs outweigh many uncertain ones, as with the selective kernels of Tolias et al., ICCV 2013. Positions of
    keypoints are not used.
    """
    ours = best_descriptors(query)
    theirs = [best_descriptors(reference).to(ours) for reference in references]
    pairs = match_each_mutual_nearest(ours, theirs)
    cosines = [(ours[a] * of_view[b]).sum(1) for of_view, (a, b) in zip(theirs, pairs, strict=True)]
    return np.array([float(of_view.clamp(min=0).pow(SELECTIVITY).sum()) for of_view in cosines])


def best_descriptors(features: Features) -> torch.Tensor:
    """Return (at most COMPARED, C) unit descriptors, of the keypoints with the best scores."""
    return F.normalize(features.descriptors[rank_keypoints(features)].float(), dim=1)


def rank_keypoints(features: Features) -> torch.Tensor:
    """Return the indices of the (at most COMPARED) keypoints with the best scores, of those that retrieval uses."""
    rows = rows_for_retrieval(features)
    return rows[features.scores[rows].argsort(descending=True, stable=True)[:COMPARED]]
