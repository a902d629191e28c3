"""Calibrations by every name that tools have for OpenCV's formulas see directions where OpenCV does."""

import cv2
import numpy as np
import pytest

from deviloc_ros.camera import Camera
from deviloc_ros.messages.distortions import to_colmap_model

PINHOLE, SIZE = (500.0, 510.0, 322.5, 238.0), (640, 480)
MATRIX = np.array([[500.0, 0, 322.5], [0, 510, 238], [0, 0, 1]])
RADIAL = (-0.28, 0.09, 0.001, -0.002)
RATIONAL = (0.3, -0.1, 0.001, -0.002, 0.02, 0.6, -0.08, 0.01)
BENT = (-0.02, 0.01, -0.005, 0.001)
RAYS = np.array([[x, y, 1.0] for x in np.linspace(-0.6, 0.6, 7) for y in np.linspace(-0.45, 0.45, 7)])


def seen(name, d):
    model, params = to_colmap_model(name, tuple(d), PINHOLE, SIZE)
    return Camera(model, *SIZE, params).project(RAYS)


@pytest.mark.parametrize("name", ["plumb_bob", "Plumb Bob", "radtan", "radial-tangential", "brown_conrady", "opencv"])
@pytest.mark.parametrize("d", [RADIAL, (*RADIAL, 0.0), (*RADIAL, -0.01), RATIONAL, (*RATIONAL, *[0.0] * 4)])
def test_perspective_lenses_are_opencvs(name, d):
    expected = cv2.projectPoints(RAYS, np.zeros(3), np.zeros(3), MATRIX, np.array(d))[0].reshape(-1, 2)
    np.testing.assert_allclose(seen(name, d), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["equidistant", "fisheye", "kannala_brandt4", "KB4"])
@pytest.mark.parametrize("zeros", [0, 1, 4])
def test_fisheye_lenses_are_opencvs(name, zeros):
    expected = cv2.fisheye.projectPoints(RAYS[:, None], np.zeros(3), np.zeros(3), MATRIX, np.array(BENT))[0]
    np.testing.assert_allclose(seen(name, (*BENT, *[0.0] * zeros)), expected.reshape(-1, 2), atol=1e-6)


@pytest.mark.parametrize("name", ["rational_polynomial", "plumb_bob", "thin_prism_model", "tilted"])
@pytest.mark.parametrize("tilt", [(), (0.0, 0.0), (0.003, -0.002)])
def test_thin_prisms_and_a_tilted_sensor_are_fitted(name, tilt):
    d = (*RATIONAL, 5e-4, -2e-4, 3e-4, 1e-4, *tilt)
    expected = cv2.projectPoints(RAYS, np.zeros(3), np.zeros(3), MATRIX, np.array(d))[0].reshape(-1, 2)
    inside = np.all((expected >= 0) & (expected < SIZE), axis=1)
    assert np.abs(seen(name, d) - expected)[inside].max() < 0.5


def test_prisms_that_no_model_has_are_refused_with_numbers():
    with pytest.raises(ValueError, match=r"move pixels by up to .* px"):
        to_colmap_model("rational_polynomial", (*RATIONAL, 0.02, -0.01, 0.02, 0.03, 0.1, 0.1), PINHOLE, SIZE)


@pytest.mark.parametrize(
    ("name", "d"),
    [
        ("equidistant", (*BENT, 0.1)),
        ("equidistant", BENT[:3]),
        ("mei", (0.1,) * 5),
        ("plumb_bob", (0.1,) * 6),
        ("", RADIAL),  # a fisheye has four, too
        ("double_sphere", (0.1, 0.2)),
    ],
)
def test_what_is_not_certain_is_refused(name, d):
    with pytest.raises(ValueError, match=rf"{len(d)} coefficients is not supported; known are plumb_bob"):
        to_colmap_model(name, d, PINHOLE, SIZE)


@pytest.mark.parametrize("name", ["plumb_bob", "", "none", "whatever"])
@pytest.mark.parametrize("count", [0, 4, 5, 8])
def test_no_distortion_needs_no_name(name, count):
    assert to_colmap_model(name, (0.0,) * count, PINHOLE, SIZE) == ("PINHOLE", PINHOLE)
