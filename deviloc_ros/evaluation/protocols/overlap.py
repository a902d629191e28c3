"""Measure whether retrieved views overlap with the query."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deviloc_ros.geometry import rays_to, transform_points
from deviloc_ros.maps.store import Map
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.types import ReferenceView, Result

LEAST_OVERLAP = 0.3
MAX_TURN_DEG = 45.0
MIN_CONFIDENCE = 0.5  # of the points that stand for what a view sees


def measure_overlap(view: ReferenceView, query: PosedImage) -> float:
    """Return the share of a view's points that lie in the query's image and are seen from a similar direction.

    This is by the true poses; occlusion is not considered.
    """
    points = view.lifted.points_in_world[view.lifted.confidence > MIN_CONFIDENCE]
    if not len(points):
        return 0.0
    seen = np.isfinite(query.camera.project_visible(transform_points(query.cam_from_world, points))).all(1)
    (theirs, _), (ours, _) = (rays_to(points, image.cam_from_world.tgt_origin_in_src()) for image in (view, query))
    cosines = (theirs * ours).sum(1)
    return float((seen & (cosines > np.cos(np.deg2rad(MAX_TURN_DEG)))).mean())


def has_found_overlap(reference_map: Map, query: PosedImage, result: Result) -> bool | None:
    """Return whether one of the references overlaps with the query; None if no view of the map does."""
    views = (reference_map.view(number) for number in range(len(reference_map)))
    overlapping = {view.name for view in views if measure_overlap(view, query) >= LEAST_OVERLAP}
    return bool(overlapping & set(result.evidence.references)) if overlapping else None


def overlap_recall(found: Sequence[bool | None]) -> dict[str, object]:
    """Return the share over the queries that some view overlaps with; nothing if there is none."""
    known = [one for one in found if one is not None]
    return {"overlap_recall": float(np.mean(known)), "with_overlap": len(known)} if known else {}
