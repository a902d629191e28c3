"""Hold an image on its way through the recipe, and remember which way round images are to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.imaging import mirror_image, turn_image, turn_pixels_back
from deviloc_ros.stopwatch import Stopwatch
from deviloc_ros.types import Area, Features, Matches, Prior, Result

PATIENCE, RARELY, SURE, HARDLY_EVER = 3, 8, 20, 32  # images
# Shares of inliers: of a fountain that is alike on its left and right, mirrored images reach 0.58 and right ones 0.8
# and more; of rendered rooms, mirrored ones 0.55 and right ones mostly 0.9; of a kitchen 0.28 and 0.4 and more. The map
# was in part made of the same images.
ONE_WAY_RATIO, DOUBTFUL_RATIO = 0.7, 0.3


class Way(NamedTuple):
    """Say which way round an image is looked at: its left and right exchanged or not, then turned counterclockwise."""

    quarter_turns: int
    mirrored: bool = False


WAYS = tuple(Way(turns, mirrored) for mirrored in (False, True) for turns in range(4))


@dataclass(frozen=True, slots=True, eq=False)
class QueryImage:
    """Hold an image that is to be localized, and what is known of where it was taken.

    gray: (H, W) uint8. used: (H, W) bool, which of its pixels count; None: all. prior: where the camera probably is.
    candidates: names of the views to match with, best first.
    """

    gray: NDArray
    used: NDArray | None
    camera: Camera
    prior: Prior | Area | None = None
    candidates: Sequence[str] | None = None

    def turn_pixels(self, quarter_turns: int) -> tuple[NDArray, NDArray | None]:
        """Return gray and used turned counterclockwise, so many times by 90 degrees."""
        used = None if self.used is None else turn_image(self.used, quarter_turns)
        return turn_image(self.gray, quarter_turns), used

    def mirror(self) -> QueryImage:
        """Return the image with left and right exchanged, and the camera that would have taken it."""
        used = None if self.used is None else mirror_image(self.used)
        return replace(self, gray=mirror_image(self.gray), used=used, camera=self.camera.mirror())


@dataclass(frozen=True, slots=True, eq=False)
class QueryState:
    """Hold what was extracted from an image, its matches with each view by name, and what sets of views gave."""

    features: Features
    camera: Camera
    watch: Stopwatch = field(default_factory=Stopwatch)
    quarter_turns: int = 0
    matches: dict[str, Matches] = field(default_factory=dict)
    results: dict[frozenset[str], Result] = field(default_factory=dict)

    def turn_back(self, keypoints: NDArray) -> NDArray:
        """Return where (N, 2) pixels of its features lie in the image as it is, not turned."""
        return turn_pixels_back(keypoints, self.quarter_turns, (self.camera.width, self.camera.height))


def turn_matches_back(matches: Matches, query: QueryState) -> Matches:
    """Return the matches of a turned query where they lie in the query as it is."""
    moved = matches.moved
    if moved is not None:
        moved = replace(moved, query_keypoints=query.turn_back(moved.query_keypoints))
    return replace(matches, query_keypoints=query.turn_back(matches.query_keypoints), moved=moved)


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
    def is_unusual(self) -> bool:
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
