"""Pictures that a map does not hold: how they are changed, and what counts as wrong."""

import numpy as np
import pytest

from benchmarks.unknown import CHANGES, KEEPING_POSE, cover, hang_poster, render_tables, summarize_threshold


def picture(seed=0):
    return np.random.default_rng(seed).integers(0, 255, (48, 64), np.uint8)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_picture_is_one_of_its_size(change):
    changed = CHANGES[change](picture(), np.random.default_rng(0))
    assert changed.shape == (48, 64) and changed.dtype == np.uint8
    assert (changed == picture()).all() == (change == "as it is")


def test_nine_tenths_are_covered():
    left = cover(picture(), np.random.default_rng(0)) == picture()
    assert left.mean() == pytest.approx(0.1, abs=0.02)


def test_a_poster_hangs_within_another_picture():
    wall, poster = np.zeros((48, 64), np.uint8), np.full((30, 40), 200, np.uint8)
    hung = hang_poster(wall, poster, np.random.default_rng(0))
    assert 0.1 < (hung > 0).mean() < 0.8 and hung[0, 0] == 0


def row(inside, localized, wrong, inliers, change="as it is"):
    return {"inside": inside, "localized": localized, "wrong": wrong, "inliers": inliers, "change": change}


def test_fewer_inliers_than_asked_for_are_neither_wrong_nor_right():
    rows = [row(False, True, True, 20), row(False, False, False, 90), row(True, True, False, 50)]
    rows += [row(True, True, True, 25), row(True, True, False, 22, "dark"), row(True, False, False, 10)]
    low, high = summarize_threshold(rows, 12), summarize_threshold(rows, 30)
    assert (low["wrong"], low["unknown"], low["wrong_per_thousand"]) == (1, 2, 500.0)
    assert (low["inside_wrong"], low["recall"], low["recall_as_they_are"]) == (1, 0.5, pytest.approx(1 / 3))
    assert (high["wrong"], high["inside_wrong"], high["recall"]) == (0, 0, 0.25)
    assert "500.00" in render_tables(rows, [])


def test_changes_that_keep_the_pose_are_known():
    assert set(KEEPING_POSE) <= set(CHANGES) and "mirrored" not in KEEPING_POSE
