"""Decide which poses are given: each gate is a reason to withhold one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.config import PoseConfig
from deviloc_ros.geometry import covariance_in_world, isotropic_covariance, largest_std, transform_points
from deviloc_ros.pose.covariance import calibration_covariance, clustered_covariance, largest_shift_m
from deviloc_ros.pose.intrinsics import find_contradiction, refine_as_tolerated
from deviloc_ros.pose.refinement import NormalEquations
from deviloc_ros.pose.reprojection import residuals_px
from deviloc_ros.status import Status
from deviloc_ros.types import Correspondences, Evidence, IntrinsicsFit, Localized, Lost, Result

TRIANGLES, LEAST_SAME_SIDE = 300, 0.5  # near all of them for a right pose, near none for that of a mirrored wall
# Times the agreement of matches with a pose: with a plane it is at most 1.25 of 1100 right poses (kitchens, streets and
# facades, which are planes), and of pictures of the kitchen that hang elsewhere 1.02 to 1.8 and more.
PICTURE_RATIO = 1.3
LEAST_OF_HOMOGRAPHY, HOMOGRAPHIES = 4, 1000


class SeenPoints(NamedTuple):
    """Hold the inliers of one camera and its pose."""

    inliers: Correspondences
    cam_from_world: pycolmap.Rigid3d


@dataclass(eq=False)
class SolvedPose:
    """Hold a pose, of a camera or of a rig, and measure what gates judge it by, each when a gate first asks for it.

    cam_from_world: of a rig, rig_from_world. evidence: what it rests on. seen: by each camera that sees inliers.
    build_equations: gives the equations of the pose and then the intrinsics of each camera, four each, and (N,) the
    grid cell of each row. fit_intrinsics: gives what the image says of a calibration. camera: of that calibration; of
    a rig, its first.
    """

    cam_from_world: pycolmap.Rigid3d
    evidence: Evidence
    seen: Sequence[SeenPoints]
    config: PoseConfig
    camera: Camera
    build_equations: Callable[[], tuple[NormalEquations, NDArray]]
    fit_intrinsics: Callable[[], IntrinsicsFit | None] = lambda: None
    is_of_rig: bool = False

    @property
    def unknowns(self) -> int:
        """Return how many of the unknowns were solved for, the first ones; the others are as calibrations say."""
        return 7 if self.config.estimate_focal else 6

    @cached_property
    def distance_m(self) -> float:
        """Return how far away is what is seen, the median over cameras: what errors of a position compare with."""
        return float(np.median([seen_distance_m(*seen) for seen in self.seen]))

    @cached_property
    def equations(self) -> tuple[NormalEquations, NDArray]:
        """Return the equations with all intrinsics, and (N,) the grid cell of each row."""
        return self.build_equations()

    @cached_property
    def solved(self) -> NormalEquations:
        """Return the equations of what was solved for."""
        return self.equations[0].of_unknowns(np.arange(self.unknowns))

    @cached_property
    def residual_covariance(self) -> NDArray | None:
        """Return (6, 6) the covariance that residuals give the pose, in the world; None: a direction is free."""
        by_residuals = clustered_covariance(self.solved, self.equations[1])
        if by_residuals is None:
            return None
        std_m, std_rad = (
            self.config.min_position_std * self.distance_m,
            math.radians(self.config.min_orientation_std_deg),
        )
        in_world = covariance_in_world(self.cam_from_world, by_residuals[:6, :6])
        return self.config.covariance_scale * in_world + isotropic_covariance(std_m, std_rad)

    @cached_property
    def covariance(self) -> NDArray:
        """Return (6, 6) the covariance of the pose, with those of calibration and map; the residuals must give one."""
        assert self.residual_covariance is not None
        of_calibration = calibration_covariance(self.equations[0].information, self.unknowns, self.config)
        std_rad = math.radians(self.config.map_orientation_std_deg)
        of_map = isotropic_covariance(self.config.map_position_std_m, std_rad)
        return self.residual_covariance + covariance_in_world(self.cam_from_world, of_calibration[:6, :6]) + of_map


def apply_gates(pose: SolvedPose) -> Result:
    """Return Localized if no gate objects, else Lost with the reason of the first that does."""
    if lost := find_objection(pose, GATES_BY_COUNT):
        return lost
    pose.evidence = replace(pose.evidence, intrinsics=pose.fit_intrinsics())
    if lost := find_objection(pose, GATES_BY_PRECISION):
        return lost
    return Localized(pose.cam_from_world, pose.covariance, pose.evidence)


def find_objection(pose: SolvedPose, gates: Sequence[Gate]) -> Lost | None:
    """Return the reason of the first gate that objects to a pose."""
    for gate in gates:
        if objection := gate.object_to(pose):
            return Lost(gate.reason, objection, pose.evidence)
    return None


# ---- gates: each returns in words what speaks against a pose, and nothing if nothing does


def object_to_few_inliers(pose: SolvedPose) -> str:
    """Object to a pose that few correspondences agree on."""
    least = pose.config.min_inliers
    return f"{pose.evidence.inliers} of at least {least}" if pose.evidence.inliers < least else ""


def object_to_low_ratio(pose: SolvedPose) -> str:
    """Object to a pose that most correspondences contradict."""
    ratio, least = pose.evidence.inlier_ratio, pose.config.min_inlier_ratio
    return f"{ratio:.3f} below {least}" if ratio < least else ""


def object_to_low_coverage(pose: SolvedPose) -> str:
    """Object to a pose whose inliers lie in one part of the image."""
    coverage, least = pose.evidence.coverage, pose.config.min_coverage
    return f"{coverage:.2f} below {least}" if coverage < least else ""


def object_to_wrong_side(pose: SolvedPose) -> str:
    """Object to a pose from which what is seen lies the other way round."""
    mirrored = any(same_side_share(*seen) < LEAST_SAME_SIDE for seen in pose.seen)
    return "it sees the points from behind: is the image mirrored?" if mirrored else ""


def object_to_free_direction(pose: SolvedPose) -> str:
    """Object to a pose that residuals do not determine."""
    return "the inliers leave a direction free" if pose.residual_covariance is None else ""


def object_to_uncertainty(pose: SolvedPose) -> str:
    """Object to a position that is less sure than the scene allows, or the application needs."""
    config, std_m = pose.config, largest_std(pose.covariance[:3, :3])
    allowed_m = min(config.max_position_std * pose.distance_m, config.required_position_std_m or math.inf)
    return f"position std {std_m:.3g} m above {allowed_m:.3g} m" if std_m > allowed_m else ""


def object_to_instability(pose: SolvedPose) -> str:
    """Object to a position that one part of the image decides: without it, it moves by more than is unsure."""
    assert pose.residual_covariance is not None
    std_m = largest_std(pose.residual_covariance[:3, :3])
    shift_m = largest_shift_m(pose.solved, pose.equations[1], pose.cam_from_world)
    unstable = shift_m > max(pose.config.max_shift * pose.distance_m, std_m)
    return f"it moves by {shift_m:.3g} m, position std {std_m:.3g} m" if unstable else ""


def object_to_calibration(pose: SolvedPose) -> str:
    """Object to a pose whose image contradicts the calibration beyond doubt."""
    fit = pose.evidence.intrinsics
    if pose.config.estimate_focal or fit is None:
        return ""
    contradiction = find_contradiction(fit, pose.camera, pose.config)
    return f"{contradiction}: is the calibration that of this camera?" if contradiction else ""


def object_to_picture(pose: SolvedPose) -> str:
    """Object to a pose that fits far worse than a flat picture of the place does, which hangs elsewhere."""
    if pose.is_of_rig:  # its cameras were looked at one by one
        return ""
    bound_px = pose.config.max_residual_px
    correspondences = pose.evidence.correspondences
    points = correspondences[correspondences.references == pose.evidence.inlying.main_reference]

    def agree(camera: Camera, cam_from_world: pycolmap.Rigid3d) -> float:
        return sum_agreement(residuals_px(points, camera, cam_from_world), bound_px)

    by_pose = agree(pose.camera, pose.cam_from_world)
    if len(points) <= PICTURE_RATIO * by_pose:
        return ""
    by_picture = agreement_in_picture(points, pose.cam_from_world, pose.camera, bound_px)
    if by_picture > PICTURE_RATIO * by_pose and pose.evidence.intrinsics is not None:
        # a homography makes up for a calibration that is off, too
        tolerated, camera = refine_as_tolerated(pose.evidence.intrinsics, correspondences, pose.camera, pose.config)
        by_pose = max(by_pose, agree(camera, tolerated))
    if by_picture <= PICTURE_RATIO * by_pose:
        return ""
    return f"a flat picture fits {by_picture / max(by_pose, 1.0):.1f} times as well: is a picture of the place in view?"


class Gate(NamedTuple):
    """Hold a reason to withhold a pose, and what says in words why it applies."""

    reason: Status
    object_to: Callable[[SolvedPose], str]


GATES_BY_COUNT = (
    Gate(Status.FEW_INLIERS, object_to_few_inliers),
    Gate(Status.LOW_INLIER_RATIO, object_to_low_ratio),
    Gate(Status.LOW_COVERAGE, object_to_low_coverage),
    Gate(Status.NO_CONSENSUS, object_to_wrong_side),
)
# The first makes sure that the others have a covariance. What a calibration is accused of needs a sure pose.
GATES_BY_PRECISION = (
    Gate(Status.DEGENERATE, object_to_free_direction),
    Gate(Status.UNCERTAIN, object_to_uncertainty),
    Gate(Status.UNSTABLE, object_to_instability),
    Gate(Status.MISCALIBRATED, object_to_calibration),
    Gate(Status.NO_CONSENSUS, object_to_picture),
)


# ---- measures


def seen_distance_m(inliers: Correspondences, cam_from_world: pycolmap.Rigid3d) -> float:
    """Return the median depth [m] of the inliers: the length that errors of a position are compared with."""
    return float(np.median(transform_points(cam_from_world, inliers.points_in_world)[:, 2]))


def same_side_share(inliers: Correspondences, cam_from_world: pycolmap.Rigid3d) -> float:
    """Return the share of triangles of inliers that the camera sees from the side that a reference saw them from.

    The mirror image of a wall fits a camera behind the wall, as exactly as the image fits one before it: from there
    corners follow each other the other way round.
    """
    of_it = inliers[inliers.references == inliers.main_reference]
    corners = np.random.default_rng(0).integers(len(of_it), size=(TRIANGLES, 3))
    points = of_it.points_in_world[corners]
    seen, was_seen = (
        np.linalg.det(points - centre) for centre in (cam_from_world.tgt_origin_in_src(), of_it.origins[0])
    )
    decided = (seen != 0) & (was_seen != 0)
    return float((seen * was_seen > 0)[decided].mean()) if decided.any() else 1.0


def agreement_in_picture(
    points: Correspondences, cam_from_world: pycolmap.Rigid3d, camera: Camera, bound_px: float
) -> float:
    """Return how well matches with one view agree if the image shows a flat picture that was taken from there.

    A picture shows points where the view saw them, moved by a homography, however deep the scene is; a camera elsewhere
    in the scene sees them moved by their depths.
    """
    shown = camera.rays(points.keypoints)[:, :2] * camera.focal_px
    x, y, z = cam_from_world.rotation.matrix() @ (points.points_in_world - points.origins).T  # as the view saw them
    usable = np.isfinite(shown).all(1) & (z > 0)
    if usable.sum() < LEAST_OF_HOMOGRAPHY:
        return 0.0
    pictured, shown = camera.focal_px * np.stack([x, y], 1)[usable] / z[usable, None], shown[usable]
    homography, _ = cv2.findHomography(pictured, shown, cv2.USAC_MAGSAC, bound_px, maxIters=HOMOGRAPHIES)
    if homography is None:
        return 0.0
    return sum_agreement(cv2.perspectiveTransform(pictured[:, None], homography)[:, 0] - shown, bound_px)


def sum_agreement(residuals: NDArray, bound_px: float) -> float:
    """Return how many of (N, 2) px are shorter than a bound, counted less the longer they are (Tukey's weights)."""
    shares = np.minimum(np.linalg.norm(residuals, axis=1) / bound_px, 1.0)
    return float(((1 - shares**2) ** 2).sum())
