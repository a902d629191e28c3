"""Depth of a sensor beside the camera, against a rendered room and closed forms."""

import numpy as np
import pycolmap
import pytest
from worlds import PINHOLE, SMALL, rigid_of

from deviloc_ros.camera import Camera
from deviloc_ros.config import LiftConfig
from deviloc_ros.lifting.base import LiftInput
from deviloc_ros.lifting.interpolation import Interpolation
from deviloc_ros.lifting.sensor_depth import (
    EDGE,
    LEAST_PAIRS,
    NOISE_PER_M,
    DepthCorrection,
    DepthPoints,
    SensorDepth,
    confidence_from_noise,
    find_surfaces,
    fit_correction,
    move_into_color,
    sense_depths,
)
from deviloc_ros.synthetic.render import render_depth

TOGETHER = pycolmap.Rigid3d()
SENSOR = Camera("PINHOLE", 320, 288, (250.0, 250.0, 155.0, 140.0))
BESIDE = rigid_of([0.01, -0.03, 0.02], [-0.06, 0.01, 0.005])  # color_from_depth


@pytest.fixture(scope="module")
def keypoints():
    return np.random.default_rng(0).uniform(5, [314, 234], (3000, 2))


def relative_errors(room, view, seen: DepthPoints, keypoints) -> np.ndarray:
    """Of what the sensor saw at these keypoints, against the room itself, but for pixels beside its edges."""
    sensed, _ = sense_depths(seen, SMALL.rays(keypoints)[:, :2])
    at = keypoints.round().astype(int)
    depth_m = room.depth(view.cam_from_world)
    error = (sensed / depth_m[at[:, 1], at[:, 0]] - 1)[find_surfaces(depth_m)[at[:, 1], at[:, 0]]]
    return error[np.isfinite(error)]


def test_registered_depth_is_what_the_camera_sees(room, keypoints):
    view = room.images[0]
    error = relative_errors(room, view, move_into_color(room.depth(view.cam_from_world), SMALL, TOGETHER), keypoints)
    assert len(error) > 0.7 * len(keypoints) and np.median(np.abs(error)) < 2e-3 and np.abs(error).max() < 2 * EDGE


def test_depth_of_another_camera_is_moved_into_the_colour_camera(room, keypoints):
    for view in room.images[::3]:
        depth_m = render_depth(room.scene, SENSOR, BESIDE.inverse() * view.cam_from_world)
        error = relative_errors(room, view, move_into_color(depth_m, SENSOR, BESIDE), keypoints)
        assert len(error) > 0.6 * len(keypoints) and np.median(np.abs(error)) < 2e-3
        assert (np.abs(error) > 2 * EDGE).mean() < 0.005  # nothing shines through
        unmoved = relative_errors(room, view, move_into_color(depth_m, SMALL, TOGETHER), keypoints)
        assert np.median(np.abs(unmoved)) > 5 * np.median(np.abs(error))


def test_what_is_hidden_from_the_colour_camera_is_dropped():
    """A post 1 m away before a wall at 3 m, from 20 cm to the left: the sensor sees wall that the post hides."""
    depth_m = np.full((480, 640), 3.0)
    depth_m[:, 300:340] = 1.0
    seen = move_into_color(depth_m, PINHOLE, rigid_of([0, 0, 0], [0.2, 0, 0]))
    behind_the_post = PINHOLE.rays([[x, 240.0] for x in range(412, 438)])[:, :2]  # it moves by 105 px, the wall by 35
    sensed, _ = sense_depths(seen, behind_the_post)
    np.testing.assert_allclose(sensed, 1.0, rtol=1e-6)


def test_edges_and_holes_are_not_seen():
    depth_m = np.full((480, 640), 2.0)
    depth_m[:, 320:] = 2.5
    depth_m[200:210, 100:110] = 0
    sensed, _ = sense_depths(
        move_into_color(depth_m, PINHOLE, TOGETHER),
        PINHOLE.rays([[320.0, 100], [105, 205], [101, 201], [60, 240], [500, 240]])[:, :2],
    )
    np.testing.assert_allclose(sensed, [np.nan, np.nan, np.nan, 2.0, 2.5], rtol=1e-6)


def test_what_lies_beside_or_behind_the_colour_camera_is_not_seen():
    ahead = move_into_color(np.full((480, 640), 2.0), PINHOLE, rigid_of([0, 0, 0], [0, 0, -1.0]))
    np.testing.assert_allclose(ahead.depths, 1.0)
    for back_m in (2.0, 2.0 - 1e-9, 3.0):
        assert not len(move_into_color(np.full((480, 640), 2.0), PINHOLE, rigid_of([0, 0, 0], [0, 0, -back_m])).depths)


@pytest.mark.parametrize("depth_m", [np.zeros((480, 640)), np.pad([[2.0]], 20)])
def test_a_sensor_that_saw_nothing_says_nothing(depth_m):
    sensed, scatter = sense_depths(move_into_color(depth_m, PINHOLE, TOGETHER), np.zeros((4, 2)))
    assert np.isnan(sensed).all() and not confidence_from_noise(sensed, scatter, 0.01).any()
    assert not len(sense_depths(move_into_color(depth_m, PINHOLE, TOGETHER), np.zeros((0, 2)))[0])


def test_the_confidence_is_the_share_of_right_depths():
    rng = np.random.default_rng(1)
    for depth in (1.0, 5.0, 12.0):
        measured = (
            depth + depth**2 * NOISE_PER_M * rng.standard_normal(20000) + 0.01 * depth * rng.standard_normal(20000)
        )
        share = (np.abs(measured / depth - 1) < 0.02).mean()
        assert confidence_from_noise(np.array([depth]), np.zeros(1), 0.01)[0] == pytest.approx(share, abs=0.01)


def test_a_sensor_is_corrected_by_landmarks_of_which_some_are_wrong():
    rng = np.random.default_rng(2)
    rays, true = rng.uniform(-0.5, 0.5, (1000, 2)), rng.uniform(1, 4, 1000)
    off = DepthCorrection(1.03, (0.02, -0.01), 0.012)
    sensed = (off.scale + rays @ np.array(off.tilt)) / (1 / true - off.offset)
    true_or_wrong = true * np.where(rng.random(1000) < 0.2, rng.uniform(0.5, 1.5, 1000), rng.normal(1, 0.004, 1000))
    found = fit_correction(rays, sensed, true_or_wrong)
    np.testing.assert_allclose(found.apply(rays, sensed), true, rtol=5e-3)
    assert 0.003 < found.std < 0.01 and "1000 landmarks" in str(found)


def test_few_landmarks_correct_nothing():
    count = LEAST_PAIRS - 1
    correction = fit_correction(np.zeros((count, 2)), np.ones(count), np.full(count, 1.1))
    assert correction == DepthCorrection(pairs=count) and "not corrected" in str(correction)
    np.testing.assert_array_equal(correction.apply(np.zeros((1, 2)), np.array([2.0])), [2.0])


def test_what_is_left_of_the_bias_is_taken_from_the_landmarks_around():
    """The left half of the image is measured 2 % too far, the right half 2 % too near; a few landmarks are wrong."""
    rng = np.random.default_rng(3)
    pixels = np.stack(np.meshgrid(np.arange(640.0), np.arange(480.0)), -1)
    depth_m = np.where(pixels[..., 0] < 320, 3.06, 2.94)
    sensor = SensorDepth(Interpolation(LiftConfig()), move_into_color(depth_m, PINHOLE, TOGETHER), DepthCorrection())
    landmark_rays = PINHOLE.rays(rng.uniform(20, [620, 460], (400, 2)))
    landmarks = landmark_rays * np.where(rng.random(400) < 0.1, 5.0, 3.0)[:, None]
    rays = PINHOLE.rays(
        np.concatenate([rng.uniform(20, [250, 460], (50, 2)), rng.uniform([390, 20], [620, 460], (50, 2))])
    )
    nothing = np.zeros((0, 0))
    depths, confidence = sensor.infer(
        LiftInput(landmarks, landmark_rays, nothing, nothing, rays, nothing, PINHOLE.focal_px)
    )
    np.testing.assert_allclose(depths[confidence > 0.5], 3.0, rtol=0.006)
    alone, _ = sensor.infer(
        LiftInput(nothing.reshape(0, 3), nothing.reshape(0, 3), nothing, nothing, rays, nothing, 1.0)
    )
    np.testing.assert_allclose(alone, [3.06] * 50 + [2.94] * 50, rtol=1e-6)


def test_landmarks_on_one_wall_do_not_bend_what_lies_nearer():
    rng = np.random.default_rng(4)
    rays, true = rng.uniform(-0.5, 0.5, (500, 2)), np.full(500, 3.0)
    found = fit_correction(rays, 1.02 * true, true * rng.normal(1, 0.005, 500))
    np.testing.assert_allclose(found.apply(rays, 1.02 * true), true, rtol=5e-3)
    np.testing.assert_allclose(found.apply(np.zeros((1, 2)), np.array([1.0])), 1.0, rtol=0.03)
