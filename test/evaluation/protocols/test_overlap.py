"""Which views see what a query sees."""

import numpy as np
import pytest
from worlds import rigid_of, world

from deviloc_ros.evaluation.protocols.overlap import has_found_overlap, measure_overlap, overlap_recall
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.status import Status
from deviloc_ros.types import Evidence, Lifted, Lost, ReferenceView


def view_and_query(view_from_query):
    """A view of exact points, and a query so far from it."""
    seen = world()
    points = seen.correspondences
    lifted = Lifted(points.points_in_world, points.confidence, points.depths)
    view = ReferenceView("view", seen.camera, seen.cam_from_world, None, lifted)
    return view, PosedImage("query", "query.png", seen.camera, view_from_query.inverse() * seen.cam_from_world)


@pytest.mark.parametrize(
    ("view_from_query", "low", "high"),
    [
        (rigid_of([0, 0, 0], [0, 0, 0]), 1.0, 1.0),
        (rigid_of([0, 0.4, 0], [0, 0, 0]), 0.4, 0.8),  # turned by 23 degrees of a field of view of 62
        (rigid_of([0, np.pi, 0], [0, 0, 0]), 0.0, 0.0),  # back to back
        (rigid_of([0, np.pi, 0], [0, 0, 8]), 0.0, 0.0),  # the same points from behind
        (rigid_of([0, 0, 0], [30, 0, 0]), 0.0, 0.0),
    ],
)
def test_overlap_is_the_share_of_points_seen_from_near_the_same_side(view_from_query, low, high):
    assert low <= measure_overlap(*view_and_query(view_from_query)) <= high


def test_retrieval_is_scored_on_queries_that_a_view_overlaps_with():
    class OneView:
        def __init__(self, view):
            self.view = lambda number: view

        def __len__(self):
            return 1

    view, here = view_and_query(rigid_of([0, 0, 0], [0, 0, 0]))
    _, behind = view_and_query(rigid_of([0, np.pi, 0], [0, 0, 0]))
    matched, other = (Lost(Status.FEW_INLIERS, evidence=Evidence(references=(name,))) for name in ("view", "other"))
    found = [
        has_found_overlap(OneView(view), query, result)
        for query, result in ((here, matched), (here, other), (behind, matched))
    ]
    assert found == [True, False, None]
    assert overlap_recall(found) == {"overlap_recall": 0.5, "with_overlap": 2} and overlap_recall([None]) == {}
