"""Each correction of XFeat* brings matched pixels nearer to where they were moved to."""

import numpy as np

from deviloc_ros.config import MatcherConfig
from deviloc_ros.evaluation.offsets import VARIANTS, errors_px


def test_the_corrections_bring_matches_nearer(room):
    gray = room.queries[0] if room.queries[0].ndim == 2 else room.queries[0][..., 0]
    motion = (3.0, 1.08, (6.0, -4.0))
    medians = [np.median(errors_px(variant(MatcherConfig()), gray, motion, 0)) for variant in VARIANTS.values()]
    assert medians[1] < 0.8 * medians[0] and medians[-1] < medians[1]
