"""Minimize weighted residuals: from RANSAC's pose to the one that fits best, and then to the focal length that does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.config import PoseConfig
from deviloc_ros.geometry import move_frame
from deviloc_ros.pose.reprojection import linearize
from deviloc_ros.types import Correspondences

# Of the biweight's scale, with the step [of the distance to the points, rad] after which the next one takes over: where
# a wide one ends is only the start of a narrower one. The last one is sure of a pose to far less than a map is.
WIDENINGS = ((4, 1e-3), (2, 1e-3), (1, 1e-6))
FOCAL_WIDENINGS = ((2, 1e-3), (1, 1e-4))
MAX_REFINEMENTS = 20
MAX_CONDITION = 1e10
MAX_STEEPNESS = 2.0  # more is no noise: residuals spread over the whole width of the biweight
MAX_FOCAL_STEP = 0.5  # of its logarithm


def refine_pose(
    correspondences: Correspondences,
    camera: Camera,
    cam_from_world: pycolmap.Rigid3d,
    config: PoseConfig,
    widenings: Sequence[tuple[float, float]] = WIDENINGS,
) -> tuple[pycolmap.Rigid3d, Camera]:
    """Refine RANSAC's pose to the least residuals, whitened (`reprojection`) and weighted by Tukey's biweight.

    The camera is that given, or with `estimate_focal` the one that fits best.

    The biweight's scale shrinks to `max_residual_px` (graduated non-convexity, Blake and Zisserman 1987), so that the
    end does not depend on which pose RANSAC happened to find. pycolmap's refinement takes no weights and uses only the
    inliers of the start, and its errors are larger.
    """
    for widening, tolerance in widenings:
        cam_from_world, camera = minimize_residuals(
            correspondences, camera, cam_from_world, config, widening, tolerance, free_focal=config.estimate_focal
        )
    return cam_from_world, camera


def refine_with_focal(
    correspondences: Correspondences, camera: Camera, cam_from_world: pycolmap.Rigid3d, config: PoseConfig
) -> tuple[pycolmap.Rigid3d, Camera]:
    """Refine a refined pose with the focal length free as well; return the pose and the camera that fit best."""
    for widening, tolerance in FOCAL_WIDENINGS:
        cam_from_world, camera = minimize_residuals(
            correspondences, camera, cam_from_world, config, widening, tolerance, free_focal=True
        )
    return cam_from_world, camera


def minimize_residuals(
    correspondences: Correspondences,
    camera: Camera,
    cam_from_world: pycolmap.Rigid3d,
    config: PoseConfig,
    widening: float,
    tolerance: float,
    *,
    free_focal: bool = False,
) -> tuple[pycolmap.Rigid3d, Camera]:
    """Step to the nearest minimum by Gauss-Newton.

    A step that is not solvable ends it, and the gates judge the rest.
    """
    away_m = np.linalg.norm(correspondences.points_in_world - cam_from_world.tgt_origin_in_src(), axis=1)
    units = np.array(
        [float(np.median(away_m))] * 3 + [1.0] * (4 if free_focal else 3)
    )  # a step by a thousandth is that in any scene
    for _ in range(MAX_REFINEMENTS):
        equations = build_normal_equations(
            correspondences, camera, cam_from_world, config, widening, free_focal=free_focal
        )
        if condition_number(equations.information) > MAX_CONDITION:
            break
        step = -np.linalg.solve(equations.information, equations.gradients.sum(0))
        cam_from_world = move_frame(step[:6], cam_from_world)
        if free_focal:
            camera = camera.scale_focal(float(np.exp(np.clip(step[6], -MAX_FOCAL_STEP, MAX_FOCAL_STEP))))
        if np.abs(step / units).max() < tolerance:
            break
    return cam_from_world, camera


@dataclass(frozen=True, slots=True, eq=False)
class NormalEquations:
    """Hold the normal equations of the weighted reprojection error, for the motion of `geometry.move_frame`.

    P is 6, or 7 with the focal length. root: (N, 2, P) Jacobian of each pixel times the root of its weight. gradients:
    (N, P). rows: (N,) which of the correspondences have weight. information: (P, P). steepness: by how much it
    overstates, on average, how fast the gradients change with the pose: where a residual grows, the biweight falls.
    """

    root: NDArray
    gradients: NDArray
    rows: NDArray
    information: NDArray
    steepness: float


def condition_number(information: NDArray) -> float:
    """Return the condition number once metres and radians are brought to one scale; infinite if a direction is free."""
    return float(condition_numbers(information[None])[0])


def condition_numbers(information: NDArray) -> NDArray:
    """Return the same of each of (C, P, P) matrices, (C,)."""
    diagonal = np.einsum("cii->ci", information)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    eigenvalues = np.linalg.eigvalsh(information / (scale[:, :, None] * scale[:, None]))
    smallest = np.where((diagonal > 0).all(1), eigenvalues[:, 0], 0.0)
    return np.where(smallest > 0, eigenvalues[:, -1] / np.where(smallest > 0, smallest, 1.0), np.inf)


def build_normal_equations(
    correspondences: Correspondences,
    camera: Camera,
    cam_from_world: pycolmap.Rigid3d,
    config: PoseConfig,
    widening: float = 1,
    *,
    free_focal: bool = False,
) -> NormalEquations:
    """Build the equations at a pose, with the biweight's scale `widening` times what it is in the end."""
    scale_px = widening * config.max_residual_px
    lines = linearize(
        correspondences, camera, cam_from_world, config.max_depth_discount, scale_px, free_focal=free_focal
    )
    within = 1 - (lines.errors_px / scale_px) ** 2
    weights = within**2
    slopes = within * (3 * within - 2)  # mean derivative of weight times residual, along it and across
    steepness = float(np.clip(weights.sum() / max(slopes.sum(), 1e-9), 1.0, MAX_STEEPNESS))
    root = np.sqrt(weights)[:, None, None] * lines.jacobian
    gradients = ((weights[:, None] * lines.residuals)[:, None] @ lines.jacobian)[:, 0]
    return NormalEquations(root, gradients, lines.rows, sum_squares(root), steepness)


def sum_squares(root: NDArray) -> NDArray:
    """Return (P, P), the sum of J^T J over (N, 2, P)."""
    flat = root.reshape(-1, root.shape[2])
    return flat.T @ flat
