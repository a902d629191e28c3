"""The benchmark of a body in view: what it pastes, and that it says what it did."""

import numpy as np
import pytest
from worlds import rigid_of

from deviloc_ros.evaluation.metrics import compare_to_truth
from deviloc_ros.evaluation.protocols.body_in_view import (
    CASES,
    PATCH_SHARE,
    describe_case,
    format_cases,
    paste_patch,
    patch_region,
    write_mask,
)
from deviloc_ros.masks import MASK_MARGIN_PX
from deviloc_ros.status import Status
from deviloc_ros.types import Lost


@pytest.mark.parametrize("size", [(640, 480), (320, 240), (1280, 720)])
def test_the_patch_covers_its_share_and_the_mask_hides_it(tmp_path, size):
    gray = np.full(size[::-1], 255, np.uint8)
    paste_patch(gray, textured=True)
    changed = gray != 255
    assert changed.mean() == pytest.approx(PATCH_SHARE, abs=0.02)
    used = write_mask(tmp_path / "mask.png", size).read(size)
    assert not (used & changed).any() and used[0, 0]
    rows, columns = patch_region(size)
    assert used[rows.start - MASK_MARGIN_PX - 1, columns.start]


def test_the_same_patch_is_in_every_image():
    first, second = (np.full((240, 320), value, np.uint8) for value in (0, 200))
    region = patch_region((320, 240))
    for gray in (first, second):
        paste_patch(gray, textured=True)
    np.testing.assert_array_equal(first[region], second[region])


def test_a_case_is_described_with_all_its_queries():
    lost = compare_to_truth("query", Lost(Status.NO_CONSENSUS), rigid_of((0, 0, 0), (0, 0, 0)))
    figures = {"cases": [describe_case(case, [lost, lost]) for case in CASES]}
    assert figures["cases"][0] == {
        "name": CASES[0].name,
        "queries": 2,
        "localized": 0,
        "wrong": 0,
        "median_translation_m": np.inf,
    }
    assert len(format_cases(figures).splitlines()) == 2 + len(CASES)
