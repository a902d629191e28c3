"""Rotation helpers against scipy."""

import numpy as np
import pytest
import tf_transformations as tf
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

angles = st.floats(-3.0, 3.0)
# Away from +-90 degrees of pitch, where two of the angles are one.
euler_angles = st.tuples(angles, st.floats(-1.4, 1.4), angles)
rotations = st.tuples(angles, angles, angles).map(Rotation.from_rotvec)


def same_rotation(quaternion, expected):
    return (Rotation.from_quat(quaternion) * expected.inv()).magnitude() < 1e-7


@given(euler_angles)
def test_euler_angles_are_about_static_axes(rpy):
    expected = Rotation.from_euler("xyz", rpy)
    quaternion = tf.quaternion_from_euler(*rpy)
    assert same_rotation(quaternion, expected)
    np.testing.assert_allclose(tf.euler_matrix(*rpy)[:3, :3], expected.as_matrix(), atol=1e-12)
    np.testing.assert_allclose(tf.euler_from_quaternion(quaternion), rpy, atol=1e-7)
    np.testing.assert_allclose(tf.euler_from_matrix(tf.euler_matrix(*rpy)), rpy, atol=1e-7)


def test_other_axes_are_understood():
    expected = Rotation.from_euler("ZYX", [0.1, 0.2, 0.3])
    assert same_rotation(tf.quaternion_from_euler(0.1, 0.2, 0.3, "rzyx"), expected)


@given(rotations)
def test_matrix_and_back(rotation):
    matrix = tf.quaternion_matrix(rotation.as_quat())
    assert matrix.shape == (4, 4)
    np.testing.assert_allclose(matrix[:3, :3], rotation.as_matrix(), atol=1e-12)
    assert same_rotation(tf.quaternion_from_matrix(matrix), rotation)


@given(rotations, rotations)
def test_product_and_inverse(first, second):
    assert same_rotation(tf.quaternion_multiply(second.as_quat(), first.as_quat()), second * first)
    assert same_rotation(tf.quaternion_inverse(first.as_quat()), first.inv())
    assert same_rotation(tf.quaternion_conjugate(first.as_quat()), first.inv())


@given(rotations, st.floats(0, 1))
def test_slerp(end, fraction):
    expected = Slerp([0, 1], Rotation.concatenate([Rotation.identity(), end]))(fraction)
    # Near a half turn there are two shortest ways.
    if end.magnitude() < 3.1:
        assert same_rotation(tf.quaternion_slerp([0, 0, 0, 1], end.as_quat(), fraction), expected)


@given(angles)
def test_angle_about_an_axis_of_any_length(angle):
    expected = Rotation.from_rotvec(angle * np.array([0, 0.6, 0.8]))
    assert same_rotation(tf.quaternion_about_axis(angle, [0, 3, 4]), expected)
    turned = tf.rotation_matrix(angle, [0, 3, 4], point=[1, 2, 3])
    np.testing.assert_allclose(turned @ [1, 2, 3, 1], [1, 2, 3, 1], atol=1e-12)


def test_a_rotation_matrix_gives_back_its_angle_and_axis():
    angle, axis, point = tf.rotation_from_matrix(tf.rotation_matrix(0.5, [0, 0, 1], point=[1, 2, 0]))
    np.testing.assert_allclose(angle * axis, [0, 0, 0.5], atol=1e-9)
    np.testing.assert_allclose(point, [1, 2, 0, 1], atol=1e-9)


@given(rotations, st.tuples(angles, angles, angles))
def test_rigid_matrices_chain_and_invert(rotation, translation):
    matrix = tf.concatenate_matrices(tf.translation_matrix(translation), tf.quaternion_matrix(rotation.as_quat()))
    np.testing.assert_allclose(tf.translation_from_matrix(matrix), translation)
    np.testing.assert_allclose(matrix[:3, :3], rotation.as_matrix(), atol=1e-12)
    np.testing.assert_allclose(tf.concatenate_matrices(matrix, tf.inverse_matrix(matrix)), np.eye(4), atol=1e-9)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_any_number_of_matrices_can_be_chained(count):
    step = tf.translation_matrix([1, 0, 0])
    assert tf.concatenate_matrices(*[step] * count)[0, 3] == count
    np.testing.assert_array_equal(tf.concatenate_matrices(), tf.identity_matrix())
