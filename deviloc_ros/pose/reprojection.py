"""Compute reprojection residuals, and how much of them the uncertain depths of points explain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import transform_points
from deviloc_ros.types import USUAL_STD_PX, Correspondences

RELATIVE_STEP = 1e-6  # of the depth, for derivatives: errors of 1e-6 px per px


@dataclass(frozen=True, slots=True, eq=False)
class Linearized:
    """Hold whitened residuals at a pose and their derivatives by the motion of `geometry.perturb_pose`.

    rows: (N,) indices of the correspondences. residuals: (N, 2) px, scaled as if every match had the standard deviation
    USUAL_STD_PX. errors_px: (N,) their lengths. jacobian: (N, 2, 6), or (N, 2, 10) with the four changes of
    `Camera.change_intrinsics` last. In memory N is the last axis of every array, which is fastest in NumPy.
    """

    rows: NDArray
    residuals: NDArray
    errors_px: NDArray
    jacobian: NDArray


def linearize(
    correspondences: Correspondences,
    camera: Camera,
    cam_from_world: pycolmap.Rigid3d,
    max_discount: float,
    max_error_px: float,
    *,
    intrinsics: bool = False,
) -> Linearized:
    """Return the correspondences whose whitened residual is shorter than `max_error_px`, linearized at a pose.

    A match has a standard deviation p [px] in any direction. A point that was lifted from a reference is also uncertain
    along the reference's ray, which the query sees as an epipolar line, by s px. Residuals are whitened as in Vakhitov
    et al. (Uncertainty-Aware Camera Pose Estimation from Points and Lines, CVPR 2021). Points lifted from one landmark
    have a common error along their lines: n of them tell no more than one, so each is given the variance p^2 + n s^2
    along the line, which is right for their sum. Along the line a residual counts less than across it by at most
    `max_discount`, or wrong matches near the line would pass. If such points were taken as certain they would pull the
    pose towards the references, from where their errors cannot be seen.
    """
    residuals = residuals_px(correspondences, camera, cam_from_world)
    bounds_px = max_discount * max_error_px * correspondences.stds_px / USUAL_STD_PX
    rows = np.flatnonzero(np.hypot(*residuals.T) < bounds_px)
    residuals, stds_px = np.ascontiguousarray(residuals[rows].T), correspondences.stds_px[rows]
    points_in_world = correspondences.points_in_world[rows]
    in_cam, pixels = transform_points(cam_from_world, points_in_world), correspondences.keypoints[rows] + residuals.T
    jacobian = projection_jacobian(in_cam, pixels, camera)
    if intrinsics:
        jacobian = np.concatenate([jacobian, camera.intrinsics_jacobian(in_cam, pixels).transpose(2, 1, 0)])

    # [px] the image motion of a point when its depth changes by one standard deviation: direction and length
    depth_std_in_world = (points_in_world - correspondences.origins[rows]) * correspondences.depth_stds[rows, None]
    line = np.einsum("kpn,kn->pn", jacobian[:3], cam_from_world.rotation.matrix() @ depth_std_in_world.T)
    length = np.hypot(*line)
    line /= np.maximum(length, 1e-9)
    together = length * np.sqrt(count_sharing(correspondences.landmark_ids[rows]))
    explained = 1 - 1 / np.minimum(np.hypot(1, together / stds_px), max_discount)

    residuals = shorten_along(line, explained, residuals) * (USUAL_STD_PX / stds_px)
    errors_px = np.hypot(*residuals)
    left = np.flatnonzero(errors_px < max_error_px)
    jacobian = shorten_along(line[:, left], explained[left], jacobian.take(left, 2)) * (USUAL_STD_PX / stds_px[left])
    return Linearized(rows[left], residuals[:, left].T, errors_px[left], jacobian.transpose(2, 1, 0))


def shorten_along(line: NDArray, share: NDArray, vectors: NDArray) -> NDArray:
    """Return (..., 2, N) vectors with their components along (2, N) unit vectors reduced by (N,) shares."""
    along = share * (vectors[..., 0, :] * line[0] + vectors[..., 1, :] * line[1])
    return vectors - along[..., None, :] * line


def count_sharing(landmark_ids: NDArray) -> NDArray:
    """Return (N,) how many points have the same landmark; 1 where it is unknown."""
    _, landmark, counts = np.unique(landmark_ids, return_inverse=True, return_counts=True)
    return np.where(landmark_ids < 0, 1, counts[landmark.reshape(-1)])


def residuals_px(correspondences: Correspondences, camera: Camera, cam_from_world: pycolmap.Rigid3d) -> NDArray:
    """Return (N, 2) projected minus measured pixels; infinite for points that the camera cannot see from there."""
    in_cam = transform_points(cam_from_world, correspondences.points_in_world)
    residuals = camera.project(in_cam) - correspondences.keypoints
    residuals[~np.isfinite(residuals).all(1) | camera.is_beyond_view(in_cam)] = np.inf
    return residuals


def projection_jacobian(points_in_cam: NDArray, pixels: NDArray, camera: Camera) -> NDArray:
    """Return the (6, 2, N) derivatives d(pixel) / d(motion of `geometry.perturb_pose`) for any lens, by differences.

    A point that moves along its own ray does not move in the image, which gives the derivative by z.

    Args:
        pixels: (N, 2) where the points project.
    """
    x, y, z = np.ascontiguousarray(points_in_cam.T)
    step_m = RELATIVE_STEP * z
    moved = np.concatenate([points_in_cam, points_in_cam])
    moved[: len(z), 0] += step_m
    moved[len(z) :, 1] += step_m
    by_x, by_y = ((camera.project(moved).reshape(2, -1, 2) - pixels).transpose(0, 2, 1)) / step_m
    by_z = -(x * by_x + y * by_y) / z
    # the last three, by rotation, are the point's cross product with each row
    return np.stack([by_x, by_y, by_z, y * by_z - z * by_y, z * by_x - x * by_z, x * by_y - y * by_x])
