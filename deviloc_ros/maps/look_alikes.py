"""Find places of one map that look alike: an image of one of them fits the other as well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deviloc_ros.config import Config
from deviloc_ros.geometry import transform_points, translation_distance_m
from deviloc_ros.io.units import Unit
from deviloc_ros.maps.retrieval.local_similarity import match_roughly, sort_by_similarity
from deviloc_ros.maps.store import Map
from deviloc_ros.pose.solve import solve_roughly
from deviloc_ros.types import ReferenceView

LEAST_AGREEING = 35  # of 512 keypoints: 28 to 34 may be a look-alike, or chance between two views of one place
OWN_SHARE = 0.02  # of the image's long side: at the right pose rough matches have smaller errors


@dataclass(frozen=True, slots=True)
class LookAlikes:
    """Name two views of different places that look alike.

    agreeing: how many keypoints of the first agree on a pose with the points of the second. apart_m: distance of that
    pose from the first view's own, in the unit of the map.
    """

    view: str
    other: str
    agreeing: int
    apart_m: float
    unit: Unit = Unit.METRE

    def __str__(self) -> str:
        apart = self.unit.format(self.apart_m, 1)
        return f"{self.view} and {self.other}, {apart} apart ({self.agreeing} keypoints agree)"


def find_look_alikes(reference_map: Map, config: Config) -> list[LookAlikes]:
    """Return pairs of views of different places that look alike, the most similar first; each pair of places once.

    It takes a minute for some hundred views. Raises MapError if a file is damaged.
    """
    found = sorted(compare_all(reference_map, config), key=lambda pair: -pair.agreeing)
    once: list[LookAlikes] = []
    for pair in found:
        if not any(are_same_places(reference_map, pair, other) for other in once):
            once.append(pair)
    return once


def compare_all(reference_map: Map, config: Config) -> Iterator[LookAlikes]:
    """Yield, for each view, other views that look like it, see nothing of the same place, and agree on a pose."""
    retrieval = reference_map.retrieval()
    for number in range(len(reference_map)):
        view = reference_map.view(number)
        rows = retrieval.nearest(retrieval.descriptors[number].float(), config.retrieval.shortlist)
        others = [reference_map.view(int(row)) for row in rows if row != number]
        elsewhere = reference_map.views_out_of_sight(others, view.cam_from_world, view.camera)
        for other in sort_by_similarity(view.features, elsewhere):
            keypoints, points = match_roughly(view.features, other)
            rough = solve_roughly(keypoints, points, view.camera, config.pose)
            if rough is None or rough[1] < LEAST_AGREEING or count_agreeing(view, keypoints, points) > rough[1] / 2:
                continue  # chance, or both see one place although geometry does not tell so
            apart_m = translation_distance_m(rough[0], view.cam_from_world)
            unit = reference_map.unit
            yield LookAlikes(view.name, other.name, rough[1], apart_m, unit)


def count_agreeing(view: ReferenceView, keypoints: NDArray, points_in_world: NDArray) -> int:
    """Return how many of (N, 2) keypoints and (N, 3) points agree with a view's own pose."""
    pixels = view.camera.project_visible(transform_points(view.cam_from_world, points_in_world))
    bound_px = OWN_SHARE * max(view.camera.width, view.camera.height)
    return int((np.hypot(*(pixels - keypoints).T) < bound_px).sum())  # NaN: not in the image


def are_same_places(reference_map: Map, pair: LookAlikes, other: LookAlikes) -> bool:
    """Return whether two pairs of views show the same two places, in any order."""
    a, b = (reference_map.view(reference_map.number_of(name)) for name in (pair.view, pair.other))
    c, d = (reference_map.view(reference_map.number_of(name)) for name in (other.view, other.other))
    return any(
        is_in_sight(reference_map, one, first) and is_in_sight(reference_map, two, second)
        for one, first, two, second in ((a, c, b, d), (a, d, b, c))
    )


def is_in_sight(reference_map: Map, view: ReferenceView, of: ReferenceView) -> bool:
    """Return whether a view sees part of what another sees."""
    return not reference_map.views_out_of_sight([view], of.cam_from_world, of.camera)
