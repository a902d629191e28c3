"""Correspondences -> Localized | Lost: RANSAC, refinement, covariance, and the gates. The only caller of PnP."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.config import PoseConfig
from deviloc_ros.geometry import (
    covariance_in_world,
    is_finite,
    isotropic,
    moved_frame,
    transform_points,
    translation_distance_m,
)
from deviloc_ros.refinement import (
    MAX_CONDITION,
    NormalEquations,
    condition,
    normal_equations,
    refine,
    refine_with_focal,
    squared,
)
from deviloc_ros.reprojection import residuals_px
from deviloc_ros.types import Camera, Correspondences, Evidence, FocalFit, Localized, Lost, Reason, Result

GRID = (8, 6)  # columns, rows
GRID_CELLS = GRID[0] * GRID[1]
FOCAL_STDS = 7  # of 1900 right poses with the right focal length the farthest off is so by 6.7 (docs/benchmarks.md)


def solve_pnp(correspondences: Correspondences, camera: Camera, config: PoseConfig) -> Result:
    """Pose from 2D-3D correspondences, or the reason why it is not to be believed.

    Returns:
        Localized with the covariance of world_from_cam, or Lost(FEW_CORRESPONDENCES | NO_CONSENSUS | FEW_INLIERS |
        LOW_INLIER_RATIO | LOW_COVERAGE | DEGENERATE | UNCERTAIN | UNSTABLE | MISCALIBRATED).
    """
    if len(correspondences) < config.min_inliers:
        detail = f"{len(correspondences)} of at least {config.min_inliers}"
        return Lost(Reason.FEW_CORRESPONDENCES, detail, Evidence(correspondences))
    of_ransac = replace(camera).colmap  # into which it writes the focal length, if it estimates that
    estimate = pycolmap.estimate_absolute_pose(
        correspondences.keypoints, correspondences.points_in_world, of_ransac, ransac_options(config)
    )
    if estimate is None or not is_finite(estimate["cam_from_world"]):
        return Lost(Reason.NO_CONSENSUS, f"{len(correspondences)} correspondences", Evidence(correspondences))
    start = replace(camera, params=tuple(of_ransac.params))
    cam_from_world, fitted = refine(correspondences, start, estimate["cam_from_world"], config)
    inliers = np.linalg.norm(residuals_px(correspondences, fitted, cam_from_world), axis=1) < config.max_residual_px
    evidence = Evidence(correspondences, inliers, coverage(correspondences.keypoints[inliers], camera))
    return gate(cam_from_world, evidence, camera, fitted, config)


def ransac_options(config: PoseConfig) -> pycolmap.AbsolutePoseEstimationOptions:
    options = pycolmap.AbsolutePoseEstimationOptions()
    options.estimate_focal_length = config.estimate_focal
    options.ransac.max_error = config.max_reprojection_error_px
    options.ransac.confidence = config.confidence
    options.ransac.min_inlier_ratio = 0.01  # bounds the trials; `max_trials` does so more plainly
    options.ransac.max_num_trials = config.max_trials
    options.ransac.random_seed = config.random_seed
    return options


def gate(
    cam_from_world: pycolmap.Rigid3d, evidence: Evidence, camera: Camera, fitted: Camera, config: PoseConfig
) -> Result:
    """Localized if the evidence carries the pose, which goes with the `fitted` camera."""
    if evidence.inliers < config.min_inliers:
        return Lost(Reason.FEW_INLIERS, f"{evidence.inliers} of at least {config.min_inliers}", evidence)
    if evidence.inlier_ratio < config.min_inlier_ratio:
        return Lost(Reason.LOW_INLIER_RATIO, f"{evidence.inlier_ratio:.3f} below {config.min_inlier_ratio}", evidence)
    if evidence.coverage < config.min_coverage:
        return Lost(Reason.LOW_COVERAGE, f"{evidence.coverage:.2f} below {config.min_coverage}", evidence)
    points = evidence.correspondences
    equations = normal_equations(points, fitted, cam_from_world, config, free_focal=config.estimate_focal)
    cells = grid_cells(points.keypoints[equations.rows], camera)
    covariance = pose_covariance(equations, cells, cam_from_world)
    if covariance is None:
        return Lost(Reason.DEGENERATE, "the inliers leave a direction free", evidence)
    focal = fit_focal(points, camera, fitted, cam_from_world, config)
    evidence = replace(evidence, focal=focal)
    floor = isotropic(config.min_position_std_m, math.radians(config.min_orientation_std_deg))
    covariance = config.covariance_scale * covariance + floor
    position_std_m = float(np.sqrt(np.linalg.eigvalsh(covariance[:3, :3])[-1]))
    if position_std_m > config.max_position_std_m:
        return Lost(
            Reason.UNCERTAIN, f"position std {position_std_m:.3f} m above {config.max_position_std_m}", evidence
        )
    shift_m = largest_shift_m(equations, cells, cam_from_world)
    if shift_m > max(config.max_shift_m, position_std_m):
        return Lost(Reason.UNSTABLE, f"it moves by {shift_m:.3f} m, position std {position_std_m:.3f} m", evidence)
    trusted = not config.estimate_focal
    if trusted and focal is not None and is_off(focal.scale, focal.std, config.max_focal_error):
        return Lost(Reason.MISCALIBRATED, f"{focal}: is the calibration that of this camera?", evidence)
    return Localized(cam_from_world, covariance, evidence)


def grid_cells(keypoints: NDArray, camera: Camera) -> NDArray:
    """(N,) number of the cell of a grid over the image that each keypoint lies in."""
    columns, rows = GRID
    cells = np.floor((keypoints + 0.5) / [camera.width, camera.height] * GRID).astype(int)
    column, row = np.clip(cells, 0, [columns - 1, rows - 1]).T
    return row * columns + column


def coverage(keypoints: NDArray, camera: Camera) -> float:
    """Share of the grid's cells that hold a keypoint."""
    return len(np.unique(grid_cells(keypoints, camera))) / GRID_CELLS


def pose_covariance(equations: NormalEquations, cells: NDArray, cam_from_world: pycolmap.Rigid3d) -> NDArray | None:
    """(6, 6) covariance of world_from_cam from the residuals themselves; None if they do not determine the pose."""
    covariance = clustered_covariance(equations, cells)
    return None if covariance is None else covariance_in_world(cam_from_world, covariance[:6, :6])


def clustered_covariance(equations: NormalEquations, cells: NDArray) -> NDArray | None:
    """(P, P) covariance of what the equations solve for; None if the residuals do not determine it.

    Were residuals independent, of 1 px, it would be H^-1, H the information; so pycolmap computes it. But neighbours
    err together, since they share landmarks: a thousand do not carry a thousand times the information. The gradients
    of grid cells, g_c, vary by M = sum_c g_c g_c^T instead of H, and H^-1 is multiplied by how much more that is on
    average, tr(H^-1 M) / P (the mean design effect of Rao and Scott 1981). The full sandwich H^-1 M H^-1 (Liang and
    Zeger 1986) has 21 numbers to estimate from at most 48 cells, and on real images is now and then far too small.

    Args:
        cells: (N,) the grid cell of each row.
    """
    cells, cell_of = np.unique(cells, return_inverse=True)
    unknowns = len(equations.information)
    if len(cells) <= unknowns or condition(equations.information) > MAX_CONDITION:
        return None
    gradients = np.zeros((len(cells), unknowns))
    np.add.at(gradients, cell_of, equations.gradients)
    inverse = np.linalg.inv(equations.information)
    excess = np.trace(inverse @ gradients.T @ gradients) / unknowns * len(cells) / (len(cells) - unknowns)
    return excess * inverse


def fit_focal(
    correspondences: Correspondences,
    camera: Camera,
    fitted: Camera,
    cam_from_world: pycolmap.Rigid3d,
    config: PoseConfig,
) -> FocalFit | None:
    """The focal length that fits best, sought from a refined pose and its camera; None where the image does not tell.

    A wrong one moves the camera along its axis by as large a share of the distance, and residuals stay small: a pose
    can be far off and look good. Where depths vary the image tells the two apart.
    """
    fitted_pose, fitted = refine_with_focal(correspondences, fitted, cam_from_world, config)
    equations = normal_equations(correspondences, fitted, fitted_pose, config, free_focal=True)
    covariance = clustered_covariance(equations, grid_cells(correspondences.keypoints[equations.rows], camera))
    if covariance is None:
        return None
    scale = fitted.focal_px / camera.focal_px
    std = scale * math.sqrt(config.covariance_scale * covariance[6, 6])
    depths_m = transform_points(fitted_pose, correspondences.points_in_world[equations.rows])[:, 2]
    return FocalFit(scale, std, fitted_pose, float(np.median(depths_m)))


def is_off(scale: float, std: float, tolerance: float) -> bool:
    """Whether a focal length that is `scale` times the camera's is more than `tolerance` off it, and without doubt."""
    return abs(scale - 1) > max(tolerance, FOCAL_STDS * std)


def largest_shift_m(equations: NormalEquations, cells: NDArray, cam_from_world: pycolmap.Rigid3d) -> float:
    """How far the camera moves at most [m], to first order, when the correspondences of one grid cell are left out.

    A covariance knows one minimum. Where points are few and contradict each other, others fit nearly as well, and what
    tells is that a part of the image decides between them: the jackknife's differences (Miller 1974), of cells, since
    neighbours err together. Infinite if a cell alone holds a direction.
    """
    total = equations.gradients.sum(0)
    largest_m = 0.0
    for left_out in (cells == cell for cell in np.unique(cells)):
        information = equations.information - squared(equations.root[left_out])
        if condition(information) > MAX_CONDITION:
            return np.inf
        step = np.linalg.solve(information, equations.gradients[left_out].sum(0) - total)
        largest_m = max(largest_m, translation_distance_m(moved_frame(step[:6], cam_from_world), cam_from_world))
    return largest_m
