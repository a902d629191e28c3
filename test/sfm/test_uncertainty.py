"""What is stated of landmarks' depths is what noise of keypoints does to them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import transform_points
from deviloc_ros.sfm.uncertainty import EXPECTED_PX, EXPECTED_WEIGHT, add_depth_stds
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.types import UNKNOWN_DEPTH_STD, Landmarks

CAMERA = Camera("SIMPLE_PINHOLE", 640, 480, (500.0, 320.0, 240.0))
POINTS = np.array([[0.3, -0.2, 4.0], [-1.0, 0.5, 2.0], [0.0, 0.0, 9.0]])


def view(name, centre, turned_rad=0.0):
    rotation = pycolmap.Rotation3d(np.array([0.0, turned_rad, 0.0]))
    return PosedImage(name, Path(), CAMERA, pycolmap.Rigid3d(rotation, rotation * -np.array(centre, float)))


def stds_of(*views, points=POINTS):
    """By view name, all views observing all points."""
    landmarks = {}
    for image in views:
        pixels = CAMERA.project(transform_points(image.cam_from_world, points))
        landmarks[image.name] = Landmarks.without_stds(np.arange(len(points)) * 3, pixels, points)
    return {name: observed.depth_stds for name, observed in add_depth_stds(list(views), landmarks).items()}


def seen_from_around(rng, noise_px, points=POINTS, count=9):
    """Views and what they observe: keypoints off by noise, and where rays through them come nearest to each other."""
    views = [view(str(n), rng.uniform(-0.5, 0.5, 3), turned_rad=rng.uniform(-0.1, 0.1)) for n in range(count)]
    pixels = [CAMERA.project(transform_points(v.cam_from_world, points)) for v in views]
    pixels = [p + rng.normal(0, noise_px, p.shape) for p in pixels]
    centres = np.stack([v.cam_from_world.tgt_origin_in_src() for v in views])
    rays = [CAMERA.rays(p) @ v.cam_from_world.rotation.matrix() for v, p in zip(views, pixels, strict=True)]
    rays = np.stack([r / np.linalg.norm(r, axis=1)[:, None] for r in rays], 1)  # (points, views, 3)
    across = np.eye(3) - rays[..., :, None] * rays[..., None, :]
    across /= ((points[:, None] - centres) ** 2).sum(-1)[..., None, None]
    found = np.linalg.solve(across.sum(1), (across @ centres[..., None]).sum(1))[..., 0]
    return views, {
        v.name: Landmarks.without_stds(np.arange(len(points)), p, found) for v, p in zip(views, pixels, strict=True)
    }


@pytest.mark.parametrize("noise_px", [0.25, 1.0, 2.0])
def test_depths_are_as_uncertain_as_the_noise_of_keypoints_makes_them(noise_px):
    rng = np.random.default_rng(0)
    points = rng.uniform([-1, -1, 3], [1, 1, 6], (3000, 3))
    views, landmarks = seen_from_around(rng, noise_px, points, count=12)
    stds = add_depth_stds(views, landmarks)["0"].depth_stds
    centre = views[0].cam_from_world.tgt_origin_in_src()
    errors = np.log(np.linalg.norm(landmarks["0"].points_in_world - centre, axis=1))
    errors -= np.log(np.linalg.norm(points - centre, axis=1))
    expected_counts_too = np.sqrt((EXPECTED_WEIGHT * EXPECTED_PX**2 + 21 * noise_px**2) / (EXPECTED_WEIGHT + 21))
    assert np.std(errors / stds) == pytest.approx(noise_px / expected_counts_too, rel=0.1)


def test_a_landmark_that_its_rays_miss_is_less_certain():
    views, landmarks = seen_from_around(np.random.default_rng(1), 0.5)
    before = add_depth_stds(views, landmarks)
    landmarks["4"].keypoints[1] += 8.0
    after = add_depth_stds(views, landmarks)
    for name, observed in after.items():
        ratio = observed.depth_stds / before[name].depth_stds
        np.testing.assert_allclose(ratio[[0, 2]], 1)
        assert ratio[1] > 2


def test_a_view_that_places_a_landmark_elsewhere_says_by_how_much():
    views, landmarks = seen_from_around(np.random.default_rng(1), 0.1)
    centre = views[4].cam_from_world.tgt_origin_in_src()
    elsewhere = landmarks["4"].points_in_world.copy()
    elsewhere[2] = centre + 1.3 * (elsewhere[2] - centre)
    landmarks["4"] = replace(landmarks["4"], points_in_world=elsewhere)
    stated = {name: observed.depth_stds[2] for name, observed in add_depth_stds(views, landmarks).items()}
    assert stated.pop("4") == pytest.approx(0.3 / 1.3 * 8 / 9, rel=0.1)
    assert max(stated.values()) < 0.05


def test_keypoints_without_a_ray_do_not_count():
    views, landmarks = seen_from_around(np.random.default_rng(1), 0.1)
    landmarks["4"].keypoints[0] = np.nan
    assert all(np.isfinite(observed.depth_stds).all() for observed in add_depth_stds(views, landmarks).values())


def test_a_view_more_never_hurts_and_each_adds_its_information():
    a, b, c = view("a", [0, 0, 0]), view("b", [0.4, 0, 0]), view("c", [0.4, 0, 0])
    two, three = stds_of(a, b)["a"], stds_of(a, b, c)["a"]
    more_residuals = (EXPECTED_WEIGHT + 1) / (EXPECTED_WEIGHT + 3)  # all of them zero
    np.testing.assert_allclose(three, two / np.sqrt(2) * np.sqrt(more_residuals))


def test_the_size_of_the_world_does_not_matter():
    ones, sevens = view("a", [0, 0, 0]), view("b", [0.5, 0.2, 0.0])
    stds = stds_of(ones, sevens)
    scaled = stds_of(view("a", [0, 0, 0]), view("b", [3.5, 1.4, 0.0]), points=7 * POINTS)
    for name in stds:
        np.testing.assert_allclose(stds[name], scaled[name])


def test_without_parallax_nothing_is_known():
    assert (stds_of(view("a", [0, 0, 0]))["a"] == UNKNOWN_DEPTH_STD).all()
    turned = stds_of(view("a", [0, 0, 0]), view("b", [0, 0, 0], turned_rad=0.2))["b"]
    np.testing.assert_allclose(turned, UNKNOWN_DEPTH_STD, rtol=1e-6)


def test_views_without_landmarks_are_views():
    images = [view("a", [0, 0, 0]), view("b", [1, 0, 0])]
    assert all(len(o) == 0 for o in add_depth_stds(images, dict.fromkeys("ab", Landmarks.empty())).values())
    assert add_depth_stds([], {}) == {}
