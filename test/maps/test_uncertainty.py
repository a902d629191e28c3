"""What is stated of landmarks' depths is what noise of keypoints does to them."""

from pathlib import Path

import numpy as np
import pycolmap

from deviloc_ros.geometry import transform_points
from deviloc_ros.maps.sources import PosedImage
from deviloc_ros.maps.uncertainty import with_depth_stds
from deviloc_ros.types import UNKNOWN_DEPTH_STD, Camera, Landmarks

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
        landmarks[image.name] = Landmarks(np.arange(len(points)) * 3, pixels, points)
    return {name: observed.depth_stds for name, observed in with_depth_stds(list(views), landmarks).items()}


def test_one_other_view_moves_the_depth_as_its_noise_does():
    """The depth on the first view's ray where the second's noisy ray comes nearest, many times over."""
    first, second = view("a", [0, 0, 0]), view("b", [0.4, 0.1, 0.3], turned_rad=0.1)
    stds = stds_of(first, second)["a"]
    rng = np.random.default_rng(0)
    centre = second.cam_from_world.tgt_origin_in_src()
    true = (POINTS - centre) / np.linalg.norm(POINTS - centre, axis=1, keepdims=True)
    depths = []
    for _ in range(2000):
        directions = true + rng.normal(0, 1 / CAMERA.focal_px, true.shape)
        depths.append([meet(point, centre, direction) for point, direction in zip(POINTS, directions, strict=True)])
    np.testing.assert_allclose(np.std(depths, 0), stds, rtol=0.12)


def meet(point, centre, direction):
    """How far along the ray through `point` from the origin, in units of its distance, the other ray comes nearest."""
    return np.linalg.lstsq(np.stack([point, -direction], 1), centre, rcond=None)[0][0]


def test_a_view_more_never_hurts_and_each_adds_its_information():
    a, b, c = view("a", [0, 0, 0]), view("b", [0.4, 0, 0]), view("c", [0.4, 0, 0])
    two, three = stds_of(a, b)["a"], stds_of(a, b, c)["a"]
    np.testing.assert_allclose(three, two / np.sqrt(2))


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
    assert all(len(o) == 0 for o in with_depth_stds(images, dict.fromkeys("ab", Landmarks.none())).values())
    assert with_depth_stds([], {}) == {}
