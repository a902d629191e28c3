"""Turn correspondences into Localized or Lost by RANSAC, refinement, covariance and gates. Nothing else calls PnP."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.config import PoseConfig
from deviloc_ros.geometry import (
    is_finite,
)
from deviloc_ros.pose.covariance import grid_coverage
from deviloc_ros.pose.gates import apply_gates
from deviloc_ros.pose.refinement import (
    refine_pose,
)
from deviloc_ros.pose.reprojection import residuals_px
from deviloc_ros.status import Status
from deviloc_ros.types import USUAL_STD_PX, Correspondences, Evidence, Lost, Result

USUAL_SIDE_PX = 640  # of images from which on bounds in pixels stay as they are
LEAST_BOUND_PX = 0.5

# Of a view of another place up to 20 of 512 keypoints agree on a pose by chance, of a double 28 and more.
ROUGH_INLIERS, ROUGH_TRIALS = 20, 500


def solve_pnp(correspondences: Correspondences, camera: Camera, config: PoseConfig) -> Result:
    """Solve the pose from 2D-3D correspondences, or say why it is not to be believed.

    Returns:
        Localized with the covariance of world_from_cam, or Lost(FEW_CORRESPONDENCES | NO_CONSENSUS | FEW_INLIERS |
        LOW_INLIER_RATIO | LOW_COVERAGE | DEGENERATE | UNCERTAIN | UNSTABLE | MISCALIBRATED).
    """
    if len(correspondences) < config.min_inliers:
        detail = f"{len(correspondences)} of at least {config.min_inliers}"
        return Lost(Status.FEW_CORRESPONDENCES, detail, Evidence(correspondences))
    config = with_bounds_of(camera, correspondences, config)
    of_ransac = replace(camera).colmap  # into which it writes the focal length, if it estimates that
    estimate = pycolmap.estimate_absolute_pose(
        correspondences.keypoints, correspondences.points_in_world, of_ransac, ransac_options(config)
    )
    if estimate is None or not is_finite(estimate["cam_from_world"]):
        return Lost(Status.NO_CONSENSUS, f"{len(correspondences)} correspondences", Evidence(correspondences))
    start = replace(camera, params=tuple(of_ransac.params))
    cam_from_world, fitted = refine_pose(correspondences, start, estimate["cam_from_world"], config)
    inliers = find_inliers(correspondences, fitted, cam_from_world, config)
    covered = grid_coverage(correspondences.keypoints[inliers], camera)
    evidence = Evidence(correspondences, inliers, covered, cam_from_world=cam_from_world)
    return apply_gates(cam_from_world, evidence, camera, fitted, config)


def find_inliers(
    correspondences: Correspondences, camera: Camera, cam_from_world: pycolmap.Rigid3d, config: PoseConfig
) -> NDArray:
    """Return (N,) bool: which correspondences a pose explains, whose bounds in pixels are those of this image."""
    bounds_px = config.max_residual_px * correspondences.stds_px / USUAL_STD_PX
    return np.linalg.norm(residuals_px(correspondences, camera, cam_from_world), axis=1) < bounds_px


def solve_roughly(
    keypoints: NDArray, points_in_world: NDArray, camera: Camera, config: PoseConfig
) -> tuple[pycolmap.Rigid3d, int] | None:
    """Return a pose that some of (N, 2) keypoints and (N, 3) points agree on, and how many do; None if too few.

    Few trials find it only where a good part is right: enough to see whether a closer look is worth its time.
    """
    if len(keypoints) < ROUGH_INLIERS:
        return None
    options = ransac_options(replace(config, estimate_focal=False, max_trials=ROUGH_TRIALS))
    estimate = pycolmap.estimate_absolute_pose(keypoints, points_in_world, replace(camera).colmap, options)
    if estimate is None or estimate["num_inliers"] < ROUGH_INLIERS or not is_finite(estimate["cam_from_world"]):
        return None
    return estimate["cam_from_world"], int(estimate["num_inliers"])


def with_bounds_of(camera: Camera, correspondences: Correspondences, config: PoseConfig) -> PoseConfig:
    """Return `config` with its bounds in pixels as this image's size and its matches ask for.

    Half the pixels see half as much: a bound that a large image needs lets a small one pass what is wrong. And matches
    that are more exact than usual need less room.
    """
    size = min(1.0, max(camera.width, camera.height) / USUAL_SIDE_PX)
    exactness = float(np.median(correspondences.stds_px)) / USUAL_STD_PX
    ransac_px, residual_px = config.max_reprojection_error_px * size * exactness, config.max_residual_px * size
    return replace(
        config,
        max_reprojection_error_px=max(ransac_px, LEAST_BOUND_PX),
        max_residual_px=max(residual_px, LEAST_BOUND_PX),
    )


def ransac_options(config: PoseConfig) -> pycolmap.AbsolutePoseEstimationOptions:
    """Return pycolmap's options, with the seed that makes the same query give the same pose."""
    options = pycolmap.AbsolutePoseEstimationOptions()
    options.estimate_focal_length = config.estimate_focal
    options.ransac.max_error = config.max_reprojection_error_px
    options.ransac.confidence = config.confidence
    options.ransac.min_inlier_ratio = 0.01  # bounds the trials; `max_trials` does so more plainly
    options.ransac.max_num_trials = config.max_trials
    options.ransac.random_seed = config.random_seed
    return options
