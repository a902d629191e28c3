"""Turn correspondences into Localized or Lost by RANSAC, refinement, covariance and gates. Nothing else calls PnP."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pycolmap

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
from deviloc_ros.types import Correspondences, Evidence, Lost, Result


def solve_pnp(correspondences: Correspondences, camera: Camera, config: PoseConfig) -> Result:
    """Solve the pose from 2D-3D correspondences, or say why it is not to be believed.

    Returns:
        Localized with the covariance of world_from_cam, or Lost(FEW_CORRESPONDENCES | NO_CONSENSUS | FEW_INLIERS |
        LOW_INLIER_RATIO | LOW_COVERAGE | DEGENERATE | UNCERTAIN | UNSTABLE | MISCALIBRATED).
    """
    if len(correspondences) < config.min_inliers:
        detail = f"{len(correspondences)} of at least {config.min_inliers}"
        return Lost(Status.FEW_CORRESPONDENCES, detail, Evidence(correspondences))
    of_ransac = replace(camera).colmap  # into which it writes the focal length, if it estimates that
    estimate = pycolmap.estimate_absolute_pose(
        correspondences.keypoints, correspondences.points_in_world, of_ransac, ransac_options(config)
    )
    if estimate is None or not is_finite(estimate["cam_from_world"]):
        return Lost(Status.NO_CONSENSUS, f"{len(correspondences)} correspondences", Evidence(correspondences))
    start = replace(camera, params=tuple(of_ransac.params))
    cam_from_world, fitted = refine_pose(correspondences, start, estimate["cam_from_world"], config)
    inliers = np.linalg.norm(residuals_px(correspondences, fitted, cam_from_world), axis=1) < config.max_residual_px
    evidence = Evidence(correspondences, inliers, grid_coverage(correspondences.keypoints[inliers], camera))
    return apply_gates(cam_from_world, evidence, camera, fitted, config)


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
