"""Decide which poses are given: each gate is a reason to withhold one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.config import PoseConfig
from deviloc_ros.geometry import covariance_in_world, isotropic_covariance, largest_std, transform_points
from deviloc_ros.pose.covariance import calibration_covariance, clustered_covariance, grid_cells, largest_shift_m
from deviloc_ros.pose.intrinsics import find_contradiction, fit_intrinsics
from deviloc_ros.pose.refinement import ALL_INTRINSICS, NormalEquations, build_normal_equations
from deviloc_ros.status import Status
from deviloc_ros.types import Correspondences, Evidence, Localized, Lost, Result

TRIANGLES, LEAST_SAME_SIDE = 300, 0.5  # near all of them for a right pose, near none for that of a mirrored wall


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
    if same_side_share(points[evidence.inlier_mask], cam_from_world) < LEAST_SAME_SIDE:
        return Lost(Status.NO_CONSENSUS, "it sees the points from behind: is the image mirrored?", evidence)
    equations = build_normal_equations(points, fitted, cam_from_world, config, free=ALL_INTRINSICS)
    cells = grid_cells(points.keypoints[equations.rows], camera)
    fit = fit_intrinsics(points, camera, fitted, cam_from_world, config)
    evidence = replace(evidence, intrinsics=fit)
    distance_m = seen_distance_m(points[evidence.inlier_mask], cam_from_world)
    unknowns = 7 if config.estimate_focal else 6
    result = judge_covariance(equations, unknowns, cells, cam_from_world, evidence, distance_m, config)
    trusted = not config.estimate_focal and isinstance(result, Localized)
    if trusted and fit is not None and (complaint := find_contradiction(fit, camera, config)):
        return Lost(Status.MISCALIBRATED, f"{complaint}: is the calibration that of this camera?", result.evidence)
    return result


def judge_covariance(
    equations: NormalEquations,
    unknowns: int,
    cells: NDArray,
    cam_from_world: pycolmap.Rigid3d,
    evidence: Evidence,
    distance_m: float,
    config: PoseConfig,
) -> Result:
    """Return Localized if the equations determine the pose well enough, and no part of the image alone decides it.

    Args:
        equations: of the pose and the intrinsics of its cameras, four each.
        unknowns: how many of these are solved for, the first ones; the others are as the calibrations say.
        cells: (N,) the grid cell of each row of the equations.
        distance_m: of what is seen: the length that errors of a position are compared with.
    """
    solved = equations.of_unknowns(np.arange(unknowns))
    by_residuals = clustered_covariance(solved, cells)
    if by_residuals is None:
        return Lost(Status.DEGENERATE, "the inliers leave a direction free", evidence)
    floor = isotropic_covariance(config.min_position_std * distance_m, math.radians(config.min_orientation_std_deg))
    covariance = config.covariance_scale * covariance_in_world(cam_from_world, by_residuals[:6, :6]) + floor
    residual_std_m = largest_std(covariance[:3, :3])
    of_calibration = calibration_covariance(equations.information, unknowns, config)
    covariance += covariance_in_world(cam_from_world, of_calibration[:6, :6])
    position_std_m = largest_std(covariance[:3, :3])
    allowed_m = config.max_position_std * distance_m
    if config.required_position_std_m > 0:
        allowed_m = min(allowed_m, config.required_position_std_m)
    if position_std_m > allowed_m:
        return Lost(Status.UNCERTAIN, f"position std {position_std_m:.3g} m above {allowed_m:.3g} m", evidence)
    shift_m = largest_shift_m(solved, cells, cam_from_world)
    if shift_m > max(config.max_shift * distance_m, residual_std_m):
        return Lost(Status.UNSTABLE, f"it moves by {shift_m:.3g} m, position std {residual_std_m:.3g} m", evidence)
    return Localized(cam_from_world, covariance, evidence)


def seen_distance_m(inliers: Correspondences, cam_from_world: pycolmap.Rigid3d) -> float:
    """Return the median depth [m] of the inliers: the length that errors of a position are compared with."""
    return float(np.median(transform_points(cam_from_world, inliers.points_in_world)[:, 2]))


def same_side_share(inliers: Correspondences, cam_from_world: pycolmap.Rigid3d) -> float:
    """Return the share of triangles of inliers that the camera sees from the side that a reference saw them from.

    The mirror image of a wall fits a camera behind the wall, as exactly as the image fits one before it: from there
    corners follow each other the other way round.
    """
    reference = np.bincount(inliers.references).argmax()
    of_it = inliers[inliers.references == reference]
    corners = np.random.default_rng(0).integers(len(of_it), size=(TRIANGLES, 3))
    points = of_it.points_in_world[corners]
    seen, was_seen = (
        np.linalg.det(points - centre) for centre in (cam_from_world.tgt_origin_in_src(), of_it.origins[0])
    )
    decided = (seen != 0) & (was_seen != 0)
    return float((seen * was_seen > 0)[decided].mean()) if decided.any() else 1.0
