"""Cameras refuse nonsense by name; pixels and rays are inverse to each other."""

from pathlib import Path

import numpy as np
import pycolmap
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import PINHOLE

from deviloc_ros.camera import Camera, list_models
from deviloc_ros.types import Correspondences, Evidence, Localized

CAMERAS = [
    PINHOLE,
    Camera("SIMPLE_RADIAL", 640, 480, (525.0, 319.5, 239.5, -0.05)),
    Camera("OPENCV", 640, 480, (520.0, 530.0, 310.0, 250.0, -0.2, 0.05, 1e-3, -1e-3)),
    Camera("OPENCV_FISHEYE", 640, 480, (300.0, 300.0, 319.5, 239.5, 0.02, -0.01, 0.0, 0.0)),
]


@pytest.mark.parametrize(
    ("field", "model", "width", "height", "params"),
    [
        ("model 'FISH'", "FISH", 640, 480, (1.0,)),
        ("model 'INVALID'", "INVALID", 640, 480, (1.0,)),
        ("size 0 x 480", "PINHOLE", 0, 480, (525.0, 525.0, 320.0, 240.0)),
        ("size 640 x -1", "PINHOLE", 640, -1, (525.0, 525.0, 320.0, 240.0)),
        ("finite", "PINHOLE", 640, 480, (525.0, np.nan, 320.0, 240.0)),
        ("finite", "PINHOLE", 640, 480, (np.inf, 525.0, 320.0, 240.0)),
        ("PINHOLE takes", "PINHOLE", 640, 480, (525.0, 320.0, 240.0)),
        ("PINHOLE takes", "PINHOLE", 640, 480, ()),
        ("focal length", "PINHOLE", 640, 480, (0.0, 0.0, 0.0, 0.0)),
        ("focal length", "PINHOLE", 640, 480, (525.0, -525.0, 320.0, 240.0)),
        ("EQUIRECTANGULAR has no image plane", "EQUIRECTANGULAR", 2048, 1024, (2048.0, 1024.0)),
    ],
)
def test_a_camera_that_makes_no_sense_names_what_is_wrong(field, model, width, height, params):
    with pytest.raises(ValueError, match=field):
        Camera(model, width, height, params)


@pytest.mark.parametrize("camera", CAMERAS, ids=lambda camera: camera.model)
@given(x=st.floats(20, 620), y=st.floats(20, 460), depth=st.floats(0.05, 500))
def test_projecting_a_ray_gives_back_its_pixel(camera, x, y, depth):
    ray = camera.rays(np.array([[x, y]]))
    assert ray[0, 2] == 1
    np.testing.assert_allclose(camera.project(ray * depth), [[x, y]], atol=1e-4)


def test_pixels_at_90_degrees_and_more_have_no_ray():
    wide = Camera("OPENCV_FISHEYE", 1000, 1000, (280.0, 280.0, 499.5, 499.5, 0.0, 0.0, 0.0, 0.0))
    angles = np.deg2rad([0, 45, 89, 91, 100, 120])
    rays = wide.rays(np.stack([499.5 + 280 * angles, np.full(6, 499.5)], 1))
    np.testing.assert_allclose(rays[:3, 0], np.tan(angles[:3]), atol=1e-6)
    assert np.isnan(rays[3:]).all()


def test_the_principal_point_looks_straight_ahead():
    np.testing.assert_allclose(PINHOLE.rays([[319.5, 239.5]]), [[0, 0, 1]], atol=1e-12)
    np.testing.assert_allclose(PINHOLE.project([[0.1, -0.2, 2.0]]), [[319.5 + 26.25, 239.5 - 52.5]])


def test_points_not_in_front_have_no_pixel():
    pixels = PINHOLE.project(np.array([[0, 0, 1], [0, 0, -1], [0.0, 0, 0], [1, 1, 2]]))
    np.testing.assert_array_equal(np.isfinite(pixels).all(1), [True, False, False, True])


def test_points_that_a_lens_model_folds_back_into_the_image_are_not_shown():
    camera = Camera("SIMPLE_RADIAL", 640, 480, (525.0, 319.5, 239.5, -0.1))
    angles = np.deg2rad([0, 20, 48, 72, 74])
    points = 3 * np.stack([0.8 * np.tan(angles), 0.6 * np.tan(angles), np.ones(5)], 1)
    assert camera.is_in_image(camera.project(points)).tolist() == [True, True, False, True, True]
    np.testing.assert_array_equal(np.isfinite(camera.project_visible(points)).all(1), [True, True, False, False, False])
    np.testing.assert_array_equal(camera.project_visible(points)[:2], camera.project(points)[:2])


WIDE = [  # their corners have no rays; the first sees 170 degrees, the last folds within the image
    Camera("OPENCV_FISHEYE", 848, 800, (286.0, 286.0, 423.5, 399.5, -0.008, 0.04, -0.04, 0.007)),
    Camera("EUCM", 640, 480, (253.6, 242.8, 319.5, 239.5, 0.8058, 1.5556)),
    Camera("SIMPLE_FISHEYE", 640, 480, (137.0, 319.5, 239.5)),
    Camera("RADIAL", 4000, 3000, (1407.0, 1999.5, 1499.5, -0.411, -0.123)),
]


@pytest.mark.parametrize("camera", CAMERAS + WIDE, ids=lambda camera: camera.model)
@given(x=st.floats(0, 1), y=st.floats(0, 1), depth=st.floats(0.05, 500))
def test_what_an_image_shows_is_not_beyond_its_view_and_what_is_behind_it_is(camera, x, y, depth):
    ray = camera.rays(np.array([[x * camera.width - 0.5, y * camera.height - 0.5]]))
    if np.isfinite(ray).all():
        assert camera.is_beyond_view(ray * [[depth], [-depth]]).tolist() == [False, True]


@given(k1=st.floats(-0.2, -0.02), share=st.floats(0.1, 0.95), turn=st.floats(0, 6.28))
def test_whatever_folds_back_into_the_image_is_beyond_the_view(k1, share, turn):
    """By a cubic lens whose corners have rays a pixel has a second point, beyond where the polynomial turns round."""
    camera = Camera("SIMPLE_RADIAL", 640, 480, (525.0, 319.5, 239.5, k1))
    radius = share * 239 / 525
    folded = max(np.roots([k1, 0, 1, -radius]).real)
    point = np.array([[folded * np.cos(turn), folded * np.sin(turn), 1.0]])
    assert camera.is_in_image(camera.project(point)).all() and camera.is_beyond_view(point).all()


@pytest.mark.parametrize("camera", CAMERAS, ids=lambda camera: camera.model)
def test_no_points_are_no_pixels(camera):
    assert camera.project(np.zeros((0, 3))).shape == camera.project_visible(np.zeros((0, 3))).shape == (0, 2)
    assert camera.rays(np.zeros((0, 2))).shape == (0, 3)


def test_cameras_compare_by_value():
    assert Camera("PINHOLE", 640, 480, PINHOLE.params) == PINHOLE and len({*CAMERAS, *CAMERAS}) == 4


def test_correspondences_join_and_part():
    assert len(Correspondences.concatenate([])) == 0
    part = Correspondences(np.ones((2, 2)), np.ones((2, 3)), np.ones(2), np.ones(2), np.array([0, 1]), np.eye(2, 3))
    both = Correspondences.concatenate([part, part])
    assert len(both) == 4 and both[both.references == 1].references.tolist() == [1, 1]
    assert both.origins.tolist() == [*np.eye(2, 3).tolist()] * 2


def test_evidence_counts_inliers():
    assert (Evidence().inliers, Evidence().inlier_ratio) == (0, 0.0)
    evidence = Evidence(inlier_mask=np.array([True, False, True, True]))
    assert (evidence.inliers, evidence.inlier_ratio) == (3, 0.75)


def test_an_image_reaches_to_the_borders_of_its_outer_pixels():
    camera = Camera("PINHOLE", 320, 240, (262.0, 262.0, 159.5, 119.5))
    inside = [[-0.5, -0.5], [319.4, 239.4], [160, 120]]
    outside = [[-0.6, 10], [319.5, 10], [10, -0.6], [10, 239.5], [np.nan, np.nan]]
    assert camera.is_in_image(np.array(inside + outside)).tolist() == [True] * 3 + [False] * 5
    assert camera.is_in_image(np.zeros((0, 2))).tolist() == []


def test_a_result_prints_as_one_line():
    off = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([-1.0, -2.0, -3.0]))
    found = Localized(off, np.eye(6), Evidence(inlier_mask=np.ones(40, bool)))
    assert str(found) == "at 1.000, 2.000, 3.000; 40 inliers"


def test_an_unknown_model_is_told_the_nearest_and_all():
    with pytest.raises(ValueError, match=r"'pinhole' is unknown; did you mean 'PINHOLE'\? .*OPENCV_FISHEYE") as error:
        Camera("pinhole", 640, 480, (525.0, 525.0, 319.5, 239.5))
    assert all(model in str(error.value) for model in list_models()) and "EQUIRECTANGULAR" not in str(error.value)


def test_the_page_has_the_parameters_of_every_model():
    page = (Path(__file__).parents[1] / "docs" / "maps.md").read_text()
    assert [model for model, params in list_models().items() if f"| `{model}` | {params} |" not in page] == []
