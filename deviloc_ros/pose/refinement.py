"""Minimize weighted residuals: from RANSAC's pose to the one that fits best, and then to the intrinsics that do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import INTRINSICS, Camera
from deviloc_ros.config import PoseConfig
from deviloc_ros.geometry import move_frame
from deviloc_ros.pose.reprojection import linearize
from deviloc_ros.types import Correspondences


class Widening(NamedTuple):
    """Say how many times as wide as in the end the biweight is, and with which steps left the next one takes over.

    tolerance: the largest step left [of the distance to the points, rad].
    """

    factor: float
    tolerance: float


# Of the biweight's scale, with the step [of the distance to the points, rad] after which the next one takes over: where
# a wide one ends is only the start of a narrower one; with steps of 1e-2 left, few bad points have three times as often
# another pose for another draw of RANSAC. The last ends within .02 standard deviations of the minimum.
WIDENINGS = (Widening(4, 1e-3), Widening(2, 1e-3), Widening(1, 3e-5))
# With intrinsics, which are read off the equations where the last step ends. A narrow start may end beside the minimum
# where a focal length is off by a tenth, a wide one in another minimum where nothing is off.
NARROW_START = Widening(2, 1e-2), Widening(1, 1e-2)
WIDE_START = Widening(4, 1e-2), Widening(1, 1e-2)
MAX_REFINEMENTS = 20
MAX_CONDITION = 1e10
MAX_STEEPNESS = 2.0  # more is no noise: residuals spread over the whole width of the biweight
FOCAL, ALL_INTRINSICS = (0,), (0, 1, 2, 3)  # which of INTRINSICS are unknown beside a pose
# Of each of INTRINSICS, the principal point as a share of the focal length: the largest step, and how far off the
# calibration they are looked for: standard deviations, beside those of matches, of what an image does not tell.
MAX_STEP = np.array([0.5, 0.4, 0.4, 0.5])
REACH = np.array([0.02, 0.006, 0.006, 0.02])


def refine_pose(
    correspondences: Correspondences,
    camera: Camera,
    cam_from_world: pycolmap.Rigid3d,
    config: PoseConfig,
    widenings: Sequence[Widening] = WIDENINGS,
) -> tuple[pycolmap.Rigid3d, Camera]:
    """Refine RANSAC's pose to the least residuals, whitened (`reprojection`) and weighted by Tukey's biweight.

    The camera is that given, or with `estimate_focal` the one that fits best.

    The biweight's scale shrinks to `max_residual_px` (graduated non-convexity, Blake and Zisserman 1987), so that the
    end does not depend on which pose RANSAC happened to find. pycolmap's refinement takes no weights and uses only the
    inliers of the start, and its errors are larger.
    """
    free = FOCAL if config.estimate_focal else ()
    for widening in widenings:
        cam_from_world, change = minimize_residuals(
            correspondences, camera, cam_from_world, config, widening, free=free
        )
        camera = camera.change_intrinsics(change)
    return cam_from_world, camera


def refine_with_intrinsics(
    correspondences: Correspondences,
    camera: Camera,
    cam_from_world: pycolmap.Rigid3d,
    config: PoseConfig,
    change: NDArray,
    widenings: Sequence[Widening],
) -> tuple[pycolmap.Rigid3d, NDArray]:
    """Refine a refined pose with the intrinsics free as well; return the pose and the (4,) change that fit best.

    Args:
        change: (4,) of the camera's intrinsics, to start from.
    """
    for widening in widenings:
        cam_from_world, change = minimize_residuals(
            correspondences, camera, cam_from_world, config, widening, free=ALL_INTRINSICS, change=change
        )
    return cam_from_world, change


def minimize_residuals(
    correspondences: Correspondences,
    camera: Camera,
    cam_from_world: pycolmap.Rigid3d,
    config: PoseConfig,
    widening: Widening,
    *,
    free: tuple[int, ...] = (),
    change: NDArray | None = None,
) -> tuple[pycolmap.Rigid3d, NDArray]:
    """Step to the nearest minimum; return the pose and the (4,) change of the camera's intrinsics.

    By Newton's method for the pose, by Gauss-Newton's with intrinsics, which an image may hardly tell.

    A step that is not solvable ends it, and the gates judge the rest.

    Args:
        free: which of INTRINSICS are unknown as well; where several are, REACH holds them where the image does not.
        change: of the intrinsics, to start from.
    """
    away_m = np.linalg.norm(correspondences.points_in_world - cam_from_world.tgt_origin_in_src(), axis=1)
    columns = np.array(free, int)
    # a step by a thousandth is that in any scene
    units = np.concatenate([np.full(3, np.median(away_m)), np.ones(3), intrinsics_units(camera)[columns]])
    change = np.zeros(len(INTRINSICS)) if change is None else change.copy()
    held = np.concatenate([np.zeros(6), reach_of(camera)[columns] ** -2.0 if len(free) > 1 else np.zeros(len(free))])
    largest = (MAX_STEP * intrinsics_units(camera))[columns]
    for _ in range(MAX_REFINEMENTS):
        changed = camera.change_intrinsics(change) if free else camera
        equations = build_normal_equations(correspondences, changed, cam_from_world, config, widening.factor, free=free)
        information = equations.information + np.diag(held) if free else equations.newton_information
        if condition_number(information) > MAX_CONDITION:
            break
        gradient = equations.gradients.sum(0) + held * np.concatenate([np.zeros(6), change[columns]])
        step = -np.linalg.solve(information, gradient)
        cam_from_world = move_frame(step[:6], cam_from_world)
        change[columns] += np.clip(step[6:], -largest, largest)
        if np.abs(step / units).max() < widening.tolerance:
            break
    return cam_from_world, change


def measure_agreement(
    correspondences: Correspondences, camera: Camera, cam_from_world: pycolmap.Rigid3d, config: PoseConfig
) -> float:
    """Return how many correspondences a pose explains, less for larger residuals: what the refinement makes large."""
    lines = linearize(correspondences, camera, cam_from_world, config.max_depth_discount, config.max_residual_px)
    return float(((1 - (lines.errors_px / config.max_residual_px) ** 2) ** 3).sum())


def intrinsics_units(camera: Camera) -> NDArray:
    """Return (4,) steps of INTRINSICS as large as one of the pose by its distance or a radian."""
    return np.array([1.0, camera.focal_px, camera.focal_px, 1.0])


def reach_of(camera: Camera) -> NDArray:
    """Return (4,) standard deviations within which the intrinsics are looked for, beside matches of 1 px."""
    return REACH * intrinsics_units(camera)


@dataclass(frozen=True, slots=True, eq=False)
class NormalEquations:
    """Hold the normal equations of the weighted reprojection error, for the motion of `geometry.move_frame`.

    P is 6, and as many more as intrinsics are unknown. root: (N, 2, P) Jacobian of each pixel times the root of its
    weight. gradients: (N, P). rows: (N,) which of the correspondences have weight. information: (P, P) with weights as
    they are. falling: (P, P) what is to be taken off it, as the biweight falls where a residual grows. steepness: by
    how much the information overstates therefore, on average, how fast the gradients change with the pose.
    """

    root: NDArray
    gradients: NDArray
    rows: NDArray
    information: NDArray
    falling: NDArray
    steepness: float

    @property
    def newton_information(self) -> NDArray:
        """Return the (P, P) second derivatives, or the information where these might lead up instead of down.

        The information bounds the cost from above, so that a step by it leads down, and so does one by a matrix that is
        more than half of it.
        """
        leads_down = is_positive_definite(self.information - 2 * self.falling)
        return self.information - self.falling if leads_down else self.information

    def of_unknowns(self, unknowns: NDArray) -> NormalEquations:
        """Return the equations of some of the unknowns, the others taken as known."""
        return replace(
            self,
            root=self.root[:, :, unknowns],
            gradients=self.gradients[:, unknowns],
            information=self.information[np.ix_(unknowns, unknowns)],
            falling=self.falling[np.ix_(unknowns, unknowns)],
        )

    def of_motion(self, motion: NDArray, before: int) -> NormalEquations:
        """Return the equations for other unknowns, of which (P, Q) makes these; their rows come after so many."""
        return replace(
            self,
            root=self.root @ motion,
            gradients=self.gradients @ motion,
            rows=before + self.rows,
            information=motion.T @ self.information @ motion,
            falling=motion.T @ self.falling @ motion,
        )


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


def is_positive_definite(information: NDArray) -> bool:
    """Return whether a symmetric matrix has positive eigenvalues only."""
    try:
        np.linalg.cholesky(information)
    except np.linalg.LinAlgError:
        return False
    return True


def build_normal_equations(
    correspondences: Correspondences,
    camera: Camera,
    cam_from_world: pycolmap.Rigid3d,
    config: PoseConfig,
    widening: float = 1,
    *,
    free: tuple[int, ...] = (),
) -> NormalEquations:
    """Build the equations at a pose, with the biweight's scale `widening` times what it is in the end.

    Args:
        free: which of INTRINSICS are unknown beside the pose.
    """
    scale_px = widening * config.max_residual_px
    lines = linearize(
        correspondences, camera, cam_from_world, config.max_depth_discount, scale_px, intrinsics=bool(free)
    )
    jacobian, residuals = lines.jacobian.T, lines.residuals.T  # (P, 2, N), as they lie in memory
    if free:
        jacobian = jacobian[[*range(6), *(6 + number for number in free)]]
    within = 1 - (lines.errors_px / scale_px) ** 2
    weights = within**2
    slopes = within * (3 * within - 2)  # mean derivative of weight times residual, along it and across
    steepness = float(np.clip(weights.sum() / max(slopes.sum(), 1e-9), 1.0, MAX_STEEPNESS))
    root = (within * jacobian).T
    unweighted = residuals[0] * jacobian[:, 0] + residuals[1] * jacobian[:, 1]
    falling = sum_squares((2 / scale_px * np.sqrt(within) * unweighted).T)
    return NormalEquations(root, (weights * unweighted).T, lines.rows, sum_squares(root), falling, steepness)


def sum_squares(root: NDArray) -> NDArray:
    """Return (P, P), the sum of J^T J over (N, P) or (N, 2, P)."""
    flat = root.T.reshape(root.shape[-1], -1)  # a view where N is the last axis in memory
    return flat @ flat.T
