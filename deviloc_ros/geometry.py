"""Provide the 3D formulas that all rooms share. Transforms are `target_from_source`; rotations perturb on the left."""

from __future__ import annotations

import math

import numpy as np
import pycolmap
from numpy.typing import ArrayLike, NDArray

from deviloc_ros.io.arguments import check_argument

STD_PER_MEDIAN = 1.4826  # standard deviation of a normal distribution per median absolute error
FARTHEST_M = 1e12  # beyond any position in any unit, yet squares do not overflow, nor does single precision
UNIT_TOLERANCE = 0.02  # on the length of a quaternion, which may be written with two decimals
ROUNDING = 1e-12  # on the length of a quaternion that was computed


def normalize_rigid(name: str, value: pycolmap.Rigid3d) -> pycolmap.Rigid3d:
    """Check a rigid transform and return it with a quaternion of exactly unit length; pycolmap accepts any length.

    Raises:
        TypeError: it is not a Rigid3d; the message names the argument.
        ValueError: a number is not finite, or the quaternion is not of about unit length.
    """
    check_argument(name, value, pycolmap.Rigid3d, "rigid_from_matrix makes one of a (4, 4) matrix")
    quaternion, xyz = value.rotation.quat, value.translation
    length = math.hypot(*quaternion)
    if not np.isfinite(xyz).all() or not abs(length - 1) < UNIT_TOLERANCE:
        raise ValueError(
            f"{name} with position {xyz.tolist()} and quaternion (xyzw) {quaternion.tolist()} is not a pose"
        )
    if abs(length - 1) < ROUNDING:
        return value
    return pycolmap.Rigid3d(pycolmap.Rotation3d(quaternion / length), xyz)


def rigid_from_matrix(matrix: NDArray) -> pycolmap.Rigid3d:
    """Build a rigid transform from a (3, 4) or (4, 4) matrix.

    Raises:
        ValueError: a value is not finite, the 3 x 3 part is not a rotation or the last row not 0 0 0 1 (to 1e-3), or
            the translation is impossibly large.
    """
    matrix = np.asarray(matrix, float)
    rotation = matrix[:3, :3]
    if not np.all(np.isfinite(matrix)):
        raise ValueError("transform has values that are not finite")
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3 or np.linalg.det(rotation) < 0:
        raise ValueError("transform's 3 x 3 part is not a rotation")
    if len(matrix) == 4 and np.abs(matrix[3] - [0, 0, 0, 1]).max() > 1e-3:
        raise ValueError(f"transform's last row is {matrix[3].tolist()}, not 0 0 0 1: is it written column by column?")
    if np.abs(matrix[:3, 3]).max() > FARTHEST_M:
        raise ValueError(f"transform's position {matrix[:3, 3].tolist()} is more than {FARTHEST_M:g} m from the origin")
    return pycolmap.Rigid3d(pycolmap.Rotation3d(nearest_rotation(rotation)), matrix[:3, 3])


def rigid_from_quaternion(xyzw: ArrayLike, translation: ArrayLike) -> pycolmap.Rigid3d:
    """Build a rigid transform from a quaternion xyzw, made exactly of unit length, and a translation.

    Raises:
        ValueError: not four and three numbers, a number is not finite or impossibly large, or the quaternion is not
            approximately of unit length.
    """
    xyz, quaternion = np.asarray(translation, float), np.asarray(xyzw, float)
    if xyz.shape != (3,) or quaternion.shape != (4,):
        raise ValueError(f"a pose is 3 numbers and a quaternion of 4, not {xyz.size} and {quaternion.size}")
    length = math.hypot(*quaternion)
    if not (np.abs(xyz) <= FARTHEST_M).all() or not abs(length - 1) < UNIT_TOLERANCE:
        raise ValueError(f"pose with position {xyz.tolist()} and quaternion (xyzw) {quaternion.tolist()} is not valid")
    return pycolmap.Rigid3d(pycolmap.Rotation3d(quaternion / length), xyz)


def nearest_rotation(matrix: NDArray) -> NDArray:
    """Return the rotation nearest to a (3, 3) matrix in Frobenius norm."""
    u, _, vt = np.linalg.svd(matrix)
    return u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt


def transform_points(target_from_source: pycolmap.Rigid3d, points_in_source: NDArray) -> NDArray:
    """Move (N, 3) points from source to target."""
    return points_in_source @ target_from_source.rotation.matrix().T + target_from_source.translation


def rays_to(points: NDArray, origins: NDArray) -> tuple[NDArray, NDArray]:
    """Return (N, 3) unit vectors to points [m], and (N,) distances [m], above 0.

    Args:
        origins: (3,) one for all points, or (N, 3) one for each.
    """
    rays = points - origins
    distances_m = np.maximum(np.linalg.norm(rays, axis=1), 1e-9)
    return rays / distances_m[:, None], distances_m


def is_finite(transform: pycolmap.Rigid3d) -> bool:
    """Return whether every number of the transform is finite and its translation is not impossibly large."""
    return bool(np.isfinite(transform.matrix()).all() and np.abs(transform.translation).max() <= FARTHEST_M)


def skew(v: NDArray) -> NDArray:
    """Return the matrix of the cross product with v: its product with w is v x w."""
    x, y, z = v
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])


def translation_distance_m(a_from_world: pycolmap.Rigid3d, b_from_world: pycolmap.Rigid3d) -> float:
    """Return the distance between the origins of two frames [m]."""
    return float(np.linalg.norm(a_from_world.tgt_origin_in_src() - b_from_world.tgt_origin_in_src()))


def rotation_distance_deg(a_from_world: pycolmap.Rigid3d, b_from_world: pycolmap.Rigid3d) -> float:
    """Return the angle of the rotation between two frames [deg]."""
    return float(np.rad2deg((a_from_world.rotation * b_from_world.rotation.inverse()).angle()))


def rotation_vector(rotation: pycolmap.Rotation3d) -> NDArray:
    """Return the rotation vector, (3,) axis times angle [rad], with the angle in [0, pi]."""
    quaternion = rotation.quat if rotation.quat[3] >= 0 else -rotation.quat  # xyzw
    sine = float(np.linalg.norm(quaternion[:3]))
    if sine < 1e-12:
        return 2.0 * quaternion[:3]
    return 2.0 * math.atan2(sine, quaternion[3]) / sine * quaternion[:3]


def pose_difference(world_from_a: pycolmap.Rigid3d, world_from_b: pycolmap.Rigid3d) -> NDArray:
    """Return the (6,) error of a relative to b: translation [m], then rotation vector [rad], both in world axes."""
    turned = rotation_vector(world_from_a.rotation * world_from_b.rotation.inverse())
    return np.concatenate([world_from_a.translation - world_from_b.translation, turned])


def largest_std(covariance: NDArray) -> float:
    """Return the standard deviation along the worst axis of a covariance."""
    return math.sqrt(max(float(np.linalg.eigvalsh(covariance)[-1]), 0.0))


def isotropic_covariance(std_m: float, std_rad: float) -> NDArray:
    """Build a (6, 6) covariance with these standard deviations on every axis."""
    return np.diag([std_m**2] * 3 + [std_rad**2] * 3)


def perturb_pose(motion: NDArray, cam_from_world: pycolmap.Rigid3d) -> pycolmap.Rigid3d:
    """Perturb cam_from_world on the left by (6,) translation [m] and rotation vector [rad], both in camera axes."""
    return pycolmap.Rigid3d(pycolmap.Rotation3d(motion[3:]), motion[:3]) * cam_from_world


def covariance_in_world(cam_from_world: pycolmap.Rigid3d, covariance: NDArray) -> NDArray:
    """Return the covariance of world_from_cam (translation, rotation; world axes) from that of a `perturb_pose` motion.

    To first order the camera moves by the opposite of the motion, so that only the axes change: R exp(-[d]x) =
    exp(-[R d]x) R.
    """
    axes = np.kron(np.eye(2), cam_from_world.rotation.matrix().T)
    return axes @ covariance @ axes.T


def move_covariance(world_from_cam: pycolmap.Rigid3d, covariance: NDArray, cam_from_base: pycolmap.Rigid3d) -> NDArray:
    """Return the covariance of world_from_base = world_from_cam * cam_from_base.

    The lever arm turns errors of rotation into errors of translation.
    """
    lever = world_from_cam.rotation.matrix() @ cam_from_base.translation
    jacobian = np.eye(6)
    jacobian[:3, 3:] = -skew(lever)
    return jacobian @ covariance @ jacobian.T


def squared_mahalanobis(error: NDArray, covariance: NDArray) -> float:
    """Return the squared Mahalanobis distance e^T C^-1 e of an (N,) error with (N, N) covariance C.

    If C is right it is chi-squared with N degrees of freedom. If C has no inverse in double precision, as after
    odometry that jumped by 1e9 m, only the axes count that are known.
    """
    try:
        return float(error @ np.linalg.solve(covariance, error))
    except np.linalg.LinAlgError:
        return float(error @ np.linalg.pinv(covariance, hermitian=True) @ error)


def robust_std(errors: NDArray) -> float:
    """Return the standard deviation of a normal distribution with the same median absolute error."""
    return STD_PER_MEDIAN * float(np.median(np.abs(errors)))
