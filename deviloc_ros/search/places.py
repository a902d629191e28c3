"""Search for the places that an image may show: near a prior, among views that look alike, and rivals of these.

A place that only looks the same fits as well as the right one. So after a place is found others are searched for, and
if several fit the result says so instead of choosing one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config, PoseConfig
from deviloc_ros.geometry import translation_distance_m
from deviloc_ros.imaging import turn_pixels_back
from deviloc_ros.io.units import Unit
from deviloc_ros.maps.retrieval.local_similarity import match_roughly
from deviloc_ros.maps.store import Map
from deviloc_ros.pose.distinct_places import are_one_place, place_of, select_comparable
from deviloc_ros.pose.solve import solve_roughly
from deviloc_ros.status import Status
from deviloc_ros.stopwatch import Stopwatch
from deviloc_ros.types import Area, Features, Localized, Lost, Matches, Place, Prior, ReferenceView, Result

SHOWN_IN_CELL, IN_SIGHT_CELLS = 0.004, 0.25  # localized images reach this in a third of the cells and more
NONE_NEAR = "none is near the prior"  # the prior may be an area
MOST_RIVALS = 8  # other places checked for one image
LEAST_SUPPORT = 0.5  # share of the first pose's inliers; other views of the same place give three quarters and more


@dataclass(frozen=True, slots=True, eq=False)
class QueryState:
    """Hold the features of an image, its matches by the view's name, and the results by sets of views' names."""

    features: Features
    camera: Camera
    watch: Stopwatch = field(default_factory=Stopwatch)
    quarter_turns: int = 0
    matches: dict[str, Matches] = field(default_factory=dict)
    results: dict[frozenset[str], Result] = field(default_factory=dict)

    def turn_back(self, keypoints: NDArray) -> NDArray:
        """Map (N, 2) pixels of its features to the image before it was turned."""
        return turn_pixels_back(keypoints, self.quarter_turns, (self.camera.width, self.camera.height))

    def turn_matches_back(self, matches: Matches) -> Matches:
        """Map the query keypoints of matches to the image before it was turned."""
        moved = matches.moved
        if moved is not None:
            moved = replace(moved, query_keypoints=self.turn_back(moved.query_keypoints))
        return replace(matches, query_keypoints=self.turn_back(matches.query_keypoints), moved=moved)


SolveViews = Callable[[list[ReferenceView], QueryState], Result]
"""Localizes a query with all of these views."""


class LocalizeViews(Protocol):
    """Localize a query with the first few of these views, then with all of them unless that pose is precise."""

    def __call__(self, references: list[ReferenceView], query: QueryState, least_inliers: float = 0) -> Result: ...


@dataclass(slots=True, eq=False)
class SearchState:
    """Hold what the search for one image has found so far. unit: of the map's lengths."""

    config: PoseConfig
    unit: Unit = Unit.METRE
    results: list[Result] = field(default_factory=list)
    in_sight: bool = False
    everywhere: bool = False

    @property
    def places(self) -> list[Place]:
        """Return the places that the image fits, each once, those with the most inliers first."""
        found = [place for result in self.results if (place := place_of(result, self.config)) is not None]
        found.sort(key=lambda place: (-place.passes, -place.inliers))
        once: list[Place] = []
        for place in found:
            if not any(are_one_place(place.cam_from_world, other.cam_from_world) for other in once):
                once.append(replace(place, unit=self.unit))
        return sorted(once, key=lambda place: -place.inliers)

    @property
    def poses(self) -> list[pycolmap.Rigid3d]:
        """Return the poses cam_from_world of these places."""
        return [place.cam_from_world for place in self.places]

    @property
    def best(self) -> Result:
        """Return the pose with the most inliers, or without any the result of the views that were tried first."""
        if not self.results:
            return Lost(Status.NO_REFERENCES, NONE_NEAR)
        return max(
            self.results,
            key=lambda result: (
                isinstance(result, Localized),
                result.evidence.inliers if isinstance(result, Localized) else 0,
            ),
        )


class PlaceSearch:
    """Search one map for the places that one image fits."""

    def __init__(
        self, reference_map: Map, config: Config, localize_views: LocalizeViews, solve_views: SolveViews
    ) -> None:
        self._map = reference_map
        self._config = config
        self._localize_views = localize_views
        self._solve_views = solve_views

    def search(self, query: QueryState, prior: Prior | Area | None, gray: NDArray) -> Result:
        """Return the pose in the only place that the image fits, or Lost if there is none, or several.

        Args:
            gray: the image, turned as for its features, for learned global descriptors.
        """
        search = SearchState(self._config.pose, self._map.unit)
        if isinstance(prior, Prior):
            self._search_near(search, prior, query)
        if not isinstance(prior, Prior) or prior.everywhere or prior.rivals_m > 0:
            self._search_map(search, prior, query, gray)
        return tell_apart(search)

    def _search_near(self, search: SearchState, prior: Prior, query: QueryState) -> None:
        """Search near each pose of a prior."""
        for number, pose in enumerate((prior.cam_from_world, *prior.others)):
            if number and any(are_one_place(pose, found) for found in search.poses):
                continue  # two guesses led to one place
            there = replace(prior, cam_from_world=pose)
            with query.watch.stage("retrieve"):
                references = self._map.nearby_views(query.features, query.camera, there, self._config.retrieval)
            result = self._localize_views(references, query)
            if isinstance(result, Lost) and not references:
                result = replace(result, detail=NONE_NEAR)
            search.results.append(result)
            if not number and references:
                search.in_sight = self._is_in_sight(references, pose, query.camera)
            if not is_at(result, pose):  # views that look more similar may show a look-alike
                by_pose = self._map.views_by_pose(query.camera, there, self._config.retrieval)
                if {view.name for view in by_pose} != {view.name for view in references}:
                    search.results.append(self._localize_views(by_pose, query))

    def _search_map(self, search: SearchState, prior: Prior | Area | None, query: QueryState, gray: NDArray) -> None:
        """Search among views that look alike, until no other place is left that the image may fit."""
        area = prior.area if isinstance(prior, Prior) else prior
        search.everywhere = not isinstance(prior, Prior) or prior.everywhere  # the whole map, or the area
        with query.watch.stage("retrieve"):
            alike = self._map.alike_views(query.features, self._config.retrieval, gray, area)
            if isinstance(prior, Prior) and not prior.everywhere:
                alike = [view for view in alike if is_near(view, prior)]
        if alike and not any(isinstance(result, Localized) for result in search.results):
            search.results.append(self._localize_by_alike(alike[: self._config.retrieval.references], query))
        self._search_rivals(search, alike, query)

    def _localize_by_alike(self, alike: list[ReferenceView], query: QueryState) -> Result:
        """Localize with views that look alike and then, with `refine`, with those near the resulting pose.

        The latter see more of what the query sees. So a rough pose with a few views is enough to begin with; the few
        are matched in full only if that fails, and all only if that fails, too.
        """
        if not self._config.retrieval.refine:
            return self._localize_views(alike, query)
        few = alike[: self._config.retrieval.few]
        with query.watch.stage("retrieve"):
            rough = locate_roughly(query, few, self._config.pose)
        if rough is not None:
            again = self._localize_views(self._views_near(rough[0], query), query)
            if is_at(again, rough[0]):
                return again
        found: Result = Lost(Status.NO_REFERENCES)
        for references in (few, alike):
            found = self._solve_views(references, query)
            if isinstance(found, Localized):
                near = self._views_near(found.cam_from_world, query)
                again = self._localize_views(near, query, least_support(found))
                if is_supported(again, found):
                    return again
        return found

    def _search_rivals(self, search: SearchState, alike: list[ReferenceView], query: QueryState) -> None:
        """Search for other places that the image fits, among similar views that do not see the places found."""
        left = alike
        for _ in range(MOST_RIVALS):
            for pose in search.poses:
                left = self._map.views_out_of_sight(left, pose, query.camera)
            if not left:
                return
            there = left[0]
            left = self._map.views_out_of_sight(left[1:], there.cam_from_world, query.camera)
            with query.watch.stage("rivals"):
                rough = locate_roughly(query, [there], self._config.pose)
            if rough is None or any(are_one_place(rough[0], pose) for pose in search.poses):
                continue
            rival = self._localize_at(rough[0], query)
            if place_of(rival, search.config) is not None:
                search.results = [self._match_with_more(result, query) for result in search.results]
            search.results.append(rival)

    def _is_in_sight(self, views: list[ReferenceView], cam_from_world: pycolmap.Rigid3d, camera: Camera) -> bool:
        """Return whether views should match what is seen from a pose, by geometry."""
        shown = self._map.shown_from(views, cam_from_world, camera).sum(0)
        return float((shown > SHOWN_IN_CELL).mean()) > IN_SIGHT_CELLS

    def _match_with_more(self, result: Result, query: QueryState) -> Result:
        """Return a pose by a few views solved anew with all views near it, to compare places by their inliers."""
        if not isinstance(result, Localized) or len(result.evidence.references) > self._config.retrieval.few:
            return result
        again = self._localize_at(result.cam_from_world, query)
        return again if isinstance(again, Localized) else result

    def _localize_at(self, cam_from_world: pycolmap.Rigid3d, query: QueryState) -> Result:
        """Localize a query with all views near a pose."""
        return self._solve_views(self._views_near(cam_from_world, query), query)

    def _views_near(self, cam_from_world: pycolmap.Rigid3d, query: QueryState) -> list[ReferenceView]:
        """Return the views to match with, best first, taking a pose as the prior."""
        with query.watch.stage("retrieve"):
            prior = Prior(cam_from_world)
            return self._map.nearby_views(query.features, query.camera, prior, self._config.retrieval)


def locate_roughly(
    query: QueryState, views: Sequence[ReferenceView], config: PoseConfig
) -> tuple[pycolmap.Rigid3d, int] | None:
    """Return a rough pose by a query's best keypoints in these views, and its inliers; None if there are too few."""
    matches = [match_roughly(query.features, view) for view in views]
    keypoints, points = (np.concatenate(of_views) for of_views in zip(*matches, strict=True))
    return solve_roughly(query.turn_back(keypoints), points, query.camera, config)


def count_roughly(query: QueryState, views: Sequence[ReferenceView], config: PoseConfig) -> int:
    """Return the inliers of a rough pose in these views; 0 if there are too few."""
    rough = locate_roughly(query, views, config)
    return rough[1] if rough else 0


def tell_apart(search: SearchState) -> Result:
    """Return the best result, or Lost as ambiguous if several places have comparable support."""
    best, places = search.best, tuple(search.places)
    evidence = replace(best.evidence, places=places, in_sight=search.in_sight, everywhere=search.everywhere)
    rivals = select_comparable(places, lambda place: place.inliers)
    if len(rivals) > 1:
        return Lost(Status.AMBIGUOUS, "; ".join(map(str, rivals)), evidence)
    return replace(best, evidence=evidence)


def is_at(result: Result, cam_from_world: pycolmap.Rigid3d) -> bool:
    """Return whether an image was localized at a pose."""
    return isinstance(result, Localized) and are_one_place(result.cam_from_world, cam_from_world)


def is_near(view: ReferenceView, prior: Prior) -> bool:
    """Return whether a view is near enough to see a rival of a prior."""
    return translation_distance_m(view.cam_from_world, prior.cam_from_world) <= prior.rivals_m + prior.radius_m


def is_supported(again: Result, found: Localized) -> bool:
    """Return whether the result `again` of the views near a pose may replace it.

    It is more precise even with fewer inliers, since the most similar views may all be from one side. But the near
    views may show another place, as around a corner; then the result has far fewer inliers although it passes the
    gates.
    """
    return isinstance(again, Localized) and again.evidence.inliers >= least_support(found)


def least_support(found: Localized) -> float:
    """Return the inliers that another pose needs to replace this one."""
    return LEAST_SUPPORT * found.evidence.inliers
