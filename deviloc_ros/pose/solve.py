"""Turn correspondences into Localized or Lost: RANSAC, refinement, covariance and gates."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.config import PoseConfig
from deviloc_ros.geometry import is_finite
from deviloc_ros.pose.covariance import grid_cells, grid_coverage
from deviloc_ros.pose.gates import SeenPoints, SolvedPose, apply_gates
from deviloc_ros.pose.intrinsics import fit_intrinsics
from deviloc_ros.pose.refinement import (
    ALL_INTRINSICS,
    WIDENINGS,
    NormalEquations,
    build_normal_equations,
    measure_agreement,
    refine_pose,
)
from deviloc_ros.pose.reprojection import residuals_px
from deviloc_ros.status import Status
from deviloc_ros.types import USUAL_STD_PX, Correspondences, Evidence, Lost, Result

USUAL_SIDE_PX = 640  # pixel bounds are scaled down for images whose long side is shorter
LEAST_BOUND_PX, MOST_BOUND_PX = 0.5, 50.0  # the bounds of the configuration
# Share of RANSAC's bound, which is 12 px for matches with errors of 1.7 px. Two images of a rendered court got poses
# 0.9 and 1.8 m off: a quarter of the bound finds the right ones with ten of ten seeds, half of it with four and ten.
NARROW_BOUND = 0.25
LEAST_RATIO, ENOUGH_RATIO = 0.01, 0.25  # bounds of the inlier ratio that RANSAC expects; .25 gives 580 trials
CLOSE_SHARE = 0.7  # agreement per RANSAC inlier: .75 to .95 for right poses, .53 for the one 1.8 m off
CLEARLY_STDS = 2.0  # standard deviations of a count (its square root); less is chance; 2.6 and 12 in the court
NARROW_TRIALS = 1000  # enough if three in ten matches are right; otherwise the first pose stays

# On a place that looks alike at least 28 of 512 keypoints agree, on an unrelated place up to 20 by chance. Passing this
# bound only leads to a closer look.
ROUGH_INLIERS, ROUGH_TRIALS = 20, 500


def solve_pnp(correspondences: Correspondences, camera: Camera, config: PoseConfig) -> Result:
    """Solve the pose from 2D-3D correspondences, or return why there is none to be trusted.

    Returns:
        Localized with the covariance of world_from_cam, or Lost(FEW_CORRESPONDENCES | NO_CONSENSUS | FEW_INLIERS |
        LOW_INLIER_RATIO | LOW_COVERAGE | DEGENERATE | UNCERTAIN | UNSTABLE | MISCALIBRATED).
    """
    if len(correspondences) < config.min_inliers:
        detail = f"{len(correspondences)} of at least {config.min_inliers}"
        return Lost(Status.FEW_CORRESPONDENCES, detail, Evidence(correspondences))
    config = scale_pixel_bounds(camera, correspondences, config)
    found = find_pose(correspondences, camera, config)
    if found is None:
        return Lost(Status.NO_CONSENSUS, f"{len(correspondences)} correspondences", Evidence(correspondences))
    cam_from_world, fitted = found
    inliers = find_inliers(correspondences, fitted, cam_from_world, config)
    covered = grid_coverage(correspondences.keypoints[inliers], camera)
    evidence = Evidence(correspondences, inliers, covered, cam_from_world=cam_from_world)
    return apply_gates(
        SolvedPose(
            cam_from_world,
            evidence,
            [SeenPoints(correspondences[inliers], cam_from_world)],
            config,
            camera,
            lambda: build_celled_equations(correspondences, fitted, cam_from_world, config),
            lambda: fit_intrinsics(correspondences, camera, fitted, cam_from_world, config),
        )
    )


def find_pose(
    correspondences: Correspondences, camera: Camera, config: PoseConfig
) -> tuple[pycolmap.Rigid3d, Camera] | None:
    """Return the pose by RANSAC and refinement with the camera that goes with it; None without a consensus.

    A distant facade nearly fits poses beside the right one, and repeated structure on it agrees with these: within a
    wide bound such a pose may have more inliers than the right one, and a refinement that starts wide is drawn to it.
    Within a narrow bound it has far fewer. So if the inliers agree badly, a pose is also sought with a narrow bound,
    and taken if it fits clearly better. The same is done whenever the focal length is estimated, since RANSAC's
    estimate of it is too rough to judge the agreement.
    """
    wide = run_ransac(correspondences, camera, config)
    if wide is None:
        return None
    pose, fitted = refine_pose(correspondences, wide.camera, wide.cam_from_world, config)
    agreement = measure_agreement(correspondences, fitted, pose, config)
    if not config.estimate_focal and agreement >= CLOSE_SHARE * wide.inliers:
        return pose, fitted
    narrower = replace(
        config,
        max_reprojection_error_px=max(NARROW_BOUND * config.max_reprojection_error_px, LEAST_BOUND_PX),
        max_trials=min(NARROW_TRIALS, config.max_trials),
    )
    narrow = run_ransac(correspondences, camera, narrower)
    if narrow is None:
        return pose, fitted
    closer, closer_fitted = refine_pose(correspondences, narrow.camera, narrow.cam_from_world, config, WIDENINGS[-1:])
    closer_agreement = measure_agreement(correspondences, closer_fitted, closer, config)
    is_better = closer_agreement > agreement + CLEARLY_STDS * agreement**0.5
    return (closer, closer_fitted) if is_better else (pose, fitted)


class Consensus(NamedTuple):
    """Hold a pose by RANSAC, the camera that goes with it, and the number of inliers."""

    cam_from_world: pycolmap.Rigid3d
    camera: Camera
    inliers: int


def run_ransac(correspondences: Correspondences, camera: Camera, config: PoseConfig) -> Consensus | None:
    """Return the pose with the most inliers; None if there is none."""
    lens = replace(camera).colmap  # a copy: pycolmap writes the focal length into it, if it estimates that
    estimate = pycolmap.estimate_absolute_pose(
        correspondences.keypoints,
        correspondences.points_in_world,
        lens,
        make_ransac_options(config, len(correspondences)),
    )
    if estimate is None or not is_finite(estimate["cam_from_world"]):
        return None
    fitted = replace(camera, params=tuple(lens.params))
    return Consensus(estimate["cam_from_world"], fitted, int(estimate["num_inliers"]))


def build_celled_equations(
    correspondences: Correspondences, camera: Camera, cam_from_world: pycolmap.Rigid3d, config: PoseConfig
) -> tuple[NormalEquations, NDArray]:
    """Return the equations for the pose and the intrinsics, and (N,) the grid cell of each row."""
    equations = build_normal_equations(correspondences, camera, cam_from_world, config, free=ALL_INTRINSICS)
    return equations, grid_cells(correspondences.keypoints[equations.rows], camera)


def find_inliers(
    correspondences: Correspondences, camera: Camera, cam_from_world: pycolmap.Rigid3d, config: PoseConfig
) -> NDArray:
    """Return (N,) bool: which correspondences a pose explains, given a config from `scale_pixel_bounds`."""
    bounds_px = config.max_residual_px * correspondences.stds_px / USUAL_STD_PX
    return np.linalg.norm(residuals_px(correspondences, camera, cam_from_world), axis=1) < bounds_px


def solve_roughly(
    keypoints: NDArray, points_in_world: NDArray, camera: Camera, config: PoseConfig
) -> tuple[pycolmap.Rigid3d, int] | None:
    """Return a pose on which (N, 2) keypoints and (N, 3) points agree, and the number of inliers; None if too few.

    With few trials it finds only poses with a good share of inliers: enough to decide whether a closer look is worth
    its time.
    """
    if len(keypoints) < ROUGH_INLIERS:
        return None
    options = make_ransac_options(replace(config, estimate_focal=False, max_trials=ROUGH_TRIALS), len(keypoints))
    estimate = pycolmap.estimate_absolute_pose(keypoints, points_in_world, replace(camera).colmap, options)
    if estimate is None or estimate["num_inliers"] < ROUGH_INLIERS or not is_finite(estimate["cam_from_world"]):
        return None
    return estimate["cam_from_world"], int(estimate["num_inliers"])


def scale_pixel_bounds(camera: Camera, correspondences: Correspondences, config: PoseConfig) -> PoseConfig:
    """Return `config` with its pixel bounds scaled to the size of this image and the precision of its matches.

    In a small image a pixel is a larger angle, so that the bound for a large image would let wrong matches pass.
    """
    size = min(1.0, max(camera.width, camera.height) / USUAL_SIDE_PX)
    exactness = float(np.median(correspondences.stds_px)) / USUAL_STD_PX
    ransac_px, residual_px = config.max_reprojection_error_px * size * exactness, config.max_residual_px * size
    return replace(
        config,
        max_reprojection_error_px=min(max(ransac_px, LEAST_BOUND_PX), MOST_BOUND_PX),
        max_residual_px=min(max(residual_px, LEAST_BOUND_PX), MOST_BOUND_PX),
    )


def make_ransac_options(config: PoseConfig, count: int) -> pycolmap.AbsolutePoseEstimationOptions:
    """Return pycolmap's options for `count` correspondences, with a seed so that results are reproducible.

    The number of trials suffices for the fewest inliers that the gates accept.
    """
    options = pycolmap.AbsolutePoseEstimationOptions()
    options.estimate_focal_length = config.estimate_focal
    options.ransac.max_error = config.max_reprojection_error_px
    options.ransac.confidence = config.confidence
    least = max(config.min_inlier_ratio, config.min_inliers / count, LEAST_RATIO)
    options.ransac.min_inlier_ratio = min(least, ENOUGH_RATIO)
    options.ransac.dyn_num_trials_multiplier = 1.0  # of 3, its default: 35 poses of the kitchen are the same to 1e-9
    options.ransac.min_num_trials = min(options.ransac.min_num_trials, config.max_trials)  # 100
    options.ransac.max_num_trials = config.max_trials
    options.ransac.random_seed = config.random_seed
    return options
