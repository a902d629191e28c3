"""How well given poses fit the images: matches that one motion between two images explains, held against the poses.

A map whose poses contradict each other localizes wrongly, and nothing at localization knows better than the map. The
images do: whatever poses are said to be, matches of two images obey one motion, and if the poses are right it is theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deviloc_ros.maps.landmarks import MAX_EPIPOLAR_ERROR_PX, epipolar_errors_px, nearby_pairs
from deviloc_ros.maps.matches import Keypoints, Progress, Verification
from deviloc_ros.maps.sources import PosedImage

MAX_PAIRS = 200  # a sample, evenly spread: what is looked for is in all of them
MAX_MEDIAN_ERROR_PX = 2.0


@dataclass(frozen=True, slots=True)
class PoseFit:
    """Sampson distances of verified matches from the epipolar lines of the given poses.

    pairs: of views, in which they were found. lost_share: of matches too far off to make a landmark.
    """

    pairs: int
    matches: int
    median_px: float
    lost_share: float

    @property
    def contradicts(self) -> bool:
        """Whether the poses are clearly not those that the images were taken from."""
        return self.median_px > MAX_MEDIAN_ERROR_PX

    def __str__(self) -> str:
        if not self.matches:
            return "not known, no two views share enough matches"
        words = (
            f"matches are {self.median_px:.1f} px off the epipolar lines of the given poses (median of {self.matches} "
            f"in {self.pairs} pairs of views), {self.lost_share:.0%} more than {MAX_EPIPOLAR_ERROR_PX:g} px"
        )
        if self.contradicts:
            words += (
                f"; more than {MAX_MEDIAN_ERROR_PX:g} px means that poses or calibration contradict the images, and such "
                "a map gives wrong positions: try --refine-poses"
            )
        return words


def fit_of_poses(keypoints: Keypoints, images: Sequence[PosedImage], progress: Progress) -> PoseFit:
    """Over an even sample of nearby pairs; pairs in which no motion explains enough matches say nothing."""
    by_name = {image.name: image for image in images}
    pairs = nearby_pairs(list(images))
    verified = Verification(keypoints, images)
    errors_px = []
    for a, b in progress(pairs[:: -(-len(pairs) // MAX_PAIRS) or 1], desc="do the poses fit", unit="pair"):
        rows = verified(a, b, keypoints.rows(a, b))
        if len(rows):
            pixels_a, pixels_b = keypoints.pixels(a)[rows[:, 0]], keypoints.pixels(b)[rows[:, 1]]
            errors_px.append(epipolar_errors_px(by_name[a], by_name[b], pixels_a, pixels_b))
    if not errors_px:
        return PoseFit(0, 0, float("nan"), float("nan"))
    pooled = np.concatenate(errors_px)
    lost = pooled >= MAX_EPIPOLAR_ERROR_PX
    return PoseFit(len(errors_px), len(pooled), float(np.median(pooled)), float(lost.mean()))
