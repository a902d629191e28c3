"""Solve the pose of a rig: the correspondences of all its cameras, as one generalized camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import INTRINSICS, Camera
from deviloc_ros.config import PoseConfig
from deviloc_ros.geometry import is_finite, perturb_pose, skew
from deviloc_ros.pose.covariance import GRID_CELLS, grid_cells, grid_coverage
from deviloc_ros.pose.gates import SeenPoints, SolvedPose, apply_gates
from deviloc_ros.pose.refinement import (
    ALL_INTRINSICS,
    MAX_CONDITION,
    MAX_REFINEMENTS,
    WIDENINGS,
    NormalEquations,
    build_normal_equations,
    condition_number,
)
from deviloc_ros.pose.solve import find_inliers, make_ransac_options, scale_pixel_bounds
from deviloc_ros.status import Status
from deviloc_ros.types import Correspondences, Evidence, Localized, Lost, Result


@dataclass(frozen=True, slots=True, eq=False)
class CameraSighting:
    """Hold the correspondences of one camera of a rig, and where it is mounted."""

    correspondences: Correspondences
    camera: Camera
    rig_from_cam: pycolmap.Rigid3d

    def cam_from_world(self, rig_from_world: pycolmap.Rigid3d) -> pycolmap.Rigid3d:
        """Return the camera's pose for a pose of the rig."""
        return self.rig_from_cam.inverse() * rig_from_world

    def inliers(self, rig_from_world: pycolmap.Rigid3d, config: PoseConfig) -> NDArray:
        """Return (N,) bool: which correspondences a pose of the rig explains."""
        return find_inliers(
            self.correspondences, self.camera, self.cam_from_world(rig_from_world), self.bounded(config)
        )

    def bounded(self, config: PoseConfig) -> PoseConfig:
        """Return `config` with its pixel bounds scaled to this camera."""
        return scale_pixel_bounds(self.camera, self.correspondences, config) if len(self.correspondences) else config


def solve_rig(sightings: Sequence[CameraSighting], config: PoseConfig, start: pycolmap.Rigid3d | None = None) -> Result:
    """Solve the pose of a rig of one or more cameras, or return why there is none to be trusted.

    Focal lengths are not estimated.

    Args:
        start: rig_from_world by one of the cameras; it is refined, and if that fails RANSAC is run.

    Returns:
        Localized, whose cam_from_world is rig_from_world and whose covariance is that of world_from_rig, or Lost.
    """
    everything = Correspondences.concatenate([s.correspondences for s in sightings])
    if len(everything) < config.min_inliers:
        detail = f"{len(everything)} of at least {config.min_inliers}, of {len(sightings)} cameras"
        return Lost(Status.FEW_CORRESPONDENCES, detail, Evidence(everything))
    if start is not None:
        refined = judge_rig(sightings, refine_rig(sightings, start, config), config)
        if isinstance(refined, Localized):
            return refined
    widest_px = max(seen.bounded(config).max_reprojection_error_px for seen in sightings)
    estimate = pycolmap.estimate_generalized_absolute_pose(
        everything.keypoints,
        everything.points_in_world,
        np.repeat(np.arange(len(sightings)), [len(s.correspondences) for s in sightings]).tolist(),
        [s.rig_from_cam.inverse() for s in sightings],
        [s.camera.colmap for s in sightings],
        make_ransac_options(replace(config, max_reprojection_error_px=widest_px), len(everything)).ransac,
    )
    if estimate is None or not is_finite(estimate["rig_from_world"]):
        return Lost(Status.NO_CONSENSUS, f"{len(everything)} correspondences", Evidence(everything))
    return judge_rig(sightings, refine_rig(sightings, estimate["rig_from_world"], config), config)


def refine_rig(
    sightings: Sequence[CameraSighting], rig_from_world: pycolmap.Rigid3d, config: PoseConfig
) -> pycolmap.Rigid3d:
    """Refine a rig's pose with the correspondences of all cameras, as `refine_pose` does for one camera."""
    points = np.concatenate([seen.correspondences.points_in_world for seen in sightings])
    reach_m = float(np.median(np.linalg.norm(points - rig_from_world.tgt_origin_in_src(), axis=1)))
    units = np.array([reach_m] * 3 + [1.0] * 3)
    for widening, tolerance in WIDENINGS:
        for _ in range(MAX_REFINEMENTS):
            equations, _cells = build_rig_equations(sightings, rig_from_world, config, widening)
            information = equations.newton_information
            if condition_number(information) > MAX_CONDITION:
                break
            step = -np.linalg.solve(information, equations.gradients.sum(0))
            rig_from_world = perturb_pose(step, rig_from_world)
            if np.abs(step / units).max() < tolerance:
                break
    return rig_from_world


def build_rig_equations(
    sightings: Sequence[CameraSighting],
    rig_from_world: pycolmap.Rigid3d,
    config: PoseConfig,
    widening: float = 1,
    *,
    intrinsics: bool = False,
) -> tuple[NormalEquations, NDArray]:
    """Return the equations of all cameras for the motion of the rig, and (N,) the grid cell of each row.

    Rows are those of all correspondences, camera after camera; no two cameras share a cell.

    Args:
        intrinsics: whether the intrinsics of each camera are unknowns, too, camera after camera.
    """
    parts, cells, before = [], [], 0
    for number, seen in enumerate(sightings):
        points = seen.correspondences
        pose = seen.cam_from_world(rig_from_world)
        bounded = seen.bounded(config)
        found = build_normal_equations(
            points, seen.camera, pose, bounded, widening, free=ALL_INTRINSICS if intrinsics else ()
        )
        to_cam = motion_of_camera(seen.rig_from_cam.inverse())
        if intrinsics:
            to_cam = join_intrinsics(to_cam, number, len(sightings))
        cells.append(number * GRID_CELLS + grid_cells(points.keypoints[found.rows], seen.camera))
        parts.append(found.of_motion(to_cam, before))
        before += len(points)
    joined = replace(
        parts[0],
        root=np.concatenate([p.root for p in parts]),
        gradients=np.concatenate([p.gradients for p in parts]),
        rows=np.concatenate([p.rows for p in parts]),
        information=np.sum([p.information for p in parts], axis=0),
        falling=np.sum([p.falling for p in parts], axis=0),
        steepness=float(np.average([p.steepness for p in parts], weights=[len(p.rows) + 1 for p in parts])),
    )
    return joined, np.concatenate(cells)


def motion_of_camera(cam_from_rig: pycolmap.Rigid3d) -> NDArray:
    """Return the (6, 6) matrix from a motion of the rig to that of a camera, as `geometry.perturb_pose` defines it."""
    rotation = cam_from_rig.rotation.matrix()
    motion = np.zeros((6, 6))
    motion[:3, :3] = motion[3:, 3:] = rotation
    motion[:3, 3:] = skew(cam_from_rig.translation) @ rotation
    return motion


def join_intrinsics(to_cam: NDArray, number: int, cameras: int) -> NDArray:
    """Return the (10, 6 + 4 C) matrix from the unknowns of a rig of C cameras to those of one of them."""
    count = len(INTRINSICS)
    joined = np.zeros((6 + count, 6 + count * cameras))
    joined[:6, :6] = to_cam
    joined[6:, 6 + count * number : 6 + count * (number + 1)] = np.eye(count)
    return joined


def judge_rig(sightings: Sequence[CameraSighting], rig_from_world: pycolmap.Rigid3d, config: PoseConfig) -> Result:
    """Return Localized if the pose passes the gates with the evidence of all cameras, else Lost."""
    masks = [s.inliers(rig_from_world, config) for s in sightings]
    covered = [grid_coverage(s.correspondences.keypoints[m], s.camera) for s, m in zip(sightings, masks, strict=True)]
    everything = Correspondences.concatenate([s.correspondences for s in sightings])
    evidence = Evidence(everything, np.concatenate(masks), max(covered), cam_from_world=rig_from_world)
    poses = [seen.cam_from_world(rig_from_world) for seen in sightings]
    inliers = [seen.correspondences[mask] for seen, mask in zip(sightings, masks, strict=True)]
    return apply_gates(
        SolvedPose(
            rig_from_world,
            evidence,
            [SeenPoints(*seen) for seen in zip(inliers, poses, strict=True) if len(seen[0])],
            replace(config, estimate_focal=False),
            sightings[0].camera,
            lambda: build_rig_equations(sightings, rig_from_world, config, intrinsics=True),
            is_of_rig=True,
        )
    )
