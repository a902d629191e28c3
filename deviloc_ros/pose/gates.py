"""Decide which poses are given: each gate is a reason to withhold one."""

from __future__ import annotations

import math
from dataclasses import replace

import pycolmap

from deviloc_ros.camera import Camera
from deviloc_ros.config import PoseConfig
from deviloc_ros.geometry import (
    isotropic_covariance,
    largest_std,
)
from deviloc_ros.pose.covariance import grid_cells, largest_shift_m, pose_covariance
from deviloc_ros.pose.focal_length import contradicts_calibration, fit_focal
from deviloc_ros.pose.refinement import (
    build_normal_equations,
)
from deviloc_ros.status import Status
from deviloc_ros.types import Evidence, Localized, Lost, Result


def apply_gates(
    cam_from_world: pycolmap.Rigid3d, evidence: Evidence, camera: Camera, fitted: Camera, config: PoseConfig
) -> Result:
    """Return Localized if the evidence carries the pose, which goes with the `fitted` camera, else Lost."""
    if evidence.inliers < config.min_inliers:
        return Lost(Status.FEW_INLIERS, f"{evidence.inliers} of at least {config.min_inliers}", evidence)
    if evidence.inlier_ratio < config.min_inlier_ratio:
        return Lost(Status.LOW_INLIER_RATIO, f"{evidence.inlier_ratio:.3f} below {config.min_inlier_ratio}", evidence)
    if evidence.coverage < config.min_coverage:
        return Lost(Status.LOW_COVERAGE, f"{evidence.coverage:.2f} below {config.min_coverage}", evidence)
    points = evidence.correspondences
    equations = build_normal_equations(points, fitted, cam_from_world, config, free_focal=config.estimate_focal)
    cells = grid_cells(points.keypoints[equations.rows], camera)
    covariance = pose_covariance(equations, cells, cam_from_world)
    if covariance is None:
        return Lost(Status.DEGENERATE, "the inliers leave a direction free", evidence)
    focal = fit_focal(points, camera, fitted, cam_from_world, config)
    evidence = replace(evidence, focal=focal)
    floor = isotropic_covariance(config.min_position_std_m, math.radians(config.min_orientation_std_deg))
    covariance = config.covariance_scale * covariance + floor
    position_std_m = largest_std(covariance[:3, :3])
    if position_std_m > config.max_position_std_m:
        return Lost(
            Status.UNCERTAIN, f"position std {position_std_m:.3f} m above {config.max_position_std_m}", evidence
        )
    shift_m = largest_shift_m(equations, cells, cam_from_world)
    if shift_m > max(config.max_shift_m, position_std_m):
        return Lost(Status.UNSTABLE, f"it moves by {shift_m:.3f} m, position std {position_std_m:.3f} m", evidence)
    trusted = not config.estimate_focal
    if trusted and focal is not None and contradicts_calibration(focal.scale, focal.std, config.max_focal_error):
        return Lost(Status.MISCALIBRATED, f"{focal}: is the calibration that of this camera?", evidence)
    return Localized(cam_from_world, covariance, evidence)
