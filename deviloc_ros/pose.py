"""Correspondences -> Localized | Lost: LO-RANSAC, refinement, covariance, and the gates. The only caller of PnP."""

from __future__ import annotations

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.config import PoseConfig
from deviloc_ros.geometry import covariance_of_inverse, is_finite, transform_points
from deviloc_ros.types import Camera, Correspondences, Evidence, Localized, Lost, Reason, Result

COVERAGE_GRID = (8, 6)  # columns, rows


def solve_pnp(correspondences: Correspondences, camera: Camera, config: PoseConfig) -> Result:
    """Pose from 2D-3D correspondences, or the reason why it is not to be believed.

    Returns:
        Localized with the covariance of world_from_cam, or Lost(FEW_CORRESPONDENCES | NO_CONSENSUS | FEW_INLIERS |
        LOW_INLIER_RATIO | LOW_COVERAGE | DEGENERATE).
    """
    if len(correspondences) < config.min_inliers:
        detail = f"{len(correspondences)} of at least {config.min_inliers}"
        return Lost(Reason.FEW_CORRESPONDENCES, detail, Evidence(correspondences))
    estimate = pycolmap.estimate_and_refine_absolute_pose(
        correspondences.keypoints, correspondences.points_in_world, camera.colmap, ransac_options(config)
    )
    if estimate is None or not is_finite(estimate["cam_from_world"]):
        return Lost(Reason.NO_CONSENSUS, f"{len(correspondences)} correspondences", Evidence(correspondences))
    cam_from_world = estimate["cam_from_world"]
    errors_px = reprojection_errors_px(correspondences, camera, cam_from_world)
    inliers = errors_px <= config.max_reprojection_error_px
    evidence = Evidence(correspondences, inliers, coverage(correspondences.keypoints[inliers], camera))
    return gate(cam_from_world, evidence, camera, config)


def ransac_options(config: PoseConfig) -> pycolmap.AbsolutePoseEstimationOptions:
    options = pycolmap.AbsolutePoseEstimationOptions()
    options.ransac.max_error = config.max_reprojection_error_px
    options.ransac.confidence = config.confidence
    options.ransac.min_inlier_ratio = 0.01  # bounds the trials; `max_trials` does so more plainly
    options.ransac.max_num_trials = config.max_trials
    options.ransac.random_seed = config.random_seed
    return options


def gate(cam_from_world: pycolmap.Rigid3d, evidence: Evidence, camera: Camera, config: PoseConfig) -> Result:
    """Localized if the evidence carries the pose."""
    if evidence.inliers < config.min_inliers:
        return Lost(Reason.FEW_INLIERS, f"{evidence.inliers} of at least {config.min_inliers}", evidence)
    if evidence.inlier_ratio < config.min_inlier_ratio:
        return Lost(Reason.LOW_INLIER_RATIO, f"{evidence.inlier_ratio:.3f} below {config.min_inlier_ratio}", evidence)
    if evidence.coverage < config.min_coverage:
        return Lost(Reason.LOW_COVERAGE, f"{evidence.coverage:.2f} below {config.min_coverage}", evidence)
    covariance = pose_covariance(evidence.correspondences[evidence.inlier_mask], camera, cam_from_world)
    if covariance is None:
        return Lost(Reason.DEGENERATE, "the inliers leave a direction free", evidence)
    return Localized(cam_from_world, covariance * config.covariance_scale, evidence)


def reprojection_errors_px(correspondences: Correspondences, camera: Camera, cam_from_world: pycolmap.Rigid3d) -> NDArray:
    """(N,) px; infinite for points behind the camera."""
    projected = camera.project(transform_points(cam_from_world, correspondences.points_in_world))
    errors = np.linalg.norm(projected - correspondences.keypoints, axis=1)
    return np.where(np.isfinite(errors), errors, np.inf)


def coverage(keypoints: NDArray, camera: Camera) -> float:
    """Share of the cells of a grid over the image that hold a keypoint."""
    columns, rows = COVERAGE_GRID
    cells = np.floor((keypoints + 0.5) / [camera.width, camera.height] * COVERAGE_GRID).astype(int)
    cells = np.clip(cells, 0, [columns - 1, rows - 1])
    return len(np.unique(cells, axis=0)) / (columns * rows)


def pose_covariance(inliers: Correspondences, camera: Camera, cam_from_world: pycolmap.Rigid3d) -> NDArray | None:
    """(6, 6) covariance of world_from_cam from the inliers' own residuals; None if they do not determine the pose.

    Gauss-Newton's s^2 (J^T J)^-1, with s^2 from the residuals, so that a pose held by noisy points says so. Lens
    distortion changes the Jacobian by less than the residuals are known, and is left out of it.
    """
    in_cam = transform_points(cam_from_world, inliers.points_in_world)
    projected = camera.project(in_cam)
    residuals = (projected - inliers.keypoints).reshape(-1)
    jacobian = projection_jacobian(in_cam, cam_from_world, camera.focal_px)
    information = jacobian.T @ jacobian
    variance = residuals @ residuals / max(len(residuals) - 6, 1)
    scale = np.sqrt(np.diag(information))  # metres and radians differ by orders of magnitude
    if not np.isfinite(residuals).all() or scale.min() <= 0:
        return None
    normalized = information / np.outer(scale, scale)
    if np.linalg.cond(normalized) > 1e10:
        return None
    covariance = variance * np.linalg.inv(normalized) / np.outer(scale, scale)
    return covariance_of_inverse(cam_from_world, covariance)


def projection_jacobian(points_in_cam: NDArray, cam_from_world: pycolmap.Rigid3d, focal_px: float) -> NDArray:
    """(2 N, 6) d(pixel) / d(translation, rotation) of cam_from_world, rotation perturbed on the left."""
    x, y, z = points_in_cam.T
    zero = np.zeros_like(z)
    by_point = focal_px * np.stack([np.stack([1 / z, zero, -x / z**2], -1), np.stack([zero, 1 / z, -y / z**2], -1)], 1)
    rotated = (points_in_cam - cam_from_world.translation)[:, None]
    return np.concatenate([by_point, np.cross(rotated, by_point)], 2).reshape(-1, 6)
