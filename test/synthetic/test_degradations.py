"""Each degradation does what its name says, as its seed says, and leaves a picture."""

from functools import partial

import numpy as np
import pytest

from deviloc_ros.synthetic import degradations
from deviloc_ros.synthetic.degradations import NIGHT_LIGHT, to_light

ALL = {
    "night": degradations.darken_to_night,
    "overexposed": degradations.overexpose,
    "smeared": partial(degradations.smear, length_px=9),
    "covered": degradations.cover,
    "compressed": degradations.compress_hard,
    "dirt": degradations.soil_lens,
    "mirrored": degradations.mirror,
}


@pytest.fixture
def gray() -> np.ndarray:
    ramp = np.linspace(20, 250, 160)[None] * np.ones((120, 1))
    return (ramp + np.random.default_rng(0).normal(0, 3, ramp.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("degrade", ALL.values(), ids=ALL)
def test_a_picture_is_changed_as_its_seed_says_and_keeps_its_size(gray, degrade):
    before = gray.copy()
    first, again = (degrade(gray, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(gray, before)
    assert first.shape == gray.shape and first.dtype == np.uint8 and (first != gray).any()


@pytest.mark.parametrize("seed", range(5))
def test_at_night_there_is_a_little_light_and_noise(gray, seed):
    dark = to_light(degradations.darken_to_night(gray, np.random.default_rng(seed)))
    share = dark.mean() / to_light(gray).mean()
    assert NIGHT_LIGHT[0] * 0.9 < share < NIGHT_LIGHT[1] * 1.1
    flat = degradations.darken_to_night(np.full((100, 100), 200, np.uint8), np.random.default_rng(seed))
    assert flat.std() > 0.5


def test_overexposure_saturates_what_is_brighter_than_a_quarter_of_white(gray):
    bright = degradations.overexpose(gray, np.random.default_rng(0))
    np.testing.assert_array_equal(bright == 255, to_light(gray) > 0.2489)
    assert (bright >= gray).all()


@pytest.mark.parametrize("length_px", [9, 17])
def test_a_smear_is_as_long_as_it_says_and_moves_nothing(length_px):
    dot = np.zeros((61, 61), np.uint8)
    dot[30, 30] = 255
    blurred = degradations.smear(dot, np.random.default_rng(1), length_px).astype(float)
    ys, xs = np.nonzero(blurred)
    assert abs(np.hypot(np.ptp(xs), np.ptp(ys)) - length_px) < 2.5
    assert np.average(xs, weights=blurred[ys, xs]) == pytest.approx(30, abs=0.3)
    assert np.average(ys, weights=blurred[ys, xs]) == pytest.approx(30, abs=0.3)


def test_half_has_half_the_pixels_each_the_mean_of_four(gray):
    half = degradations.halve(gray, np.random.default_rng(0))
    np.testing.assert_allclose(half, gray.reshape(60, 2, 80, 2).mean((1, 3)), atol=1)


def test_a_third_is_covered_by_something_with_corners(gray):
    changed = degradations.cover(gray, np.random.default_rng(3)) != gray
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    share = (np.ptp(rows) + 1) * (np.ptp(columns) + 1) / gray.size
    assert share == pytest.approx(degradations.COVERED_SHARE, abs=0.02)


def test_dirt_hides_a_part_and_leaves_the_most(gray):
    dirty = degradations.soil_lens(gray, np.random.default_rng(0)).astype(int)
    assert 0.05 < (np.abs(dirty - gray) > 15).mean() < 0.6


def test_twice_mirrored_is_the_picture(gray):
    once = degradations.mirror(gray, np.random.default_rng(0))
    np.testing.assert_array_equal(degradations.mirror(once, np.random.default_rng(0)), gray)
