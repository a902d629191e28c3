"""Reprojection residuals, and how much of them the uncertain depths of points explain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.geometry import transform_points
from deviloc_ros.types import RIGHT, Camera, Correspondences

PIXEL_STD = 1.75  # px, of where a keypoint is matched; both matchers, measured (docs/benchmarks.md)
STD_PER_MEDIAN = 1.4826  # of a normal distribution, its median that of the error without sign


@dataclass(frozen=True, slots=True, eq=False)
class Linearized:
    """Residuals at a pose, discounted, for (translation, rotation) of cam_from_world, rotated on the left.

    rows: (N,) of the correspondences. residuals: (N, 2) px. errors_px: (N,) their lengths. jacobian: (N, 2, 6).
    """

    rows: NDArray
    residuals: NDArray
    errors_px: NDArray
    jacobian: NDArray


def linearized(
    correspondences: Correspondences,
    camera: Camera,
    cam_from_world: pycolmap.Rigid3d,
    max_discount: float,
    max_error_px: float,
) -> Linearized:
    """Those correspondences whose discounted residual is shorter than `max_error_px`.

    A point that was lifted from a reference is uncertain along the reference's ray, which the query sees as an epipolar
    line. Residuals are whitened, as by Vakhitov et al. (Uncertainty-Aware Camera Pose Estimation from Points and Lines,
    CVPR 2021): along the epipolar line they are divided by sqrt(1 + (s / PIXEL_STD)^2), s px the standard deviation of
    the depth as the query sees it, but by `max_discount` at most, or wrong matches would pass that lie near the line.
    Taken as certain, such points pull the pose towards the references, where their errors cannot be seen.

    Lens distortion changes the Jacobian by less than the residuals are known, and is left out of it.
    """
    residuals = residuals_px(correspondences, camera, cam_from_world)
    rows = np.flatnonzero(np.linalg.norm(residuals, axis=1) < max_discount * max_error_px)
    points, residuals = correspondences[rows], residuals[rows]
    in_cam = transform_points(cam_from_world, points.points_in_world)
    jacobian = projection_jacobian(in_cam, cam_from_world, camera.focal_px)
    one_std = (in_cam - transform_points(cam_from_world, points.origins)) * depth_stds(points.confidence)[:, None]
    line = np.einsum("nij,nj->ni", jacobian[:, :, :3], one_std)  # px: how far one standard deviation moves the point
    length = np.linalg.norm(line, axis=1)
    line = line / np.maximum(length, 1e-9)[:, None]  # of unit length, the epipolar line's direction
    explained = 1 - 1 / np.minimum(np.hypot(1, length / PIXEL_STD), max_discount)
    discount = np.eye(2) - (explained[:, None] * line)[:, :, None] * line[:, None]
    residuals = np.einsum("nij,nj->ni", discount, residuals)
    errors_px = np.linalg.norm(residuals, axis=1)
    left = errors_px < max_error_px
    jacobian = np.einsum("nij,njk->nik", discount[left], jacobian[left])
    return Linearized(rows[left], residuals[left], errors_px[left], jacobian)


def depth_stds(confidence: NDArray) -> NDArray:
    """(N,) standard deviation of depths, relative to them, that (N,) confidence amounts to.

    Errors of inferred depths have heavy tails: on rendered views kept from training those of one confidence are nearly
    distributed as Cauchy's, P(error < RIGHT) = 2 / pi atan(RIGHT / m), half of them below m. What counts here is their
    middle, so this is the standard deviation of the normal distribution that also has half of them below m.
    """
    return STD_PER_MEDIAN * RIGHT / np.tan(np.pi / 2 * np.maximum(confidence, 1e-6))


def residuals_px(correspondences: Correspondences, camera: Camera, cam_from_world: pycolmap.Rigid3d) -> NDArray:
    """(N, 2) projected minus measured [px]; infinite for points behind the camera."""
    projected = camera.project(transform_points(cam_from_world, correspondences.points_in_world))
    residuals = projected - correspondences.keypoints
    return np.where(np.isfinite(residuals), residuals, np.inf)


def projection_jacobian(points_in_cam: NDArray, cam_from_world: pycolmap.Rigid3d, focal_px: float) -> NDArray:
    """(N, 2, 6) d(pixel) / d(translation, rotation) of cam_from_world, rotation perturbed on the left."""
    x, y, z = points_in_cam.T
    zero = np.zeros_like(z)
    by_point = focal_px * np.stack([np.stack([1 / z, zero, -x / z**2], -1), np.stack([zero, 1 / z, -y / z**2], -1)], 1)
    rotated = (points_in_cam - cam_from_world.translation)[:, None]
    return np.concatenate([by_point, np.cross(rotated, by_point)], 2)
