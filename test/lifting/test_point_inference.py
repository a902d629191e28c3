"""Lifting against scenes whose depth is known in closed form, and what every method promises."""

from dataclasses import replace

import numpy as np
import pycolmap
import pytest
import torch
from worlds import PINHOLE, TRAINED_LIFTS, random_rigid

from deviloc_ros.config import LiftConfig
from deviloc_ros.geometry import transform_points
from deviloc_ros.lifting import create_point_inference
from deviloc_ros.lifting.base import lift_and_prepare
from deviloc_ros.lifting.sensor_depth import DepthCorrection, SensorDepth, move_into_color
from deviloc_ros.types import Features, Landmarks

CAM_FROM_WORLD = random_rigid(np.random.default_rng(5))


@pytest.fixture(params=TRAINED_LIFTS)
def from_landmarks(request):
    """Every method that knows landmarks alone."""
    return method(request.param)


@pytest.fixture(params=[*TRAINED_LIFTS, "sensor"])
def inference(request):
    """Every method, and a sensor that saw the left half of a floor."""
    if request.param != "sensor":
        return method(request.param)
    pixels = np.stack(np.meshgrid(np.arange(640), np.arange(480)), -1)
    depth_m = np.where(pixels[..., 0] < 320, plane_depth(pixels.reshape(-1, 2)).reshape(480, 640), 0)
    return SensorDepth(method("interpolate"), move_into_color(depth_m, PINHOLE, pycolmap.Rigid3d()), DepthCorrection())


def method(name, **changes):
    return create_point_inference(LiftConfig(method=name, **changes))


def grid(step: float = 8.0, margin: float = 20.0) -> np.ndarray:
    """(N, 2) pixels all over the image."""
    x, y = np.arange(margin, 640 - margin, step), np.arange(margin, 480 - margin, step)
    return np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)


def features_at(keypoints) -> Features:
    """Features with made-up descriptors; `dense` differs from place to place."""
    generator = torch.Generator().manual_seed(0)
    count = len(keypoints)
    return Features(
        torch.tensor(np.asarray(keypoints), dtype=torch.float32).reshape(-1, 2),
        torch.nn.functional.normalize(torch.randn(count, 64, generator=generator), dim=1),
        torch.ones(count),
        torch.ones(count, 2),
        (640, 480),
        torch.randn(64, 60, 80, generator=generator),
    )


def landmarks_at(keypoints, depths) -> Landmarks:
    """Landmarks of the given depth [m] behind each pixel, in the world."""
    points = PINHOLE.rays(keypoints) * np.asarray(depths)[:, None]
    return Landmarks.without_stds(
        np.arange(len(points)), np.asarray(keypoints), transform_points(CAM_FROM_WORLD.inverse(), points)
    )


def plane_depth(keypoints) -> np.ndarray:
    """A floor-like plane, 2 to 5 m away: inverse depth is linear in the pixel."""
    rays = PINHOLE.rays(keypoints)
    return 1 / (rays @ [0.05, 0.2, 0.33])


def lift(inference, keypoints, landmarks):
    return lift_and_prepare(inference, features_at(keypoints), landmarks, PINHOLE, CAM_FROM_WORLD)[0]


def test_a_lifted_point_lies_on_its_keypoints_ray_at_its_depth(inference):
    keypoints = np.random.default_rng(0).uniform(30, [610, 450], (200, 2))
    lifted = lift(inference, keypoints, landmarks_at(grid(), plane_depth(grid())))
    rows = lifted.confidence > 0
    assert rows.sum() > 10 and ((lifted.confidence >= 0) & (lifted.confidence <= 1)).all()
    in_cam = transform_points(CAM_FROM_WORLD, lifted.points_in_world[rows])
    np.testing.assert_allclose(PINHOLE.project(in_cam), keypoints[rows], atol=1e-3)
    np.testing.assert_allclose(in_cam[:, 2], lifted.depths[rows], rtol=1e-5)


def test_what_is_not_lifted_is_zero(inference):
    keypoints = np.random.default_rng(1).uniform(0, [639, 479], (100, 2))
    lifted = lift(inference, keypoints, landmarks_at(grid()[:5], plane_depth(grid()[:5])))
    rows = lifted.confidence == 0
    assert not lifted.points_in_world[rows].any() and not lifted.depths[rows].any()
    assert np.isfinite(lifted.points_in_world).all() and (lifted.depths[~rows] > 0).all()


def test_without_landmarks_nothing_is_lifted(from_landmarks):
    lifted = lift(from_landmarks, grid(64), landmarks_at(np.zeros((0, 2)), np.zeros(0)))
    assert len(lifted.confidence) == len(grid(64)) and not lifted.confidence.any()


def test_without_keypoints_there_is_nothing_to_lift(inference):
    lifted = lift(inference, np.zeros((0, 2)), landmarks_at(grid(), plane_depth(grid())))
    assert lifted.points_in_world.shape == (0, 3) and lifted.confidence.shape == lifted.depths.shape == (0,)


def test_landmarks_behind_the_camera_change_nothing(inference):
    at = grid(32)
    good = landmarks_at(at, plane_depth(at))
    behind = landmarks_at(at[:3] + 1, [-1.0, -5.0, -100.0])
    both = Landmarks.without_stds(*(np.concatenate(pair) for pair in zip(
        (good.ids, good.keypoints, good.points_in_world), (behind.ids, behind.keypoints, behind.points_in_world),
        strict=True,
    )))  # fmt: skip
    alone, with_behind = lift(inference, at, good), lift(inference, at, both)
    np.testing.assert_allclose(with_behind.points_in_world, alone.points_in_world, atol=1e-5)
    np.testing.assert_allclose(with_behind.confidence, alone.confidence, atol=1e-5)


def test_only_landmarks_behind_the_camera_lift_nothing(from_landmarks):
    assert not lift(from_landmarks, grid(64), landmarks_at(grid(64), -np.ones(len(grid(64))))).confidence.any()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_few_landmarks_are_no_error(inference, count):
    at = np.array([[300.0, 200.0], [310.0, 205.0], [305.0, 215.0]])[:count]
    lifted = lift(inference, at, landmarks_at(at, np.full(count, 3.0)))
    assert np.isfinite(lifted.depths).all()


def test_lifting_is_deterministic_and_changes_no_argument(inference):
    landmarks = landmarks_at(grid(32), plane_depth(grid(32)))
    before = landmarks.points_in_world.copy()
    first, second = (lift(inference, grid(40), landmarks) for _ in range(2))
    np.testing.assert_array_equal(first.points_in_world, second.points_in_world)
    np.testing.assert_array_equal(landmarks.points_in_world, before)


def test_interpolation_is_close_on_a_slanted_plane_and_exact_amid_its_neighbours():
    landmarks = landmarks_at(grid(), plane_depth(grid()))
    amid = grid()[:1600].reshape(-1, 2) + 4.0  # four landmarks at one distance
    amid = amid[(amid < [610, 450]).all(1)]
    np.testing.assert_allclose(lift(method("interpolate"), amid, landmarks).depths, plane_depth(amid), rtol=1e-4)
    anywhere = np.random.default_rng(2).uniform(30, [610, 450], (500, 2))
    lifted = lift(method("interpolate"), anywhere, landmarks)
    np.testing.assert_allclose(lifted.depths, plane_depth(anywhere), rtol=0.01)
    assert lifted.confidence.min() > 0.9


def test_interpolation_on_a_wall_straight_ahead_is_exact():
    keypoints = np.random.default_rng(3).uniform(30, [610, 450], (500, 2))
    lifted = lift(method("interpolate"), keypoints, landmarks_at(grid(), np.full(len(grid()), 3.0)))
    np.testing.assert_allclose(lifted.depths, 3.0, rtol=1e-9)
    np.testing.assert_allclose(lifted.confidence, 1.0)


def test_at_a_depth_edge_confidence_falls():
    depths = np.where(grid()[:, 0] < 320, 1.0, 4.0)
    lifted = lift(method("interpolate"), [[320.0, 240.0], [200.0, 240.0], [440.0, 240.0]], landmarks_at(grid(), depths))
    assert lifted.confidence[0] < 0.05 and lifted.confidence[1:].min() > 0.95
    np.testing.assert_allclose(lifted.depths[1:], [1.0, 4.0], rtol=1e-6)


def test_keypoints_far_from_all_landmarks_are_not_interpolated():
    at = np.array([[100.0, 100.0], [108.0, 100.0], [100.0, 108.0], [108.0, 108.0]])
    lifted = lift(
        method("interpolate", max_neighbour_distance_px=20.0), [[104, 104], [130, 104]], landmarks_at(at, np.ones(4))
    )
    np.testing.assert_array_equal(lifted.confidence > 0, [True, False])


def test_landmarks_only_lifts_what_lies_on_a_landmark():
    landmarks = landmarks_at(np.array([[100.0, 100.0]]), [2.5])
    lifted = lift(method("landmarks-only", landmark_radius_px=3.0), [[101, 102], [104, 100], [300, 300]], landmarks)
    np.testing.assert_array_equal(lifted.confidence, [1, 0, 0])
    np.testing.assert_allclose(lifted.depths, [2.5, 0, 0], rtol=1e-6)


def test_a_keypoint_that_is_a_landmark_has_its_depth_and_its_weight(inference):
    """Whatever lies beside it: here each second landmark is ten times as far and said to be as uncertain."""
    at = grid(32)
    landmarks = landmarks_at(at, np.where(np.arange(len(at)) % 2, 1.0, 10.0))
    stds = np.where(np.arange(len(at)) % 2, 0.001, 0.01)
    lifted = lift(inference, at, replace(landmarks, depth_stds=stds))
    np.testing.assert_allclose(lifted.depths, np.where(np.arange(len(at)) % 2, 1.0, 10.0), rtol=1e-6)
    np.testing.assert_array_equal(lifted.depth_stds, stds)
    np.testing.assert_array_equal(lifted.landmark_rows, np.arange(len(at)))
    assert (lifted.confidence == 1).all()
