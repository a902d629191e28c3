"""Measure how well given poses fit the images, by verified matches.

A map with contradictory poses localizes wrongly, and nothing at localization can notice. The images can: whatever the
given poses are, the matches of two images obey one relative pose, the true one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deviloc_ros.sampling import thin_evenly
from deviloc_ros.sfm.landmarks import MAX_EPIPOLAR_ERROR_PX, epipolar_errors_px, find_nearby_pairs
from deviloc_ros.sfm.matches import Keypoints, keep_verified, match_pairs
from deviloc_ros.sfm.pose_suspects import MatchedPair, explain_contradiction
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.types import Matches, ReferenceView
from deviloc_ros.workers.base import Workers

FEW_PAIRS, MAX_PAIRS = 40, 100  # samples, evenly spread, since poses that bend do so everywhere
MAX_MEDIAN_ERROR_PX = 2.0  # docs/maps.md says what poses of several sources give
GOOD_MEDIAN_ERROR_PX = 1.0  # in few pairs: with more pairs the result could not become a contradiction


@dataclass(frozen=True, slots=True)
class PoseFit:
    """Hold the Sampson distances of verified matches by the given poses.

    pairs: number of pairs of views with matches. median_px: of the pairs' medians, so that neighbours, which share the
    most matches and have similar errors, do not dominate. lost_share: of matches too far off to make a landmark.
    advice: what to do if they contradict the poses.
    """

    pairs: int
    median_px: float
    lost_share: float
    advice: str = ""

    @staticmethod
    def from_pairs(errors_px: list[NDArray]) -> PoseFit:
        """Summarize the errors of all pairs."""
        if not errors_px:
            return PoseFit(0, float("nan"), float("nan"))
        lost = np.concatenate(errors_px) >= MAX_EPIPOLAR_ERROR_PX
        return PoseFit(len(errors_px), float(np.median([np.median(e) for e in errors_px])), float(lost.mean()))

    @property
    def contradicts(self) -> bool:
        """Return whether the matches clearly contradict the poses."""
        return self.median_px > MAX_MEDIAN_ERROR_PX

    def __str__(self) -> str:
        if not self.pairs:
            return "not known, no two views share enough matches"
        words = (
            f"matches lie {self.median_px:.1f} px off the epipolar lines of the poses (median of {self.pairs} pairs of "
            f"views), {self.lost_share:.0%} of them more than {MAX_EPIPOLAR_ERROR_PX:g} px"
        )
        if self.contradicts:
            words += (
                f"; above {MAX_MEDIAN_ERROR_PX:g} px poses or calibration contradict the images, and a map of such "
                f"poses can give wrong positions: {self.advice}"
            )
        return words


def measure_pose_fit(keypoints: Keypoints, images: list[PosedImage], workers: Workers) -> PoseFit:
    """Measure the fit over a sample of nearby pairs of views; few pairs suffice if the fit is good."""
    pairs = find_nearby_pairs(images)
    matched = match_sample(keypoints, images, thin_evenly(pairs, FEW_PAIRS), workers)
    fit = PoseFit.from_pairs([pair.errors_px() for pair in matched])
    if len(pairs) > FEW_PAIRS and not fit.median_px < GOOD_MEDIAN_ERROR_PX:
        matched = match_sample(keypoints, images, thin_evenly(pairs, MAX_PAIRS), workers)
        fit = PoseFit.from_pairs([pair.errors_px() for pair in matched])
    return replace(fit, advice=explain_contradiction(matched, images)) if fit.contradicts else fit


def match_sample(
    keypoints: Keypoints, images: list[PosedImage], pairs: list[tuple[str, str]], workers: Workers
) -> list[MatchedPair]:
    """Return the verified matches of pairs of views; pairs without are left out."""
    by_name = {image.name: image for image in images}
    graph = match_pairs(keypoints, images, pairs, keep_verified, workers)
    places = {name: place for place, name in enumerate(by_name)}
    matched = []
    for (a, b), rows in graph.matches.items():
        if len(rows):
            pixels_a, pixels_b = graph.keypoints[a][rows[:, 0]], graph.keypoints[b][rows[:, 1]]
            matched.append(MatchedPair(by_name[a], by_name[b], pixels_a, pixels_b, abs(places[a] - places[b])))
    return matched


def epipolar_errors_with_view(image: PosedImage, view: ReferenceView, matches: Matches) -> NDArray:
    """Return the (N,) epipolar errors [px] of verified matches of an image with a view of a map."""
    if matches.moved is not None:
        pixels, pixels_of_view = matches.moved.query_keypoints, matches.moved.reference_keypoints
    else:
        pixels = matches.query_keypoints
        pixels_of_view = view.features.keypoints.cpu().numpy()[matches.reference_indices]
    posed_view = PosedImage(view.name, Path(view.name), view.camera, view.cam_from_world)
    as_matched = np.repeat(np.arange(len(matches))[:, None], 2, axis=1)
    rows = keep_verified((image, pixels), (posed_view, pixels_of_view), as_matched)[:, 0]
    return epipolar_errors_px(image, posed_view, pixels[rows], pixels_of_view[rows])
