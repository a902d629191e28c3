"""Each correction of XFeat's matchers brings matched pixels nearer to where they were moved to."""

import numpy as np
import pytest

from benchmarks.keypoint_offsets import SEMI_DENSE, SPARSE, match_errors_px
from deviloc_ros.config import MatcherConfig


@pytest.fixture
def medians_px(room):
    """Of the errors of each variant, on an image that is turned, grown and shifted by so many pixels."""
    gray = room.queries[0] if room.queries[0].ndim == 2 else room.queries[0][..., 0]

    def measure(variants, shift_px):
        motion = (3.0, 1.08, shift_px)
        return [
            np.median(match_errors_px(v(MatcherConfig(min_image_side_px=0)), gray, motion, 0))
            for v in variants.values()
        ]

    return measure


def test_the_corrections_bring_matches_nearer(medians_px):
    medians = medians_px(SEMI_DENSE, (6.0, -4.0))
    assert medians[1] < 0.8 * medians[0] and medians[-1] < medians[1]


def test_sub_pixel_keypoints_are_nearer(medians_px):
    released, sub_pixel = medians_px(SPARSE, (6.4, -3.7))
    assert sub_pixel < 0.95 * released
