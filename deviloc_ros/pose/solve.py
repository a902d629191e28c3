"""Turn correspondences into Localized or Lost by RANSAC, refinement, covariance and gates. Nothing else calls PnP."""

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

USUAL_SIDE_PX = 640  # of images from which on bounds in pixels stay as they are
LEAST_BOUND_PX, MOST_BOUND_PX = 0.5, 50.0  # what the configuration allows
# Of RANSAC's bound, 12 px for matches that are off by 1.7 px. Two images of the rendered court got poses 0.9 and 1.8 m
# off: a quarter of the bound finds the right ones with ten of ten seeds, half of it with four and ten.
NARROW_BOUND = 0.25
LEAST_RATIO, ENOUGH_RATIO = 0.01, 0.25  # of inliers, between which RANSAC expects to find them: 580 trials and more
CLOSE_SHARE = 0.7  # of those below the bound, explained: of right poses .75 to .95, of the one 1.8 m off .53
CLEARLY_STDS = 2.0  # of a count, its root: what is less comes of which points there are; on the court 2.6 and 12
NARROW_TRIALS = 1000  # enough where three in ten matches are right; what fewer agree on stays as it was found

# Of a double 28 of 512 keypoints and more agree on a pose; of another place up to 20 by chance. What has as many is
# looked at closely, no more.
ROUGH_INLIERS, ROUGH_TRIALS = 20, 500


def solve_pnp(correspondences: Correspondences, camera: Camera, config: PoseConfig) -> Result:
    """Solve the pose from 2D-3D correspondences, or say why it is not to be believed.

    Returns:
        Localized with the covariance of world_from_cam, or Lost(FEW_CORRESPONDENCES | NO_CONSENSUS | FEW_INLIERS |
        LOW_INLIER_RATIO | LOW_COVERAGE | DEGENERATE | UNCERTAIN | UNSTABLE | MISCALIBRATED).
    """
    if len(correspondences) < config.min_inliers:
        detail = f"{len(correspondences)} of at least {config.min_inliers}"
        return Lost(Status.FEW_CORRESPONDENCES, detail, Evidence(correspondences))
    config = with_bounds_of(camera, correspondences, config)
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
    """Return the pose by RANSAC and refinement with the camera that goes with it, None without a consensus.

    A front seen from afar nearly fits poses beside the right one, and what is repeated on it agrees with these: below a
    wide bound they may have more residuals than the right one, and a refinement that begins wide is led to them. Below
    a narrow bound they have far fewer. So where that is seen a pose is sought with such a bound, too, and taken if it
    clearly fits better; and where the focal length is estimated, for RANSAC's own is too rough then to tell.
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
    """Hold a pose, the camera that goes with it, and how many correspondences agree on them by a bound in pixels."""

    cam_from_world: pycolmap.Rigid3d
    camera: Camera
    inliers: int


def run_ransac(correspondences: Correspondences, camera: Camera, config: PoseConfig) -> Consensus | None:
    """Return the pose with most residuals below the bound; None if there is none."""
    of_ransac = replace(camera).colmap  # into which it writes the focal length, if it estimates that
    estimate = pycolmap.estimate_absolute_pose(
        correspondences.keypoints,
        correspondences.points_in_world,
        of_ransac,
        ransac_options(config, len(correspondences)),
    )
    if estimate is None or not is_finite(estimate["cam_from_world"]):
        return None
    fitted = replace(camera, params=tuple(of_ransac.params))
    return Consensus(estimate["cam_from_world"], fitted, int(estimate["num_inliers"]))


def build_celled_equations(
    correspondences: Correspondences, camera: Camera, cam_from_world: pycolmap.Rigid3d, config: PoseConfig
) -> tuple[NormalEquations, NDArray]:
    """Return the equations of the pose and the intrinsics, and (N,) the grid cell of each row."""
    equations = build_normal_equations(correspondences, camera, cam_from_world, config, free=ALL_INTRINSICS)
    return equations, grid_cells(correspondences.keypoints[equations.rows], camera)


def find_inliers(
    correspondences: Correspondences, camera: Camera, cam_from_world: pycolmap.Rigid3d, config: PoseConfig
) -> NDArray:
    """Return (N,) bool: which correspondences a pose explains, whose bounds in pixels are those of this image."""
    bounds_px = config.max_residual_px * correspondences.stds_px / USUAL_STD_PX
    return np.linalg.norm(residuals_px(correspondences, camera, cam_from_world), axis=1) < bounds_px


def solve_roughly(
    keypoints: NDArray, points_in_world: NDArray, camera: Camera, config: PoseConfig
) -> tuple[pycolmap.Rigid3d, int] | None:
    """Return a pose that some of (N, 2) keypoints and (N, 3) points agree on, and how many do; None if too few.

    Few trials find it only where a good part is right: enough to see whether a closer look is worth its time.
    """
    if len(keypoints) < ROUGH_INLIERS:
        return None
    options = ransac_options(replace(config, estimate_focal=False, max_trials=ROUGH_TRIALS), len(keypoints))
    estimate = pycolmap.estimate_absolute_pose(keypoints, points_in_world, replace(camera).colmap, options)
    if estimate is None or estimate["num_inliers"] < ROUGH_INLIERS or not is_finite(estimate["cam_from_world"]):
        return None
    return estimate["cam_from_world"], int(estimate["num_inliers"])


def with_bounds_of(camera: Camera, correspondences: Correspondences, config: PoseConfig) -> PoseConfig:
    """Return `config` with its bounds in pixels as this image's size and its matches ask for.

    Half the pixels see half as much: a bound that a large image needs lets a small one pass what is wrong. And matches
    that are more exact than usual need less room.
    """
    size = min(1.0, max(camera.width, camera.height) / USUAL_SIDE_PX)
    exactness = float(np.median(correspondences.stds_px)) / USUAL_STD_PX
    ransac_px, residual_px = config.max_reprojection_error_px * size * exactness, config.max_residual_px * size
    return replace(
        config,
        max_reprojection_error_px=min(max(ransac_px, LEAST_BOUND_PX), MOST_BOUND_PX),
        max_residual_px=min(max(residual_px, LEAST_BOUND_PX), MOST_BOUND_PX),
    )


def ransac_options(config: PoseConfig, count: int) -> pycolmap.AbsolutePoseEstimationOptions:
    """Return pycolmap's options for so many correspondences, with the seed that makes a query give the same pose.

    It tries no longer than it takes to find as many inliers as the gates ask for.
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
