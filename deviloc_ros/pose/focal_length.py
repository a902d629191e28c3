"""Find the focal length that fits an image best, and judge whether it contradicts the calibration."""

from __future__ import annotations

import math

import numpy as np
import pycolmap

from deviloc_ros.camera import Camera
from deviloc_ros.config import PoseConfig
from deviloc_ros.geometry import (
    transform_points,
)
from deviloc_ros.pose.covariance import clustered_covariance, grid_cells
from deviloc_ros.pose.refinement import (
    build_normal_equations,
    refine_with_focal,
)
from deviloc_ros.types import Correspondences, FocalFit

FOCAL_STDS = 8.5  # of 1900 right poses with the right focal length the farthest off is so by 8.2


def fit_focal(
    correspondences: Correspondences,
    camera: Camera,
    fitted: Camera,
    cam_from_world: pycolmap.Rigid3d,
    config: PoseConfig,
) -> FocalFit | None:
    """Fit the focal length, starting from a refined pose and its camera; None where the image does not tell.

    A wrong one moves the camera along its axis by as large a share of the distance, and residuals stay small: a pose
    can be far off and look good. Where depths vary the image tells the two apart.
    """
    fitted_pose, fitted = refine_with_focal(correspondences, fitted, cam_from_world, config)
    equations = build_normal_equations(correspondences, fitted, fitted_pose, config, free_focal=True)
    covariance = clustered_covariance(equations, grid_cells(correspondences.keypoints[equations.rows], camera))
    if covariance is None:
        return None
    scale = fitted.focal_px / camera.focal_px
    std = scale * math.sqrt(config.covariance_scale * covariance[6, 6])
    depths_m = transform_points(fitted_pose, correspondences.points_in_world[equations.rows])[:, 2]
    return FocalFit(scale, std, fitted_pose, float(np.median(depths_m)))


def contradicts_calibration(scale: float, std: float, tolerance: float) -> bool:
    """Return whether a focal length `scale` times the camera's is off by more than `tolerance`, and without doubt."""
    return abs(scale - 1) > max(tolerance, FOCAL_STDS * std)
