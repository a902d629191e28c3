"""Find the orientation of a camera's images: upright or turned by quarter turns; a mirrored image gives no pose.

A robot may carry its camera sideways or upside down, and a driver may mirror its images. No message says so; it is
learned from the orientation that gives poses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config
from deviloc_ros.imaging import mirror_image, turn_image
from deviloc_ros.maps.store import Map
from deviloc_ros.masks import Mask
from deviloc_ros.search.places import QueryState, SolveViews, count_roughly, is_at
from deviloc_ros.status import Status
from deviloc_ros.stopwatch import Stopwatch
from deviloc_ros.types import Area, FeatureCache, Localized, Lost, Prior, Result

PATIENCE, RARELY, SURE, HARDLY_EVER = 3, 8, 20, 32  # images
# Inlier ratios of mirrored images, and of right ones: of a fountain with symmetric sides up to 0.58, and from 0.8; of a
# church front 0.76, and 0.56; of rendered rooms 0.55, and mostly 0.9; of a kitchen 0.28, and 0.4.
CLEAR_RATIO, DOUBTFUL_RATIO = 0.85, 0.3
# Roughly fitting keypoints relative to those in the orientation that gave a pose. If that pose is wrong, the right
# orientation has at least 1.2 times as many; if it is right, another has at most 0.5 times as many, unless few fit.
RIVAL_SHARE = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class QueryImage:
    """Hold an image to localize, with the inputs of `Localizer.localize`.

    gray: (H, W) uint8. used: (H, W) bool, which pixels may hold keypoints; None: all. prior: where the camera probably
    is. candidates: names of the views to match with, best first. mask: that `used` was read from. extracted: features
    that are known already.
    """

    gray: NDArray
    used: NDArray | None
    camera: Camera
    prior: Prior | Area | None = None
    candidates: Sequence[str] | None = None
    mask: Mask | None = None
    extracted: FeatureCache = field(default_factory=dict)

    def turn_pixels(self, quarter_turns: int) -> tuple[NDArray, NDArray | None]:
        """Return `gray` and `used`, turned counterclockwise by this number of quarter turns."""
        used = None if self.used is None else turn_image(self.used, quarter_turns)
        return turn_image(self.gray, quarter_turns), used

    def mirror(self) -> QueryImage:
        """Return the image with left and right exchanged, and the camera that would have taken it."""
        used = None if self.used is None else mirror_image(self.used)
        return replace(self, gray=mirror_image(self.gray), used=used, camera=self.camera.mirror(), extracted={})


ExtractQuery = Callable[[QueryImage, int, Stopwatch], QueryState]
"""Extracts the features of an image, turned counterclockwise by a number of quarter turns."""
LocalizeQuery = Callable[[QueryState, QueryImage], Result]
"""Localizes an image by the features of one orientation."""


class Orientation(NamedTuple):
    """Say how an image is changed before features are extracted: mirrored or not, then turned counterclockwise."""

    quarter_turns: int
    mirrored: bool = False


ORIENTATIONS = tuple(Orientation(turns, mirrored) for mirrored in (False, True) for turns in range(4))


@dataclass(slots=True)
class TurnHabit:
    """Remember by how many quarter turns a camera's images must be turned, and how many in a row gave no pose.

    A camera that is mounted sideways stays so. Trying all four turns of an image that fits nowhere takes four times as
    long, so after PATIENCE failures only one image in RARELY is turned; for a followed robot whose camera is known,
    only one in RARELY from the first failure on.

    usual: quarter turns that gave the last pose. failures: images without a pose since. is_known: whether an image of
    the camera gave a pose.
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
        """Note the turns with which an image gave a pose."""
        self.usual, self.failures, self.is_known = quarter_turns, 0, True

    def note_failure(self) -> None:
        """Note that an image gave no pose, however it was turned."""
        self.failures += 1


@dataclass(slots=True)
class MirrorHabit:
    """Remember how many poses in a row came from images that were not mirrored.

    A camera that does not mirror never will. Trying all mirrored orientations of an image takes about as long as
    localizing it, so after PATIENCE unmirrored images only one in RARELY is tried, and those that hardly fit; after
    SURE of them one in HARDLY_EVER, since images that hardly fit are frequent while a robot is lost.
    """

    unmirrored: int = 0

    @property
    def is_unlikely(self) -> bool:
        """Return whether several images of the camera in a row were not mirrored."""
        return self.unmirrored >= PATIENCE

    def is_possible(self, inlier_ratio: float) -> bool:
        """Return whether to try all mirrored orientations of an image whose pose has this inlier ratio."""
        if self.unmirrored % (RARELY if self.unmirrored < SURE else HARDLY_EVER) == 0:  # also before the first
            return True
        return self.unmirrored < (SURE if inlier_ratio < DOUBTFUL_RATIO else PATIENCE)

    def note(self, mirrored: bool) -> None:
        """Note whether an image that fitted was mirrored."""
        self.unmirrored = 0 if mirrored else self.unmirrored + 1


@dataclass(slots=True)
class CameraHabits:
    """Remember the orientation of one camera's images, by what gave poses."""

    turns: TurnHabit = field(default_factory=TurnHabit)
    mirroring: MirrorHabit = field(default_factory=MirrorHabit)

    def orientations_to_compare(self, inlier_ratio: float, quarter_turns: int, is_expected: bool) -> list[Orientation]:
        """Return the other orientations to try for an image that gave a pose with these turns.

        If most matches agree on the pose the orientation is right and there are none to try. The turns of mirrored
        images are never known beforehand; those of others are known for a camera that gave poses. At least one mirrored
        orientation is tried, unless the pose is where the robot was expected.
        """
        if inlier_ratio >= CLEAR_RATIO:
            return []
        if not self.turns.is_known or quarter_turns != self.turns.usual:
            return [one for one in ORIENTATIONS if one != Orientation(quarter_turns)]
        if self.mirroring.is_possible(inlier_ratio):
            return [one for one in ORIENTATIONS if one.mirrored]
        return [] if is_expected else [Orientation(quarter_turns, mirrored=True)]


class OrientationCheck:
    """Compare the pose that an image gave in one orientation with what it gives in others."""

    def __init__(
        self,
        reference_map: Map,
        config: Config,
        extract_query: ExtractQuery,
        localize_query: LocalizeQuery,
        solve_views: SolveViews,
    ) -> None:
        self._map = reference_map
        self._config = config
        self._extract_query = extract_query
        self._localize_query = localize_query
        self._solve_views = solve_views

    def compare(self, found: Localized, query: QueryState, image: QueryImage, habits: CameraHabits) -> Result:
        """Return the pose that was found, or that of an orientation that fits better; if that is mirrored, Lost.

        A mirrored or turned image of a scene with symmetric sides shows the same scene as if seen from elsewhere. A
        pose from such an image is supported by only a part of the matches.
        """
        result: Result = found
        best, orientation = query, Orientation(query.quarter_turns)
        is_expected = isinstance(image.prior, Prior) and is_at(found, image.prior.cam_from_world)
        if others := habits.orientations_to_compare(found.evidence.inlier_ratio, query.quarter_turns, is_expected):
            with query.watch.stage("mirror"):
                if rivals := self._compare_roughly_first(others, found, query, image, habits):
                    as_found = self._count_inliers(found, query), query, orientation
                    candidates = [as_found, *rivals]
                    _inliers, best, orientation = max(candidates, key=lambda rival: rival[0])  # of equals the first
                if best is not query and not orientation.mirrored:
                    result = self._localize_query(best, image)
        habits.mirroring.note(orientation.mirrored)
        if orientation.mirrored:
            detail = "its mirror image fits better: is the image mirrored?"
            return Lost(Status.NO_CONSENSUS, detail, found.evidence)
        if isinstance(result, Localized):
            habits.turns.note_success(best.quarter_turns)
        return replace(result, evidence=replace(result.evidence, stages_ms=query.watch.stages_ms))

    def _compare_roughly_first(
        self,
        orientations: Sequence[Orientation],
        found: Localized,
        query: QueryState,
        image: QueryImage,
        habits: CameraHabits,
    ) -> list[tuple[int, QueryState, Orientation]]:
        """Return the orientations in which the best keypoints fit nearly as well or better, with their inliers.

        A rough pose with the views that gave the pose decides which orientations are localized in full. If too few
        keypoints fit to tell, all are, unless the camera is known not to mirror. Each is searched for in the map by
        itself, since a symmetric scene looks the same from two sides.
        """
        views = self._map.views_named(found.evidence.references, len(found.evidence.references))
        least = 1 if habits.mirroring.is_unlikely else 0
        enough = max(RIVAL_SHARE * count_roughly(query, views, self._config.pose), least)
        rivals = []
        for orientation in orientations:
            shown = image.mirror() if orientation.mirrored else image
            other = self._extract_query(shown, orientation.quarter_turns, Stopwatch())
            if count_roughly(other, views, self._config.pose) >= enough:
                in_same_views = self._solve_views(views, other).evidence.inliers
                inliers = max(in_same_views, self._count_inliers(self._localize_query(other, shown), other))
                rivals.append((inliers, other, orientation))
        return rivals

    def _count_inliers(self, result: Result, query: QueryState) -> int:
        """Return how many correspondences support a pose after matching the query with all views near it."""
        if not isinstance(result, Localized):
            return 0
        near = self._map.nearby_views(
            query.features, query.camera, Prior(result.cam_from_world), self._config.retrieval
        )
        return max(result.evidence.inliers, self._solve_views(near, query).evidence.inliers)
