"""Correspondences -> Localized | Lost: RANSAC, refinement, covariance, and the gates. The only caller of PnP."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.config import PoseConfig
from deviloc_ros.geometry import covariance_in_world, is_finite, isotropic, moved_frame, translation_distance_m
from deviloc_ros.reprojection import linearized, residuals_px
from deviloc_ros.types import Camera, Correspondences, Evidence, Localized, Lost, Reason, Result

GRID = (8, 6)  # columns, rows
GRID_CELLS = GRID[0] * GRID[1]
WIDENINGS = (4, 2, 1)  # of the biweight's scale
MAX_REFINEMENTS, STEP_TOLERANCE = 20, 1e-8
MAX_CONDITION = 1e10


def solve_pnp(correspondences: Correspondences, camera: Camera, config: PoseConfig) -> Result:
    """Pose from 2D-3D correspondences, or the reason why it is not to be believed.

    Returns:
        Localized with the covariance of world_from_cam, or Lost(FEW_CORRESPONDENCES | NO_CONSENSUS | FEW_INLIERS |
        LOW_INLIER_RATIO | LOW_COVERAGE | DEGENERATE | UNCERTAIN | UNSTABLE).
    """
    if len(correspondences) < config.min_inliers:
        detail = f"{len(correspondences)} of at least {config.min_inliers}"
        return Lost(Reason.FEW_CORRESPONDENCES, detail, Evidence(correspondences))
    estimate = pycolmap.estimate_absolute_pose(
        correspondences.keypoints, correspondences.points_in_world, camera.colmap, ransac_options(config)
    )
    if estimate is None or not is_finite(estimate["cam_from_world"]):
        return Lost(Reason.NO_CONSENSUS, f"{len(correspondences)} correspondences", Evidence(correspondences))
    cam_from_world = refine(correspondences, camera, estimate["cam_from_world"], config)
    inliers = np.linalg.norm(residuals_px(correspondences, camera, cam_from_world), axis=1) < config.max_residual_px
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
    equations = normal_equations(evidence.correspondences, camera, cam_from_world, config)
    cells = grid_cells(evidence.correspondences.keypoints[equations.rows], camera)
    covariance = pose_covariance(equations, cells, cam_from_world)
    if covariance is None:
        return Lost(Reason.DEGENERATE, "the inliers leave a direction free", evidence)
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
    return Localized(cam_from_world, covariance, evidence)


def refine(
    correspondences: Correspondences, camera: Camera, cam_from_world: pycolmap.Rigid3d, config: PoseConfig
) -> pycolmap.Rigid3d:
    """From RANSAC's pose to the least weighted residuals; weights are confidence times Tukey's biweight.

    Residuals count less where uncertain depths explain them (`reprojection`). The biweight's scale shrinks to
    `max_residual_px` (graduated non-convexity, Blake and Zisserman 1987), so that the end does not depend on which pose
    RANSAC happened to find. pycolmap's refinement takes no weights and uses only the inliers of the start; measured on
    the kitchen, this one has smaller errors.
    """
    for widening in WIDENINGS:
        cam_from_world = gauss_newton(correspondences, camera, cam_from_world, config, widening)
    return cam_from_world


def gauss_newton(
    correspondences: Correspondences,
    camera: Camera,
    cam_from_world: pycolmap.Rigid3d,
    config: PoseConfig,
    widening: float,
) -> pycolmap.Rigid3d:
    """The nearest minimum. A step that is not solvable ends it, and the gates judge what there is."""
    for _ in range(MAX_REFINEMENTS):
        equations = normal_equations(correspondences, camera, cam_from_world, config, widening)
        if condition(equations.information) > MAX_CONDITION:
            break
        step = -np.linalg.solve(equations.information, equations.gradients.sum(0))
        cam_from_world = moved_frame(step, cam_from_world)
        if np.abs(step).max() < STEP_TOLERANCE:
            break
    return cam_from_world


@dataclass(frozen=True, slots=True, eq=False)
class NormalEquations:
    """Of the weighted reprojection error, for the motion of `geometry.moved_frame`.

    root: (N, 2, 6) Jacobian of each pixel times the root of its weight. gradients: (N, 6). rows: (N,) which of the
    correspondences have weight. information: (6, 6).
    """

    root: NDArray
    gradients: NDArray
    rows: NDArray
    information: NDArray


def condition(information: NDArray) -> float:
    """Condition number once metres and radians are brought to one scale; infinite if a direction is free."""
    diagonal = np.diag(information)
    if diagonal.min() <= 0:
        return np.inf
    scale = np.sqrt(diagonal)
    return float(np.linalg.cond(information / np.outer(scale, scale)))


def normal_equations(
    correspondences: Correspondences,
    camera: Camera,
    cam_from_world: pycolmap.Rigid3d,
    config: PoseConfig,
    widening: float = 1,
) -> NormalEquations:
    """At a pose, with the biweight's scale `widening` times what it is in the end."""
    scale_px = widening * config.max_residual_px
    lines = linearized(correspondences, camera, cam_from_world, config.max_depth_discount, scale_px)
    weights = (1 - (lines.errors_px / scale_px) ** 2) ** 2 * correspondences.confidence[lines.rows]
    root = np.sqrt(weights)[:, None, None] * lines.jacobian
    gradients = np.einsum("nij,n,ni->nj", lines.jacobian, weights, lines.residuals)
    return NormalEquations(root, gradients, lines.rows, squared(root))


def squared(root: NDArray) -> NDArray:
    """(6, 6) sum of J^T J over (N, 2, 6)."""
    flat = root.reshape(-1, 6)
    return flat.T @ flat


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
    """(6, 6) covariance of world_from_cam from the residuals themselves; None if they do not determine the pose.

    Were residuals independent, of 1 px, it would be H^-1, H the information; so pycolmap computes it. But neighbours
    err together, since they share landmarks: a thousand do not carry a thousand times the information. The gradients
    of grid cells, g_c, vary by M = sum_c g_c g_c^T instead of H, and H^-1 is multiplied by how much more that is on
    average, tr(H^-1 M) / 6 (the mean design effect of Rao and Scott 1981). The full sandwich H^-1 M H^-1 (Liang and
    Zeger 1986) has 21 numbers to estimate from at most 48 cells, and on real images is now and then far too small.

    Args:
        cells: (N,) the grid cell of each row.
    """
    cells, cell_of = np.unique(cells, return_inverse=True)
    if len(cells) <= 6 or condition(equations.information) > MAX_CONDITION:
        return None
    gradients = np.zeros((len(cells), 6))
    np.add.at(gradients, cell_of, equations.gradients)
    inverse = np.linalg.inv(equations.information)
    excess = np.trace(inverse @ gradients.T @ gradients) / 6 * len(cells) / (len(cells) - 6)
    return covariance_in_world(cam_from_world, excess * inverse)


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
        largest_m = max(largest_m, translation_distance_m(moved_frame(step, cam_from_world), cam_from_world))
    return largest_m
