"""Measure what the corrections of the XFeat matchers are worth, on images moved by known amounts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from deviloc_ros.config import MatcherConfig
from deviloc_ros.evaluation.protocols.scenes import load_protocol
from deviloc_ros.imaging import read_gray
from deviloc_ros.matching.lighterglue import XFeatLighterGlue
from deviloc_ros.matching.xfeat import XFeat, XFeatSemiDense

PROTOCOL = "kitchen-36"
Motion = tuple[float, float, tuple[float, float]]  # turn [deg], scale, shift [px]
MOTIONS: tuple[Motion, ...] = (
    (0.0, 1.0, (0.0, 0.0)),
    (3.0, 1.0, (0.0, 0.0)),
    (0.0, 1.08, (0.0, 0.0)),
    (0.0, 1.0, (6.4, -3.7)),
)
NOISE = 5.0  # standard deviation [gray levels]


class AsReleased(XFeatSemiDense):
    """Put keypoints at the corners of cells and offsets about 4, as the mean of the softmax gives them."""

    cell_centre_px, offset_centre, offset_gain = 0.0, 4, 1.0


class Centred(AsReleased):
    """Centre offsets about 3."""

    offset_centre = 3


class Scaled(Centred):
    """Multiply offsets by 1.2 as well."""

    offset_gain = XFeatSemiDense.offset_gain


class WholePixels(XFeatLighterGlue):
    """Keep keypoints on whole pixels."""

    @staticmethod
    def refine_peaks(heat: torch.Tensor, peaks: torch.Tensor) -> torch.Tensor:
        return peaks.to(heat.dtype)


SEMI_DENSE: dict[str, type[XFeat]] = {
    "`xfeat`, as released": AsReleased,
    "grid centred on 3, not 4": Centred,
    "and offsets times 1.2": Scaled,
    "and the keypoint at its cell's centre, not corner": XFeatSemiDense,
}
SPARSE: dict[str, type[XFeat]] = {
    "`xfeat-lighterglue`, as released": WholePixels,
    "sub-pixel keypoints": XFeatLighterGlue,
}


def measure_offsets(data: Path, every: int) -> list[dict[str, Any]]:
    """Return the median error of the matched pixel [px] by variant, over all motions and by motion.

    Raises:
        SourceError: the data is not there.
    """
    (fold,) = load_protocol(PROTOCOL, data).folds
    images = [read_gray(image.path) for image in fold.map_images[::every]]
    found = []
    for name, variant in (SEMI_DENSE | SPARSE).items():
        matcher = variant(MatcherConfig())
        by_motion = [
            np.concatenate([match_errors_px(matcher, gray, motion, seed) for seed, gray in enumerate(images)])
            for motion in tqdm(MOTIONS, desc=name, unit="motion", dynamic_ncols=True)
        ]
        medians = [float(np.median(errors)) for errors in by_motion]
        found.append({"variant": name, "median_px": float(np.median(np.concatenate(by_motion))), "by_motion": medians})
    return found


def match_errors_px(matcher: XFeat, gray: NDArray, motion: Motion, seed: int) -> NDArray:
    """Return (M,) distances [px] of matched pixels from where they were moved to."""
    turn_deg, scale, shift_px = motion
    height, width = gray.shape
    moved_from_still = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn_deg, scale)
    moved_from_still[:, 2] += np.array(shift_px)
    noise = np.random.default_rng(seed).normal(0, NOISE, gray.shape)
    moved = cv2.warpAffine(gray, moved_from_still, (width, height), borderMode=cv2.BORDER_REFLECT)
    query = matcher.extract(np.clip(moved + noise, 0, 255).astype(np.uint8))
    reference = matcher.extract(gray)
    (matches,) = matcher.match(query, [reference])
    still = reference.keypoints.cpu().numpy()[matches.reference_indices]
    true = still @ moved_from_still[:, :2].T + moved_from_still[:, 2]
    return np.linalg.norm(matches.query_keypoints - true, axis=1)
