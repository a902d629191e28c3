"""Minimize robustly weighted residuals over a pose, and over a pose with the camera's intrinsics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import INTRINSICS, Camera
from deviloc_ros.config import PoseConfig
from deviloc_ros.geometry import perturb_pose
from deviloc_ros.pose.reprojection import linearize
from deviloc_ros.types import Correspondences


class Widening(NamedTuple):
    """Configure one stage of the refinement.

    factor: scale of the biweight relative to that of the last stage. tolerance: the stage ends when no component of a
    step is larger [translation as a share of the distance to the points; rotation in rad].
    """

    factor: float
    tolerance: float


# A wide stage only finds the start of a narrower one, so it may end early; but with tolerance 1e-2, a few wrong points
# make the pose depend on RANSAC's draw three times as often. The last stage ends within .02 standard deviations of the
# minimum.
WIDENINGS = (Widening(4, 1e-3), Widening(2, 1e-3), Widening(1, 3e-5))
# For a refinement with intrinsics, which are read from the equations where it ends. A narrow start may miss the minimum
# if the focal length is off by a tenth; a wide one may end in another minimum although nothing is off.
NARROW_START = Widening(2, 1e-2), Widening(1, 1e-2)
WIDE_START = Widening(4, 1e-2), Widening(1, 1e-2)
MAX_REFINEMENTS = 20
MAX_CONDITION = 1e10
MAX_STEEPNESS = 2.0  # a larger value does not come from noise: residuals fill the whole width of the biweight
FOCAL, ALL_INTRINSICS = (0,), (0, 1, 2, 3)  # indices into INTRINSICS of the unknowns beside the pose
# For each of INTRINSICS, the principal point as a share of the focal length: the largest step, and the standard
# deviation of a weak prior around the calibration, for what an image does not tell.
MAX_STEP = np.array([0.5, 0.4, 0.4, 0.5])
REACH = np.array([0.02, 0.006, 0.006, 0.02])


def refine_pose(
    correspondences: Correspondences,
    camera: Camera,
    cam_from_world: pycolmap.Rigid3d,
    config: PoseConfig,
    widenings: Sequence[Widening] = WIDENINGS,
) -> tuple[pycolmap.Rigid3d, Camera]:
    """Refine RANSAC's pose; return it with its camera, which `estimate_focal` gives the focal length that fits best.

    It minimizes whitened residuals (`reprojection`) under Tukey's biweight. The biweight's scale shrinks to
    `max_residual_px` (graduated non-convexity, Blake and Zisserman 1987), so that the result does not depend on which
    pose RANSAC happened to find. pycolmap's refinement takes no weights and uses only the initial inliers; its errors
    are larger.
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
    """Refine a pose together with the intrinsics; return the pose and the (4,) change of intrinsics that fit best.

    Args:
        change: (4,) initial change of the camera's intrinsics.
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
    """Descend to the nearest minimum; return the pose and the (4,) change of the camera's intrinsics.

    Newton's method for a pose alone; Gauss-Newton with intrinsics, which an image may hardly determine. A singular step
    ends the descent, and the gates judge what it found.

    Args:
        free: indices into INTRINSICS of further unknowns; if there are several, REACH is their prior.
        change: initial change of the intrinsics.
    """
    distances_m = np.linalg.norm(correspondences.points_in_world - cam_from_world.tgt_origin_in_src(), axis=1)
    columns = np.array(free, int)
    # relative to these units a step means the same in a scene of any size
    units = np.concatenate([np.full(3, np.median(distances_m)), np.ones(3), intrinsics_units(camera)[columns]])
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
        cam_from_world = perturb_pose(step[:6], cam_from_world)
        change[columns] += np.clip(step[6:], -largest, largest)
        if np.abs(step / units).max() < widening.tolerance:
            break
    return cam_from_world, change


def measure_agreement(
    correspondences: Correspondences, camera: Camera, cam_from_world: pycolmap.Rigid3d, config: PoseConfig
) -> float:
    """Return how many correspondences a pose explains, weighted down by residual: what the refinement maximizes."""
    lines = linearize(correspondences, camera, cam_from_world, config.max_depth_discount, config.max_residual_px)
    return float(((1 - (lines.errors_px / config.max_residual_px) ** 2) ** 3).sum())


def intrinsics_units(camera: Camera) -> NDArray:
    """Return the (4,) units of INTRINSICS in which steps compare with those of a pose (its distance, radians)."""
    return np.array([1.0, camera.focal_px, camera.focal_px, 1.0])


def reach_of(camera: Camera) -> NDArray:
    """Return the (4,) standard deviations of the weak prior on the intrinsics, for matches of 1 px."""
    return REACH * intrinsics_units(camera)


@dataclass(frozen=True, slots=True, eq=False)
class NormalEquations:
    """Hold the normal equations of the weighted reprojection error, for the motion of `geometry.perturb_pose`.

    P is 6 plus the number of unknown intrinsics. root: (N, 2, P) Jacobian of each pixel times the root of its weight.
    gradients: (N, P). rows: (N,) indices of the correspondences with weight. information: (P, P) with constant weights
    (Gauss-Newton). falling: (P, P) to be subtracted from it for second derivatives, since the biweight falls as a
    residual grows. steepness: by what factor the information therefore overstates, on average, how fast the gradients
    change with the pose.
    """

    root: NDArray
    gradients: NDArray
    rows: NDArray
    information: NDArray
    falling: NDArray
    steepness: float

    @property
    def newton_information(self) -> NDArray:
        """Return the (P, P) second derivatives, or the information if a step with these might not descend.

        The information bounds the curvature from above, so that a step with it descends, and so does a step with any
        matrix that is larger than half of it.
        """
        leads_down = is_positive_definite(self.information - 2 * self.falling)
        return self.information - self.falling if leads_down else self.information

    def of_unknowns(self, unknowns: NDArray) -> NormalEquations:
        """Return the equations for some of the unknowns, with the others fixed."""
        return replace(
            self,
            root=self.root[:, :, unknowns],
            gradients=self.gradients[:, unknowns],
            information=self.information[np.ix_(unknowns, unknowns)],
            falling=self.falling[np.ix_(unknowns, unknowns)],
        )

    def of_motion(self, motion: NDArray, before: int) -> NormalEquations:
        """Return the equations for Q other unknowns, of which (P, Q) `motion` makes these; `before` shifts the rows."""
        return replace(
            self,
            root=self.root @ motion,
            gradients=self.gradients @ motion,
            rows=before + self.rows,
            information=motion.T @ self.information @ motion,
            falling=motion.T @ self.falling @ motion,
        )


def condition_number(information: NDArray) -> float:
    """Return the condition number after scaling the diagonal to 1; infinite if a direction is undetermined."""
    return float(condition_numbers(information[None])[0])


def condition_numbers(information: NDArray) -> NDArray:
    """Return (C,) the `condition_number` of each of (C, P, P) matrices."""
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
    """Build the equations at a pose, with the biweight's scale `widening` times its final one.

    Args:
        free: indices into INTRINSICS of the unknowns beside the pose.
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
    slopes = within * (3 * within - 2)  # derivative of weight times residual, mean of along and across it
    steepness = float(np.clip(weights.sum() / max(slopes.sum(), 1e-9), 1.0, MAX_STEEPNESS))
    root = (within * jacobian).T
    unweighted = residuals[0] * jacobian[:, 0] + residuals[1] * jacobian[:, 1]
    falling = sum_squares((2 / scale_px * np.sqrt(within) * unweighted).T)
    return NormalEquations(root, (weights * unweighted).T, lines.rows, sum_squares(root), falling, steepness)


def sum_squares(root: NDArray) -> NDArray:
    """Return (P, P), the sum of J^T J over (N, P) or (N, 2, P)."""
    flat = root.T.reshape(root.shape[-1], -1)  # a view where N is the last axis in memory
    return flat @ flat.T
