"""Estimate which intrinsics fit an image best, with their uncertainty, and whether they contradict a calibration."""

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

SURE_STDS = 6.0  # the largest deviation of 890 right poses is 5.3, of 240 others 3.6
DOUBTFUL_STDS = 2.0  # beyond this a wide start is tried: few right images exceed it, wrong ones have 2.0 to 5.8
TRUSTED_STDS = 3.0  # standard deviations of the configured calibration: less is no contradiction
UNKNOWN = 0.5  # standard deviation of unknown intrinsics: focal length, principal point (per focal length) and k1
LEAST_EXCESS = 1e-9  # synthetic images have no noise
# Tolerance of each of INTRINSICS as a multiple of `max_focal_error`. A wrong principal point turns the pose; what
# remains at the edge of the image is half as large. k1 moves pixels 37 degrees off the axis by 0.4 of its value.
LEAST = np.array([1.0, 0.5, 0.5, 2.0])


def fit_intrinsics(
    correspondences: Correspondences,
    camera: Camera,
    fitted: Camera,
    cam_from_world: pycolmap.Rigid3d,
    config: PoseConfig,
) -> IntrinsicsFit | None:
    """Return what an image tells about its camera's intrinsics; None if nothing.

    If a refinement with a narrow start contradicts the calibration, even with doubt, one with a wide start is tried as
    well, and the one that explains more matches counts.

    Args:
        fitted: the camera that goes with the refined pose; it differs from `camera` if the focal length is estimated.
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
    """Return what the normal equations at the best pose and (4,) change tell about the intrinsics; None if nothing.

    Wrong intrinsics move and turn the camera while residuals stay small: a pose can be far off and look good. If depths
    vary, the image distinguishes the two. The pose is eliminated from the equations (Schur complement), which leaves
    the information about the intrinsics for any pose.
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
    """Return a symmetric matrix with its negative eigenvalues, which come from rounding, set to zero."""
    values, vectors = np.linalg.eigh((information + information.T) / 2)
    return (vectors * np.maximum(values, 0.0)) @ vectors.T


def refine_as_tolerated(
    fit: IntrinsicsFit, correspondences: Correspondences, camera: Camera, config: PoseConfig
) -> tuple[pycolmap.Rigid3d, Camera]:
    """Return the pose and the camera that fit an image best if the calibration is off within the tolerance."""
    tolerated = np.maximum(config.intrinsics_stds, config.max_focal_error * LEAST * intrinsics_units(camera))
    changed = camera.change_intrinsics(fit.estimate(tolerated)[0])
    return refine_pose(correspondences, changed, fit.cam_from_world, config)


def find_contradiction(fit: IntrinsicsFit, camera: Camera, config: PoseConfig) -> str:
    """Return in words which of the intrinsics is clearly wrong; empty if none is."""
    found = find_contradicting(fit, camera, config)
    return describe_change(*found) if found else ""


def find_contradicting(
    fit: IntrinsicsFit, camera: Camera, config: PoseConfig, sure_stds: float = SURE_STDS
) -> tuple[int, float, float] | None:
    """Return the index into INTRINSICS of the one that is wrong, its change and standard deviation; None if none is.

    An image can tell which single number is wrong, not all four at once: each is tried with the others constrained by
    the calibration, and the most significant one is returned.

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
    """Return (4,) bool: which changes of intrinsics exceed both the trust in the calibration and their uncertainty.

    Args:
        change: (4,) of `Camera.change_intrinsics`.
        stds: (4,) its standard deviations.
    """
    return np.abs(change) > np.maximum(least_contradiction(camera, config), sure_stds * stds)


def least_contradiction(camera: Camera, config: PoseConfig) -> NDArray:
    """Return (4,) the smallest changes of intrinsics that contradict a calibration: its tolerance, or its trust."""
    tolerated = config.max_focal_error * LEAST * intrinsics_units(camera)
    return np.maximum(tolerated, TRUSTED_STDS * np.array(config.intrinsics_stds))


def describe_change(number: int, change: float, std: float) -> str:
    """Say in words how far one of INTRINSICS is off."""
    if number == 0:
        scale = math.exp(change)
        return f"{scale:.3f} +- {scale * std:.3f} times the calibration's focal length fits"
    if number == 3:
        return f"k1, the radial distortion, is off by about {-change:+.3f} +- {std:.3f}"
    return f"the principal point is off by about {-change:+.1f} +- {std:.1f} px in {'xy'[number - 1]}"
