"""Transforms compose by their names; covariances move as a sampled cloud of poses does."""

import numpy as np
import pycolmap
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import random_rigid, rigid_of, rigids, vectors

from deviloc_ros.geometry import (
    covariance_in_world,
    is_finite,
    move_covariance,
    perturb_pose,
    pose_difference,
    rays_to,
    rigid_from_matrix,
    rigid_from_quaternion,
    rotation_distance_deg,
    rotation_vector,
    skew,
    squared_mahalanobis,
    transform_points,
    translation_distance_m,
)


def perturbed(transform, error):
    """The transform with (translation, rotation vector) errors added on the left: t + dt, exp(dr) R."""
    return pycolmap.Rigid3d(pycolmap.Rotation3d(error[3:]) * transform.rotation, transform.translation + error[:3])


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-3, 1.0, 3.1])
def test_rotation_vector_is_the_inverse_of_the_exponential(angle):
    vector = angle * np.array([2.0, -1.0, 2.0]) / 3
    assert np.allclose(rotation_vector(pycolmap.Rotation3d(vector)), vector, atol=1e-12)
    negated = pycolmap.Rotation3d(-pycolmap.Rotation3d(vector).quat)
    assert np.allclose(rotation_vector(negated), vector, atol=1e-9)


def test_pose_difference_is_the_perturbation():
    pose = random_rigid(np.random.default_rng(5))
    error = np.array([0.1, -2.0, 3.0, 0.5, -0.2, 1.0])
    assert np.allclose(pose_difference(perturbed(pose, error), pose), error)


def sampled_covariance(derived, covariance, rng, draws=20000):
    """Covariance of `derived(error)` when `error` varies with `covariance`, by sampling."""
    truth = derived(np.zeros(6))
    errors = rng.multivariate_normal(np.zeros(6), covariance, draws)
    return np.cov(np.array([pose_difference(derived(error), truth) for error in errors]).T)


def random_covariance(rng):
    root = rng.normal(0, 1e-3, (6, 6))
    return root @ root.T


def assert_same_covariance(actual, expected):
    deviations = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(np.sqrt(np.diag(actual)), deviations, rtol=0.04)
    np.testing.assert_allclose(
        actual / np.outer(deviations, deviations), expected / np.outer(deviations, deviations), atol=0.06
    )


@given(rigids)
def test_a_matrix_gives_back_its_transform(transform):
    again = rigid_from_matrix(transform.matrix())
    np.testing.assert_allclose(again.matrix(), transform.matrix(), atol=1e-9)
    np.testing.assert_allclose(
        rigid_from_matrix(np.vstack([transform.matrix(), [0, 0, 0, 1]])).matrix(), again.matrix()
    )


@given(rigids, vectors(3, 100.0))
def test_points_move_there_and_back(b_from_a, point):
    there = transform_points(b_from_a, np.array([point]))
    np.testing.assert_allclose(transform_points(b_from_a.inverse(), there), [point], atol=1e-9)


@given(rigids, rigids)
def test_distances_do_not_depend_on_the_world(a_from_world, b_from_world):
    world_from_map = rigid_of([0.3, -0.2, 1.0], [5, 6, 7])
    a_from_map, b_from_map = a_from_world * world_from_map, b_from_world * world_from_map
    assert translation_distance_m(a_from_map, b_from_map) == pytest.approx(
        translation_distance_m(a_from_world, b_from_world), abs=1e-6
    )
    assert rotation_distance_deg(a_from_map, b_from_map) == pytest.approx(
        rotation_distance_deg(a_from_world, b_from_world), abs=1e-4
    )


def test_distances_are_those_of_the_camera_not_of_its_numbers():
    turned = rigid_of([0, 0, np.pi / 2], [1, 0, 0])  # its centre in the world: (0, 1, 0)
    assert translation_distance_m(turned, rigid_of([0, 0, 0], [0, 0, 0])) == pytest.approx(1.0)
    assert translation_distance_m(turned, rigid_of([0, 0, 0], [0, -1, 0])) == pytest.approx(0.0, abs=1e-9)
    assert rotation_distance_deg(turned, rigid_of([0, 0, 0], [0, 0, 0])) == pytest.approx(90)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.full((3, 4), np.nan), "not finite"),
        (np.diag([1, 1, 1, np.inf]), "not finite"),
        (np.diag([2, 1, 1, 1.0]), "not a rotation"),
        (np.diag([1, 1, -1, 1.0]), "not a rotation"),
        (np.zeros((4, 4)), "not a rotation"),
        (np.eye(4) + np.outer([0, 0, 0, 1], [5, 0, 0, 0]), "column by column"),
    ],
)
def test_what_is_not_a_rigid_transform_is_refused(matrix, message):
    with pytest.raises(ValueError, match=message):
        rigid_from_matrix(matrix)


@given(st.floats(min_value=2e12, allow_infinity=False, allow_nan=False), st.integers(0, 2))
def test_a_position_that_is_no_place_is_refused(far, axis):
    """Its inverse, or its single precision, would be infinite."""
    position = np.zeros(3)
    position[axis] = -far
    with pytest.raises(ValueError, match="m from the origin"):
        rigid_from_matrix(np.column_stack([np.eye(3), position]))
    with pytest.raises(ValueError, match="is not valid"):
        rigid_from_quaternion((0, 0, 0, 1), position)
    assert not is_finite(pycolmap.Rigid3d(pycolmap.Rotation3d(), position))


def test_rounded_rotations_are_made_exact():
    transform = random_rigid(np.random.default_rng(0))
    rotation = rigid_from_matrix(np.round(transform.matrix(), 4)).rotation.matrix()
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)


def test_a_nan_is_seen():
    assert is_finite(rigid_of([0, 0, 1], [1, 2, 3])) and not is_finite(rigid_of([0, 0, 1], [1, np.nan, 3]))


@given(vectors(3, 10.0), vectors(3, 10.0))
def test_skew_is_the_cross_product(v, w):
    np.testing.assert_allclose(skew(np.array(v)) @ w, np.cross(v, w), atol=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_covariance_of_the_camera_in_the_world(seed):
    rng = np.random.default_rng(seed)
    cam_from_world, covariance = random_rigid(rng), random_covariance(rng)
    sampled = sampled_covariance(lambda error: perturb_pose(error, cam_from_world).inverse(), covariance, rng)
    assert_same_covariance(covariance_in_world(cam_from_world, covariance), sampled)


def test_a_frame_moves_about_the_camera():
    cam_from_world, motion = random_rigid(np.random.default_rng(4)), np.array([0.1, -0.2, 0.3, 0.4, 0.1, -0.2])
    point_in_cam = np.array([1.0, 2.0, 3.0])
    there = perturb_pose(motion, cam_from_world) * (cam_from_world.inverse() * point_in_cam)
    np.testing.assert_allclose(there, pycolmap.Rotation3d(motion[3:]) * point_in_cam + motion[:3])


@pytest.mark.parametrize("seed", [2, 3])
def test_covariance_at_the_end_of_a_lever(seed):
    rng = np.random.default_rng(seed)
    world_from_cam, cam_from_base, covariance = random_rigid(rng), random_rigid(rng), random_covariance(rng)
    sampled = sampled_covariance(lambda error: perturbed(world_from_cam, error) * cam_from_base, covariance, rng)
    assert_same_covariance(move_covariance(world_from_cam, covariance, cam_from_base), sampled)


def test_rays_are_of_unit_length_and_distances_above_zero():
    rays, distances_m = rays_to(np.array([[0.0, 0, 3], [1, 1, 1]]), np.array([[0.0, 4, 0], [1, 1, 1]]))
    np.testing.assert_allclose(rays, [[0, -0.8, 0.6], [0, 0, 0]])
    assert distances_m[0] == 5 and 0 < distances_m[1] < 1e-6


@given(st.integers(0, 6), st.floats(1e-6, 1e9))
def test_of_a_covariance_without_an_inverse_the_known_axes_count(known, std):
    covariance = np.diag([std**2] * known + [0.0] * (6 - known))
    error = np.full(6, std)
    assert squared_mahalanobis(error, covariance) == pytest.approx(known)
