"""Hold an image on its way through the recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.imaging import mirror_image, turn_image, turn_pixels_back
from deviloc_ros.stopwatch import Stopwatch
from deviloc_ros.types import Area, Features, Matches, Prior, Result


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
