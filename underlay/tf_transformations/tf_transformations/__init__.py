"""Rotations and rigid transforms in ROS's conventions, over transforms3d.

Quaternions are xyzw, matrices 4x4; Euler axes are named as in transforms3d ("sxyz": static x, y, z).
"""

from collections.abc import Sequence

import numpy as np
from transforms3d import affines, axangles, euler, quaternions

__all__ = [
    "concatenate_matrices",
    "euler_from_matrix",
    "euler_from_quaternion",
    "euler_matrix",
    "identity_matrix",
    "inverse_matrix",
    "quaternion_about_axis",
    "quaternion_conjugate",
    "quaternion_from_euler",
    "quaternion_from_matrix",
    "quaternion_inverse",
    "quaternion_matrix",
    "quaternion_multiply",
    "quaternion_slerp",
    "rotation_from_matrix",
    "rotation_matrix",
    "translation_from_matrix",
    "translation_matrix",
]


def identity_matrix() -> np.ndarray:
    """(4, 4) identity."""
    return np.eye(4)


def quaternion_from_euler(ai: float, aj: float, ak: float, axes: str = "sxyz") -> np.ndarray:
    """(4,) xyzw of three angles [rad]."""
    return xyzw(euler.euler2quat(ai, aj, ak, axes))


def euler_from_quaternion(quaternion: Sequence[float], axes: str = "sxyz") -> tuple[float, float, float]:
    """Three angles [rad]."""
    return euler.quat2euler(wxyz(quaternion), axes)


def euler_matrix(ai: float, aj: float, ak: float, axes: str = "sxyz") -> np.ndarray:
    """(4, 4) rotation by three angles [rad]."""
    return from_rotation(euler.euler2mat(ai, aj, ak, axes))


def euler_from_matrix(matrix: np.ndarray, axes: str = "sxyz") -> tuple[float, float, float]:
    """Three angles [rad] of a (3, 3) or (4, 4) matrix."""
    return euler.mat2euler(np.asarray(matrix)[:3, :3], axes)


def quaternion_matrix(quaternion: Sequence[float]) -> np.ndarray:
    """(4, 4) rotation."""
    return from_rotation(quaternions.quat2mat(wxyz(quaternion)))


def quaternion_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """(4,) xyzw of a (3, 3) or (4, 4) matrix."""
    return xyzw(quaternions.mat2quat(np.asarray(matrix)[:3, :3]))


def quaternion_multiply(quaternion1: Sequence[float], quaternion0: Sequence[float]) -> np.ndarray:
    """(4,) xyzw of the rotation that does `quaternion0` first, then `quaternion1`."""
    return xyzw(quaternions.qmult(wxyz(quaternion1), wxyz(quaternion0)))


def quaternion_conjugate(quaternion: Sequence[float]) -> np.ndarray:
    return xyzw(quaternions.qconjugate(wxyz(quaternion)))


def quaternion_inverse(quaternion: Sequence[float]) -> np.ndarray:
    return xyzw(quaternions.qinverse(wxyz(quaternion)))


def quaternion_about_axis(angle: float, axis: Sequence[float]) -> np.ndarray:
    """(4,) xyzw of a rotation by `angle` [rad] about an axis of any length."""
    return xyzw(quaternions.axangle2quat(axis, angle))


def quaternion_slerp(
    quat0: Sequence[float], quat1: Sequence[float], fraction: float, spin: int = 0, shortestpath: bool = True
) -> np.ndarray:
    """(4,) xyzw between two rotations, at a steady angular rate; fraction in [0, 1]."""
    start, end = unit(quat0), unit(quat1)
    cosine = float(np.dot(start, end))
    if shortestpath and cosine < 0.0:
        start, cosine = -start, -cosine
    angle = np.arccos(np.clip(cosine, -1.0, 1.0)) + spin * np.pi
    if abs(np.sin(angle)) < 1e-9:
        return unit((1.0 - fraction) * start + fraction * end)
    return (np.sin((1.0 - fraction) * angle) * start + np.sin(fraction * angle) * end) / np.sin(angle)


def rotation_matrix(angle: float, direction: Sequence[float], point: Sequence[float] | None = None) -> np.ndarray:
    """(4, 4) rotation by `angle` [rad] about an axis through `point` (default: the origin)."""
    matrix = quaternion_matrix(quaternion_about_axis(angle, direction))
    if point is not None:
        matrix[:3, 3] = np.asarray(point[:3]) - matrix[:3, :3] @ np.asarray(point[:3])
    return matrix


def rotation_from_matrix(matrix: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Angle [rad], (3,) axis and (4,) homogeneous point of a rotation matrix."""
    axis, angle, point = axangles.aff2axangle(np.asarray(matrix))
    return angle, np.asarray(axis), np.asarray(point)


def translation_matrix(direction: Sequence[float]) -> np.ndarray:
    """(4, 4) translation."""
    return affines.compose(direction[:3], np.eye(3), np.ones(3))


def translation_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """(3,) translation of a (4, 4) matrix."""
    return np.array(matrix)[:3, 3].copy()


def concatenate_matrices(*matrices: np.ndarray) -> np.ndarray:
    """Product of (4, 4) matrices, the last one applied first."""
    return np.linalg.multi_dot([np.eye(4), np.eye(4), *matrices])


def inverse_matrix(matrix: np.ndarray) -> np.ndarray:
    return np.linalg.inv(matrix)


def from_rotation(rotation: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    return matrix


def unit(quaternion: Sequence[float]) -> np.ndarray:
    quaternion = np.asarray(quaternion, dtype=float)
    return quaternion / np.linalg.norm(quaternion)


def wxyz(quaternion: Sequence[float]) -> np.ndarray:
    x, y, z, w = quaternion
    return np.array([w, x, y, z], dtype=float)


def xyzw(quaternion: np.ndarray) -> np.ndarray:
    w, x, y, z = quaternion
    return np.array([x, y, z, w])
