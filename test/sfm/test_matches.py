"""Keypoints of one kind and of two, and what matches them."""

import numpy as np
import torch
from rooms import QUIET

from deviloc_ros.sfm.matches import Keypoints
from deviloc_ros.types import Features

NAMES = ("a.png", "b.png")


def features_at(pixels) -> Features:
    """Keypoints whose descriptor is their x."""
    keypoints = torch.tensor(pixels, dtype=torch.float64).reshape(-1, 2)
    return Features(keypoints, keypoints[:, :1], torch.ones(len(keypoints)), torch.ones(len(keypoints), 2), (640, 480))


def equal(a: Features, b: Features) -> np.ndarray:
    return torch.nonzero(a.descriptors == b.descriptors.T).numpy()


def test_each_of_two_kinds_is_matched_with_its_own():
    corners = Keypoints(
        dict(zip(NAMES, (features_at([[1, 0], [2, 0], [3, 0]]), features_at([[2, 9]])), strict=True)), equal
    )
    blobs = dict(zip(NAMES, (features_at([[2, 5], [7, 5]]), features_at([[7, 6], [3, 6], [2, 6]])), strict=True))
    both = Keypoints(blobs, equal, corners)
    np.testing.assert_array_equal(both.pixels("a.png"), [[2, 5], [7, 5], [1, 0], [2, 0], [3, 0]])
    np.testing.assert_array_equal(both.pixels("b.png"), [[7, 6], [3, 6], [2, 6], [2, 9]])
    (rows,) = both.match_all([NAMES], QUIET)
    matched = [(tuple(both.pixels("a.png")[i]), tuple(both.pixels("b.png")[j])) for i, j in rows]
    assert matched == [((2, 5), (2, 6)), ((7, 5), (7, 6)), ((2, 0), (2, 9))]


def test_a_kind_that_sees_nothing_leaves_the_other():
    corners = Keypoints(dict.fromkeys(NAMES, features_at([[1, 0], [2, 0]])), equal)
    both = Keypoints(dict.fromkeys(NAMES, features_at([])), equal, corners)
    (rows,) = both.match_all([NAMES], QUIET)
    assert rows.tolist() == corners.match_all([NAMES], QUIET)[0].tolist() == [[0, 0], [1, 1]]
