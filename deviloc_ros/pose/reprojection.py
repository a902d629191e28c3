"""Compute reprojection residuals, and how much of them the uncertain depths of points explain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import transform_points
from deviloc_ros.types import USUAL_STD_PX, Correspondences

RELATIVE_STEP = 1e-5  # of the distance, for derivatives: errors of 1e-9 px per px


@dataclass(frozen=True, slots=True, eq=False)
class Linearized:
    """Hold whitened residuals at a pose and their derivatives by the motion of `geometry.move_frame`.

    rows: (N,) of the correspondences. residuals: (N, 2) px, as long as they would be were all matches placed as well as
    usual, USUAL_STD_PX. errors_px: (N,) their lengths. jacobian: (N, 2, 6), or (N, 2, 10) where the last four are the
    changes of `Camera.change_intrinsics`.
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

    A match has a standard deviation p [px] in any direction. A point that was lifted from a reference is uncertain
    along the reference's ray, too, which the query sees as an epipolar line, by s px. Residuals are whitened, as by
    Vakhitov et al. (Uncertainty-Aware Camera Pose Estimation from Points and Lines, CVPR 2021). Points that rest on one
    landmark err together along their lines: n of them say no more than one does, so each counts as if its variance were
    p^2 + n s^2 there, which is what their sum has. Along the line a residual counts less than across it by
    `max_discount` at most, or wrong matches would pass that lie near the line. Taken as certain, such points pull the
    pose towards the references, where their errors cannot be seen.
    """
    residuals = residuals_px(correspondences, camera, cam_from_world)
    bounds_px = max_discount * max_error_px * correspondences.stds_px / USUAL_STD_PX
    rows = np.flatnonzero(np.linalg.norm(residuals, axis=1) < bounds_px)
    points, residuals = correspondences[rows], residuals[rows]
    in_cam = transform_points(cam_from_world, points.points_in_world)
    jacobian = projection_jacobian(in_cam, camera)
    if intrinsics:
        by_intrinsics = camera.intrinsics_jacobian(in_cam, points.keypoints + residuals)
        jacobian = np.concatenate([jacobian, by_intrinsics], 2)
    one_std = (in_cam - transform_points(cam_from_world, points.origins)) * points.depth_stds[:, None]
    line = (jacobian[:, :, :3] @ one_std[:, :, None])[:, :, 0]  # px: how far one standard deviation moves the point
    length = np.linalg.norm(line, axis=1)
    line = line / np.maximum(length, 1e-9)[:, None]  # of unit length, the epipolar line's direction
    together = length * np.sqrt(count_sharing(points.landmark_ids))
    explained = 1 - 1 / np.minimum(np.hypot(1, together / points.stds_px), max_discount)
    whitening = np.eye(2) - (explained[:, None] * line)[:, :, None] * line[:, None]
    whitening *= (USUAL_STD_PX / points.stds_px)[:, None, None]
    residuals = (whitening @ residuals[:, :, None])[:, :, 0]
    errors_px = np.linalg.norm(residuals, axis=1)
    left = errors_px < max_error_px
    jacobian = whitening[left] @ jacobian[left]
    return Linearized(rows[left], residuals[left], errors_px[left], jacobian)


def count_sharing(landmark_ids: NDArray) -> NDArray:
    """Return (N,) how many of them rest on the same landmark; 1 where none is known."""
    _, landmark, counts = np.unique(landmark_ids, return_inverse=True, return_counts=True)
    return np.where(landmark_ids < 0, 1, counts[landmark.reshape(-1)])


def residuals_px(correspondences: Correspondences, camera: Camera, cam_from_world: pycolmap.Rigid3d) -> NDArray:
    """Return (N, 2) projected minus measured pixels; infinite for points behind the camera."""
    projected = camera.project(transform_points(cam_from_world, correspondences.points_in_world))
    residuals = projected - correspondences.keypoints
    return np.where(np.isfinite(residuals), residuals, np.inf)


def projection_jacobian(points_in_cam: NDArray, camera: Camera) -> NDArray:
    """Return (N, 2, 6) d(pixel) / d(motion of `geometry.move_frame`), of whatever lens, by central differences.

    Along its own ray a point does not move in the image, which gives the derivative by z.
    """
    step_m = RELATIVE_STEP * np.linalg.norm(points_in_cam, axis=1)[:, None]
    steps = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])[:, None] * step_m
    right, left, down, up = camera.project((points_in_cam + steps).reshape(-1, 3)).reshape(4, -1, 2)
    by_x, by_y = (right - left) / (2 * step_m), (down - up) / (2 * step_m)
    x, y, z = points_in_cam.T[..., None]
    by_z = -(x * by_x + y * by_y) / z
    jacobian = np.empty((len(points_in_cam), 2, 6))
    for column, values in enumerate(
        (by_x, by_y, by_z, y * by_z - z * by_y, z * by_x - x * by_z, x * by_y - y * by_x)
    ):  # the last three: the point's cross product with each row
        jacobian[:, :, column] = values
    return jacobian
