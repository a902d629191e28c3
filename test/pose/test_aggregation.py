"""Confidence-based Point Aggregation: the paper's rule, and what the depth test adds to it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deviloc_ros.config import AggregationConfig
from deviloc_ros.pose.aggregation import PIXEL, aggregate
from deviloc_ros.types import Correspondences

DEPTH_TEST = AggregationConfig(cell_px=2.0, min_confidence=0.1, max_depth_difference=0.05)
PAPER = replace(DEPTH_TEST, max_depth_difference=1e6)


def correspondences(*rows) -> Correspondences:
    """From (x, y, depth, confidence): points straight ahead of a camera at the origin, one reference each."""
    x, y, depth, confidence = np.array(rows, float).reshape(-1, 4).T
    keypoints = np.stack([x, y], 1)
    points = np.stack([x / 500 * depth, y / 500 * depth, depth], 1)
    return Correspondences(keypoints, points, confidence, depth, np.arange(len(x)), np.zeros((len(x), 3)))


def random_correspondences(seed: int, count: int = 300) -> Correspondences:
    """Crowded: several correspondences in most cells, at a few depths."""
    rng = np.random.default_rng(seed)
    return correspondences(
        *zip(*rng.uniform(0, 30, (2, count)), rng.choice([1.0, 1.01, 3.0], count), rng.random(count), strict=True)
    )


def weights_of(given: Correspondences):
    return 1 / (PIXEL**2 + given.depth_stds**2)


def reference_aggregation(given: Correspondences, cell_px: float, min_confidence: float):
    """All points of a cell, however far apart, spelled out: {cell: (pixel, point, confidence)}."""
    cells = {}
    for row in np.flatnonzero(given.confidence > min_confidence):
        cells.setdefault(tuple(np.round(given.keypoints[row] / cell_px)), []).append(row)
    return {
        cell: (
            np.average(given.keypoints[rows], axis=0, weights=weights_of(given)[rows]),
            np.average(given.points_in_world[rows], axis=0, weights=weights_of(given)[rows]),
            given.confidence[rows].mean(),
        )
        for cell, rows in cells.items()
    }


@pytest.mark.parametrize("depth, left", [(-2.0, [0, 1]), (0.0, [0, 1]), (np.nan, [1]), (np.inf, [1])])
def test_points_whose_depth_says_nothing_spoil_no_others(depth, left):
    merged = aggregate(correspondences((4, 4, depth, 0.9), (4.2, 4, 2.0, 0.8), (4.4, 4, 2.01, 0.7)), DEPTH_TEST)
    assert merged.references.tolist() == left and np.isfinite(merged.points_in_world).all()


@pytest.mark.parametrize("seed", range(5))
def test_without_the_depth_test_everything_in_a_cell_merges(seed):
    config = AggregationConfig(cell_px=4.0, min_confidence=0.3, max_depth_difference=1e6)
    crowd = random_correspondences(seed)
    expected = reference_aggregation(crowd, config.cell_px, config.min_confidence)
    merged = aggregate(crowd, config)
    assert len(merged) == len(expected) < len(crowd)
    for keypoint, point, confidence in zip(merged.keypoints, merged.points_in_world, merged.confidence, strict=True):
        cell = min(expected, key=lambda cell: np.abs(expected[cell][0] - keypoint).sum())
        for value, wanted in zip((keypoint, point, confidence), expected[cell], strict=True):
            np.testing.assert_allclose(value, wanted)


def test_foreground_and_background_do_not_meet_in_mid_air():
    pile = correspondences((10, 10, 1.0, 0.9), (10.2, 10, 3.0, 0.8), (10, 10.2, 1.01, 0.5), (9.9, 10, 3.02, 0.4))
    merged = aggregate(pile, DEPTH_TEST)
    assert sorted(np.round(merged.depths, 1)) == [1.0, 3.0]
    assert 1.0 < aggregate(pile, PAPER).depths[0] < 3.0


def test_the_most_confident_speaks_first():
    """A chain 1.0, 1.04, 1.08 of which only neighbours agree: who belongs with whom depends on who is surest."""
    ends_first = correspondences((10, 10, 1.0, 0.9), (10, 10, 1.04, 0.5), (10, 10, 1.08, 0.4))
    middle_first = correspondences((10, 10, 1.0, 0.4), (10, 10, 1.04, 0.9), (10, 10, 1.08, 0.5))
    assert len(aggregate(ends_first, DEPTH_TEST)) == 2 and len(aggregate(middle_first, DEPTH_TEST)) == 1


def test_a_merged_point_leans_towards_the_surer():
    pair = correspondences((12, 12, 1.0, 0.9), (13, 12, 1.02, 0.3))
    merged = aggregate(pair, replace(DEPTH_TEST, cell_px=4.0))
    towards_second = weights_of(pair)[1] / weights_of(pair).sum()
    assert towards_second < 0.05
    np.testing.assert_allclose(merged.keypoints, [[12 + towards_second, 12]])
    np.testing.assert_allclose(merged.depths, [1 + 0.02 * towards_second])
    np.testing.assert_allclose(merged.confidence, [0.6])


@given(st.integers(0, 10_000), st.integers(1, 8), st.floats(0.002, 0.05))
def test_a_landmark_stays_where_it_is_whatever_was_lifted_beside_it(seed, count, off):
    """Its standard deviation is small beside that of what was lifted, by the errors of which the mean would be off."""
    rng = np.random.default_rng(seed)
    lifted = correspondences(*((10, 10, 2 * (1 + off * e), 0.9) for e in rng.uniform(-1, 1, count)))
    landmark = correspondences((10, 10, 2.0, 1.0))
    stds = np.concatenate([np.full(count, 10 * off + 0.05), [0.0005]])
    pile = replace(Correspondences.concatenate([lifted, landmark]), depth_stds=stds)
    merged = aggregate(pile, replace(DEPTH_TEST, max_depth_difference=1.0))
    assert len(merged) == 1 and abs(merged.points_in_world[0, 2] / 2 - 1) < 0.02 * off
    assert merged.depth_stds[0] < 0.2 * stds[0]


def test_the_threshold_itself_is_dropped():
    row = correspondences((10, 10, 1, 0.5), (50, 10, 1, 0.5000001), (90, 10, 1, 0.0))
    merged = aggregate(row, AggregationConfig(min_confidence=0.5))
    np.testing.assert_array_equal(merged.keypoints, [[50, 10]])


@given(st.integers(0, 10_000), st.sampled_from([1e-4, 0.05, 1e6]), st.floats(0.5, 20))
def test_what_comes_out(seed, tolerance, cell_px):
    crowd = random_correspondences(seed, 60)
    merged = aggregate(crowd, AggregationConfig(cell_px=cell_px, min_confidence=0.1, max_depth_difference=tolerance))
    assert 0 < len(merged) <= (crowd.confidence > 0.1).sum()
    assert (np.diff(merged.confidence) <= 0).all() and (merged.confidence > 0.1).all()
    assert merged.keypoints.min() >= 0 and merged.keypoints.max() <= 30
    assert merged.depths.min() > 1 - 1e-9 and merged.depths.max() < 3 + 1e-9
    assert set(merged.references.tolist()) <= set(crowd.references.tolist())


@given(st.integers(0, 10_000))
def test_the_order_of_the_input_does_not_matter(seed):
    crowd = random_correspondences(seed, 60)
    shuffled = crowd[np.random.default_rng(seed).permutation(len(crowd))]
    one, other = aggregate(crowd, DEPTH_TEST), aggregate(shuffled, DEPTH_TEST)
    np.testing.assert_allclose(one.points_in_world, other.points_in_world, atol=1e-12)


@pytest.mark.parametrize("config", [DEPTH_TEST, PAPER], ids=["with the depth test", "paper"])
def test_aggregating_again_changes_nothing(config):
    rng = np.random.default_rng(0)
    middles = np.stack(np.meshgrid(np.arange(20) * config.cell_px, np.arange(15) * config.cell_px), -1).reshape(-1, 2)
    keypoints = np.repeat(middles, 3, 0) + rng.uniform(-0.4, 0.4, (900, 2)) * config.cell_px
    crowd = correspondences(*zip(*keypoints.T, rng.choice([1.0, 1.01, 3.0], 900), rng.random(900), strict=True))
    once = aggregate(crowd, config)
    twice = aggregate(once, config)
    np.testing.assert_allclose(twice.keypoints, once.keypoints)
    np.testing.assert_allclose(twice.points_in_world, once.points_in_world)


@pytest.mark.parametrize("confidence", [None, 0.0])
def test_nothing_aggregates_to_nothing(confidence):
    rows = [] if confidence is None else [(1, 2, 3, confidence)]
    merged = aggregate(correspondences(*rows), DEPTH_TEST)
    assert len(merged) == 0 and merged.points_in_world.shape == (0, 3) and merged.keypoints.shape == (0, 2)
