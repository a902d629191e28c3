"""Find out which way round images are to be looked at: as they are, turned, or not at all, since they are mirrored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config
from deviloc_ros.imaging import Mask, mirror_image, turn_image
from deviloc_ros.maps.store import Map
from deviloc_ros.search.places import QueryState, SolveViews, count_roughly
from deviloc_ros.status import Status
from deviloc_ros.stopwatch import Stopwatch
from deviloc_ros.types import Area, Extracted, Localized, Lost, Prior, Result

PATIENCE, RARELY, SURE, HARDLY_EVER = 3, 8, 20, 32  # images
# Shares of inliers: of a fountain that is alike on its left and right, mirrored images reach 0.58 and right ones 0.8
# and more; of a church front 0.76 and 0.56 and more; of rendered rooms, mirrored ones 0.55 and right ones mostly 0.9;
# of a kitchen 0.28 and 0.4 and more. The map was in part made of the same images.
ONE_WAY_RATIO, DOUBTFUL_RATIO = 0.85, 0.3
# Of the keypoints that fit roughly as an image gave a pose: what gives a wrong one has 1.2 times as many and more the
# right way round, what gives a right one at most 0.5 another way, or by chance as many where few fit at all.
RIVAL_SHARE = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class QueryImage:
    """Hold an image that is to be localized, and what is known of where it was taken.

    gray: (H, W) uint8. used: (H, W) bool, which of its pixels count; None: all. prior: where the camera probably is.
    candidates: names of the views to match with, best first. mask: what `used` was read from. extracted: features that
    are known already.
    """

    gray: NDArray
    used: NDArray | None
    camera: Camera
    prior: Prior | Area | None = None
    candidates: Sequence[str] | None = None
    mask: Mask | None = None
    extracted: Extracted = field(default_factory=dict)

    def turn_pixels(self, quarter_turns: int) -> tuple[NDArray, NDArray | None]:
        """Return gray and used turned counterclockwise, so many times by 90 degrees."""
        used = None if self.used is None else turn_image(self.used, quarter_turns)
        return turn_image(self.gray, quarter_turns), used

    def mirror(self) -> QueryImage:
        """Return the image with left and right exchanged, and the camera that would have taken it."""
        used = None if self.used is None else mirror_image(self.used)
        return replace(self, gray=mirror_image(self.gray), used=used, camera=self.camera.mirror(), extracted={})


LookAt = Callable[[QueryImage, int, Stopwatch], QueryState]
"""Extracts the features of an image that is turned counterclockwise, so many times by 90 degrees."""
LocalizeQuery = Callable[[QueryState, QueryImage], Result]
"""Localizes an image by its features, as it is looked at one way round."""


class Way(NamedTuple):
    """Say which way round an image is looked at: its left and right exchanged or not, then turned counterclockwise."""

    quarter_turns: int
    mirrored: bool = False


WAYS = tuple(Way(turns, mirrored) for mirrored in (False, True) for turns in range(4))


@dataclass(slots=True)
class Turns:
    """Remember how images have to be turned, and for how many in a row nothing helped.

    A camera that is mounted sideways stays so. What fits nowhere costs four times as much when it is turned, so after
    PATIENCE such images only one in RARELY is. Where a robot is followed and how its camera is mounted is known, none
    but these are turned. is_known: an image of the camera gave a pose.
    """

    usual: int = 0
    failures: int = 0
    is_known: bool = False

    def to_try(self, others: bool, is_followed: bool = False) -> list[int]:
        """Return the quarter turns to try for the next image, in order."""
        patience = 0 if self.is_known and is_followed else PATIENCE
        if others and (self.failures < patience or self.failures % RARELY == RARELY - 1):
            return [self.usual, *(turns for turns in range(4) if turns != self.usual)]
        return [self.usual]

    def note_success(self, quarter_turns: int) -> None:
        """Note what gave a pose."""
        self.usual, self.failures, self.is_known = quarter_turns, 0, True

    def note_failure(self) -> None:
        """Note that nothing gave one."""
        self.failures += 1


@dataclass(slots=True)
class Mirroring:
    """Remember for how many poses in a row the image was not mirrored.

    A camera that does not mirror never will. To look at an image mirrored takes about as long as to localize it, so
    after PATIENCE such images only one in RARELY is looked at so, and those that hardly fit; after SURE one in
    HARDLY_EVER: what hardly fits is seen often where a robot is lost.
    """

    unmirrored: int = 0

    @property
    def is_unlikely(self) -> bool:
        """Return whether images of the camera were seen not to be mirrored."""
        return self.unmirrored >= PATIENCE

    def is_possible(self, inlier_ratio: float) -> bool:
        """Return whether an image may be mirrored that gave a pose by a part of the matches."""
        if self.unmirrored % (RARELY if self.unmirrored < SURE else HARDLY_EVER) == 0:  # also before the first
            return True
        return self.unmirrored < (SURE if inlier_ratio < DOUBTFUL_RATIO else PATIENCE)

    def note(self, mirrored: bool) -> None:
        """Note what an image that gave a pose was found to be."""
        self.unmirrored = 0 if mirrored else self.unmirrored + 1


@dataclass(slots=True)
class CameraHabits:
    """Remember of one camera which way round its images are, by what gave poses."""

    turns: Turns = field(default_factory=Turns)
    mirroring: Mirroring = field(default_factory=Mirroring)

    def ways_to_compare(self, inlier_ratio: float, quarter_turns: int) -> list[Way]:
        """Return the other ways round that an image is to be looked at that gave a pose so turned.

        Most matches agree on a pose only the right way round. How a mirrored image is turned is not known before, and
        how another is turned only of a camera that gave poses.
        """
        if inlier_ratio >= ONE_WAY_RATIO:
            return []
        if not self.turns.is_known or quarter_turns != self.turns.usual:
            return [way for way in WAYS if way != Way(quarter_turns)]
        return [way for way in WAYS if way.mirrored] if self.mirroring.is_possible(inlier_ratio) else []


class WaysRound:
    """Compare what an image gives one way round with what it gives the others."""

    def __init__(
        self,
        reference_map: Map,
        config: Config,
        look_at: LookAt,
        localize_query: LocalizeQuery,
        solve_views: SolveViews,
    ) -> None:
        self._map = reference_map
        self._config = config
        self._look_at = look_at
        self._localize_query = localize_query
        self._solve_views = solve_views

    def compare(self, found: Localized, query: QueryState, asked: QueryImage, habits: CameraHabits) -> Result:
        """Return a pose, or what the image gives another way round where it fits better so: mirrored, no pose.

        What is alike on its left and right, or at its top and bottom, looks the same in an image that is mirrored or
        turned, as if seen from elsewhere. Such a pose rests on a part of the matches.
        """
        result: Result = found
        best, way = query, Way(query.quarter_turns)
        if ways := habits.ways_to_compare(found.evidence.inlier_ratio, query.quarter_turns):
            with query.watch.stage("mirror"):
                if rivals := self._compare_roughly_first(ways, found, query, asked, habits):
                    as_found = self._count_inliers(found, query), query, way
                    _inliers, best, way = max([as_found, *rivals], key=lambda rival: rival[0])  # the first of equals
                if best is not query and not way.mirrored:
                    result = self._localize_query(best, asked)
        habits.mirroring.note(way.mirrored)
        if way.mirrored:
            detail = "its mirror image fits better: is the image mirrored?"
            return Lost(Status.NO_CONSENSUS, detail, found.evidence)
        if isinstance(result, Localized):
            habits.turns.note_success(best.quarter_turns)
        return replace(result, evidence=replace(result.evidence, stages_ms=query.watch.stages_ms))

    def _compare_roughly_first(
        self, ways: Sequence[Way], found: Localized, query: QueryState, asked: QueryImage, habits: CameraHabits
    ) -> list[tuple[int, QueryState, Way]]:
        """Return the ways round by which the best keypoints fit nearly as well or better, and the inliers of each.

        They are compared roughly in the views that a pose was found by. Where so few keypoints fit that they tell
        nothing, all ways are compared, unless the camera is known. What is alike on its left and right shows the same
        from two sides, so each way is then searched for by itself.
        """
        views = self._map.views_named(found.evidence.references, len(found.evidence.references))
        least = 1 if habits.mirroring.is_unlikely else 0
        enough = max(RIVAL_SHARE * count_roughly(query, views, self._config.pose), least)
        rivals = []
        for way in ways:
            shown = asked.mirror() if way.mirrored else asked
            other = self._look_at(shown, way.quarter_turns, Stopwatch())
            if count_roughly(other, views, self._config.pose) >= enough:
                in_same_views = self._solve_views(views, other).evidence.inliers
                inliers = max(in_same_views, self._count_inliers(self._localize_query(other, shown), other))
                rivals.append((inliers, other, way))
        return rivals

    def _count_inliers(self, result: Result, query: QueryState) -> int:
        """Return how many correspondences agree on a pose in all views near it, a few of which may have given it."""
        if not isinstance(result, Localized):
            return 0
        near = self._map.nearby_views(
            query.features, query.camera, Prior(result.cam_from_world), self._config.retrieval
        )
        return max(result.evidence.inliers, self._solve_views(near, query).evidence.inliers)
