"""Estimate the covariance of a pose from its residuals, clustered by the cells of a grid over the image."""

from __future__ import annotations

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import INTRINSICS, Camera
from deviloc_ros.config import PoseConfig
from deviloc_ros.geometry import (
    perturb_pose,
    translation_distance_m,
)
from deviloc_ros.pose.refinement import (
    MAX_CONDITION,
    NormalEquations,
    condition_number,
    condition_numbers,
)

GRID = (8, 6)  # columns, rows
GRID_CELLS = GRID[0] * GRID[1]


def grid_cells(keypoints: NDArray, camera: Camera) -> NDArray:
    """Return (N,) the index of the grid cell in which each of (N, 2) keypoints lies."""
    columns, rows = GRID
    cells = np.floor((keypoints + 0.5) / [camera.width, camera.height] * GRID).astype(int)
    column, row = np.clip(cells, 0, [columns - 1, rows - 1]).T
    return row * columns + column


def grid_coverage(keypoints: NDArray, camera: Camera) -> float:
    """Return the share of the grid's cells that hold a keypoint."""
    return len(np.unique(grid_cells(keypoints, camera))) / GRID_CELLS


def clustered_covariance(equations: NormalEquations, cells: NDArray) -> NDArray | None:
    """Return the (P, P) covariance of what the equations solve for; None if the residuals do not determine it.

    Args:
        cells: (N,) the grid cell of each row.
    """
    excess = design_effect(equations, cells, equations.information)
    return None if excess is None else excess * np.linalg.inv(equations.information)


def design_effect(equations: NormalEquations, cells: NDArray, information: NDArray) -> float | None:
    """Return the factor from the inverse of the (P, P) information to the covariance; None if it has no inverse.

    For independent residuals of 1 px the covariance is H^-1, with H the information; pycolmap computes that. But
    neighbouring residuals are correlated, since they share landmarks: a thousand do not carry a thousand times the
    information. The gradients of grid cells, g_c, vary by M = sum_c g_c g_c^T instead of H, so H^-1 is multiplied by
    the mean design effect tr(H^-1 M) / P (Rao and Scott 1981). The full sandwich H^-1 M H^-1 (Liang and Zeger 1986) has
    21 numbers to estimate from at most 48 cells, and is sometimes far too small on real images.

    Args:
        cells: (N,) the grid cell of each row.
        information: (P, P) of the equations, plus that of any prior.
    """
    cells, cell_of = np.unique(cells, return_inverse=True)
    unknowns = len(information)
    if len(cells) <= unknowns or condition_number(information) > MAX_CONDITION:
        return None
    gradients = np.zeros((len(cells), unknowns))
    np.add.at(gradients, cell_of, equations.gradients)
    inverse = equations.steepness * np.linalg.inv(information)
    excess = np.trace(inverse @ gradients.T @ gradients) / unknowns * len(cells) / (len(cells) - unknowns)
    return float(equations.steepness * excess)


def calibration_covariance(information: NDArray, unknowns: int, config: PoseConfig) -> NDArray:
    """Return the (U, U) covariance that uncertain calibrations add to unknowns solved with these calibrations fixed.

    To first order the minimum moves by -H_uu^-1 H_uc when the intrinsics c change.

    Args:
        information: (P, P) of the U unknowns, followed by the intrinsics of each camera that are not among them.
    """
    cameras = (len(information) - 6) // len(INTRINSICS)
    stds = np.tile(config.intrinsics_stds, cameras)
    effect = np.linalg.solve(information[:unknowns, :unknowns], information[:unknowns, unknowns:])
    effect *= stds[unknowns - 6 :]
    return effect @ effect.T


def largest_shift_m(equations: NormalEquations, cells: NDArray, cam_from_world: pycolmap.Rigid3d) -> float:
    """Return how far [m] the camera moves at most, to first order, if one grid cell's correspondences are left out.

    A covariance describes a single minimum. If points are few and contradict each other, other minima fit nearly as
    well, and one part of the image decides between them. This delete-one-cell jackknife (Miller 1974) reveals it; cells
    rather than points, since neighbours are correlated. Infinite if one cell alone determines a direction.
    """
    total = equations.gradients.sum(0)
    numbers, cell_of = np.unique(cells, return_inverse=True)
    order = np.argsort(cell_of, kind="stable")
    starts = np.searchsorted(cell_of[order], np.arange(len(numbers)))
    root = equations.root[order]
    of_cells = np.add.reduceat(root.transpose(0, 2, 1) @ root, starts)
    information = equations.information - of_cells
    if not (condition_numbers(information) <= MAX_CONDITION).all():
        return np.inf
    steps = np.linalg.solve(information, (np.add.reduceat(equations.gradients[order], starts) - total)[:, :, None])
    return max(
        translation_distance_m(perturb_pose(step[:6], cam_from_world), cam_from_world) for step in steps[:, :, 0]
    )
