"""Photographic effects change the picture, never its geometry."""

import numpy as np
import pytest

from deviloc_ros.synthetic import photo


@pytest.fixture
def spot() -> np.ndarray:
    image = np.zeros((41, 41), np.float32)
    image[20, 20] = 1
    return image


@pytest.mark.parametrize("angle", [0.0, 0.4, np.pi / 2, 2.5])
@pytest.mark.parametrize("length", [1.0, 2.3, 7.0])
def test_motion_blur_moves_nothing_and_keeps_the_light(spot, length, angle):
    blurred = photo.blur_motion(spot, length, angle)
    ys, xs = np.indices(spot.shape)
    assert blurred.sum() == pytest.approx(1, abs=1e-5)
    assert (blurred * xs).sum() == pytest.approx(20, abs=1e-4) and (blurred * ys).sum() == pytest.approx(20, abs=1e-4)


@pytest.mark.parametrize("shape", [(48, 64), (48, 64, 3)])
def test_a_photograph_keeps_shape_and_type_and_follows_its_seed(shape):
    image = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    first, again = (photo.photograph(image, np.random.default_rng(1)) for _ in range(2))
    assert first.shape == shape and first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("value", [0, 255])
def test_black_and_white_pictures_stay_finite(value):
    image = photo.photograph(np.full((32, 32), value, np.uint8), np.random.default_rng(2))
    assert image.min() >= 0 and abs(float(image.mean()) - value) < 200
