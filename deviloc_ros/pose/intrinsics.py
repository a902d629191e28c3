"""Find the intrinsics that fit an image best, and what it can say of them at all."""

from __future__ import annotations

import math

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.config import PoseConfig
from deviloc_ros.geometry import transform_points
from deviloc_ros.pose.covariance import design_effect, grid_cells
from deviloc_ros.pose.refinement import (
    ALL_INTRINSICS,
    NARROW_START,
    WIDE_START,
    build_normal_equations,
    intrinsics_units,
    measure_agreement,
    reach_of,
    refine_pose,
    refine_with_intrinsics,
)
from deviloc_ros.types import Correspondences, IntrinsicsFit

SURE_STDS = 6.0  # of 890 right poses the farthest off is so by 5.3, of 240 others (entry-loo, hard) by 3.6
DOUBTFUL_STDS = 2.0  # from where on a wide start is tried: few right images have more, wrong ones 2.0 to 5.8
TRUSTED_STDS = 3.0  # of what the configuration says of a calibration: less is no contradiction
UNKNOWN = 0.5  # standard deviation of a focal length and a principal point, as shares of it, and a k1 nobody knows
LEAST_EXCESS = 1e-9  # images that are computed have no noise
# Of `max_focal_error`, what is tolerated of each of INTRINSICS. A principal point that is off turns the pose, by what
# is half as long at the edge of the image; a k1 moves pixels 37 degrees off the axis by 0.4 of itself.
LEAST = np.array([1.0, 0.5, 0.5, 2.0])


def fit_intrinsics(
    correspondences: Correspondences,
    camera: Camera,
    fitted: Camera,
    cam_from_world: pycolmap.Rigid3d,
    config: PoseConfig,
) -> IntrinsicsFit | None:
    """Return what an image says of its camera's intrinsics; None where it says nothing.

    It starts from a refined pose and the camera that goes with it, another than that of the calibration where the focal
    length is estimated. Where a narrow start finds what contradicts the calibration, if not beyond doubt, a wide one is
    tried, and what explains more matches counts.
    """
    start = np.array([np.log(fitted.focal_px / camera.focal_px), 0.0, 0.0, 0.0])
    given = correspondences, camera, cam_from_world, config, start
    narrow = refine_with_intrinsics(*given, NARROW_START)
    fit = read_intrinsics(correspondences, camera, *narrow, config)
    if fit is None or not find_contradicting(fit, camera, config, DOUBTFUL_STDS):
        return fit
    wide = refine_with_intrinsics(*given, WIDE_START)
    agreement, wider_agreement = (
        measure_agreement(correspondences, camera.change_intrinsics(change), pose, config)
        for pose, change in (narrow, wide)
    )
    return fit if agreement >= wider_agreement else read_intrinsics(correspondences, camera, *wide, config)


def read_intrinsics(
    correspondences: Correspondences,
    camera: Camera,
    cam_from_world: pycolmap.Rigid3d,
    change: NDArray,
    config: PoseConfig,
) -> IntrinsicsFit | None:
    """Return what the normal equations say of the intrinsics where pose and (4,) change fit best; None if nothing.

    Wrong ones move and turn the camera, and residuals stay small: a pose can be far off and look good. Where depths
    vary the image tells the two apart. The pose is eliminated from the equations (Schur complement), which leaves what
    the image says of the intrinsics whatever the pose is.
    """
    fitted = camera.change_intrinsics(change)
    equations = build_normal_equations(correspondences, fitted, cam_from_world, config, free=ALL_INTRINSICS)
    held = np.diag(np.concatenate([np.zeros(6), reach_of(camera) ** -2.0]))
    cells = grid_cells(correspondences.keypoints[equations.rows], camera)
    excess = design_effect(equations, cells, equations.information + held)
    if excess is None:
        return None
    information, gradient = equations.information, equations.gradients.sum(0)
    by_pose = np.linalg.solve(information[:6, :6], information[:6, 6:]).T
    scale = config.covariance_scale * max(excess, LEAST_EXCESS)
    told = make_semidefinite(information[6:, 6:] - by_pose @ information[:6, 6:]) / scale
    vector = told @ change - (gradient[6:] - by_pose @ gradient[:6]) / scale
    depths_m = transform_points(cam_from_world, correspondences.points_in_world[equations.rows])[:, 2]
    return IntrinsicsFit(told, vector, cam_from_world, float(np.median(depths_m)))


def make_semidefinite(information: NDArray) -> NDArray:
    """Return a symmetric matrix without the negative eigenvalues that rounding gives to what is not known."""
    values, vectors = np.linalg.eigh((information + information.T) / 2)
    return (vectors * np.maximum(values, 0.0)) @ vectors.T


def refine_as_tolerated(
    fit: IntrinsicsFit, correspondences: Correspondences, camera: Camera, config: PoseConfig
) -> tuple[pycolmap.Rigid3d, Camera]:
    """Return the pose and the camera that fit an image best if the calibration is off by no more than is tolerated."""
    tolerated = np.maximum(config.intrinsics_stds, config.max_focal_error * LEAST * intrinsics_units(camera))
    changed = camera.change_intrinsics(fit.estimate(tolerated)[0])
    return refine_pose(correspondences, changed, fit.cam_from_world, config)


def find_contradiction(fit: IntrinsicsFit, camera: Camera, config: PoseConfig) -> str:
    """Return which of the intrinsics is wrong beyond doubt, in words; empty if none is."""
    found = find_contradicting(fit, camera, config)
    return describe_change(*found) if found else ""


def find_contradicting(
    fit: IntrinsicsFit, camera: Camera, config: PoseConfig, sure_stds: float = SURE_STDS
) -> tuple[int, float, float] | None:
    """Return which of INTRINSICS is wrong, if any, its change and the standard deviation of that.

    An image can tell one wrong number, not four: each is tried with the others as sure as the calibration makes them,
    and the one that explains most is named.

    Args:
        sure_stds: how many standard deviations it must be off.
    """
    stds = np.array(config.intrinsics_stds)
    tried = []
    for number in ALL_INTRINSICS:
        change, covariance = fit.estimate(
            np.where(np.arange(len(stds)) == number, UNKNOWN * intrinsics_units(camera), stds)
        )
        tried.append((abs(change[number]) / math.sqrt(covariance[number, number]), number, change, covariance))
    _, number, change, covariance = max(tried, key=lambda one: one[0])
    deviations = np.sqrt(np.diag(covariance))
    if not select_contradicting(change, deviations, camera, config, sure_stds)[number]:
        return None
    return number, change[number], deviations[number]


def select_contradicting(
    change: NDArray, stds: NDArray, camera: Camera, config: PoseConfig, sure_stds: float = SURE_STDS
) -> NDArray:
    """Return (4,) bool: which changes of intrinsics are beyond what the calibration is trusted to, and beyond doubt.

    Args:
        change: (4,) of `Camera.change_intrinsics`.
        stds: (4,) its standard deviations.
    """
    return np.abs(change) > np.maximum(least_contradiction(camera, config), sure_stds * stds)


def least_contradiction(camera: Camera, config: PoseConfig) -> NDArray:
    """Return (4,) from where on changes of intrinsics are more than is tolerated, and a calibration is trusted to."""
    tolerated = config.max_focal_error * LEAST * intrinsics_units(camera)
    return np.maximum(tolerated, TRUSTED_STDS * np.array(config.intrinsics_stds))


def describe_change(number: int, change: float, std: float) -> str:
    """Say what is wrong with one of INTRINSICS, of which another value fits."""
    if number == 0:
        scale = math.exp(change)
        return f"{scale:.3f} +- {scale * std:.3f} times the calibration's focal length fits"
    if number == 3:
        return f"k1, the radial distortion, is off by about {-change:+.3f} +- {std:.3f}"
    return f"the principal point is off by about {-change:+.1f} +- {std:.1f} px in {'xy'[number - 1]}"
