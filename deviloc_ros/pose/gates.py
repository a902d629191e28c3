"""Decide whether a solved pose is given: each gate is a reason to withhold it."""

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

TRIANGLES, LEAST_SAME_SIDE = 300, 0.5  # of triangles: nearly all for a right pose, nearly none for a mirrored wall
# Agreement of matches with a plane relative to that with a pose: at most 1.25 for 1100 right poses (also in front of
# facades, which are planes), 1.02 to 1.8 and more for pictures of a place that hang elsewhere.
PICTURE_RATIO = 1.3
LEAST_OF_HOMOGRAPHY, HOMOGRAPHIES = 4, 1000


class SeenPoints(NamedTuple):
    """Hold the inliers of one camera and its pose."""

    inliers: Correspondences
    cam_from_world: pycolmap.Rigid3d


@dataclass(eq=False)
class SolvedPose:
    """Hold the pose of a camera or of a rig, and compute what gates judge it by, each when a gate first asks for it.

    cam_from_world: for a rig, rig_from_world. seen: one for each camera that sees inliers. camera: the calibration; for
    a rig, that of its first camera. build_equations: returns the equations of the pose followed by the four intrinsics
    of each camera, and (N,) the grid cell of each row. fit_intrinsics: returns what the image tells about the
    calibration.
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
        """Return how many unknowns, the first ones, were solved for; the others are taken from calibrations."""
        return 7 if self.config.estimate_focal else 6

    @cached_property
    def distance_m(self) -> float:
        """Return the distance of what is seen, the median over cameras: the scale of position errors."""
        return float(np.median([seen_distance_m(*seen) for seen in self.seen]))

    @cached_property
    def equations(self) -> tuple[NormalEquations, NDArray]:
        """Return the equations with all intrinsics, and (N,) the grid cell of each row."""
        return self.build_equations()

    @cached_property
    def solved(self) -> NormalEquations:
        """Return the equations for the unknowns that were solved for."""
        return self.equations[0].of_unknowns(np.arange(self.unknowns))

    @cached_property
    def residual_covariance(self) -> NDArray | None:
        """Return the (6, 6) covariance in world by the residuals alone; None if they leave a direction free."""
        by_residuals = clustered_covariance(self.solved, self.equations[1])
        if by_residuals is None:
            return None
        std_m = self.config.min_position_std * self.distance_m
        std_rad = math.radians(self.config.min_orientation_std_deg)
        in_world = covariance_in_world(self.cam_from_world, by_residuals[:6, :6])
        return self.config.covariance_scale * in_world + isotropic_covariance(std_m, std_rad)

    @cached_property
    def covariance(self) -> NDArray:
        """Return the (6, 6) covariance in world with those of calibration and map; no direction may be free."""
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


# ---- gates: each returns its objection to a pose in words, or an empty string


def object_to_few_inliers(pose: SolvedPose) -> str:
    """Object to a pose that few correspondences agree on."""
    least = pose.config.min_inliers
    return f"{pose.evidence.inliers} of at least {least}" if pose.evidence.inliers < least else ""


def object_to_low_ratio(pose: SolvedPose) -> str:
    """Object to a pose with a low share of inliers."""
    ratio, least = pose.evidence.inlier_ratio, pose.config.min_inlier_ratio
    return f"{ratio:.3f} below {least}" if ratio < least else ""


def object_to_low_coverage(pose: SolvedPose) -> str:
    """Object to a pose whose inliers lie in a small part of the image."""
    coverage, least = pose.evidence.coverage, pose.config.min_coverage
    return f"{coverage:.2f} below {least}" if coverage < least else ""


def object_to_wrong_side(pose: SolvedPose) -> str:
    """Object to a pose that sees the points from behind, which a mirrored image fits."""
    mirrored = any(same_side_share(*seen) < LEAST_SAME_SIDE for seen in pose.seen)
    return "it sees the points from behind: is the image mirrored?" if mirrored else ""


def object_to_free_direction(pose: SolvedPose) -> str:
    """Object to a pose that its residuals do not determine."""
    return "the inliers leave a direction free" if pose.residual_covariance is None else ""


def object_to_uncertainty(pose: SolvedPose) -> str:
    """Object to a position that is too uncertain for the scene's distance, or for the application."""
    config, std_m = pose.config, largest_std(pose.covariance[:3, :3])
    allowed_m = min(config.max_position_std * pose.distance_m, config.required_position_std_m or math.inf)
    return f"position std {std_m:.3g} m above {allowed_m:.3g} m" if std_m > allowed_m else ""


def object_to_instability(pose: SolvedPose) -> str:
    """Object to a position that depends on one part of the image: without it, the position moves too far."""
    assert pose.residual_covariance is not None
    std_m = largest_std(pose.residual_covariance[:3, :3])
    shift_m = largest_shift_m(pose.solved, pose.equations[1], pose.cam_from_world)
    unstable = shift_m > max(pose.config.max_shift * pose.distance_m, std_m)
    return f"it moves by {shift_m:.3g} m, position std {std_m:.3g} m" if unstable else ""


def object_to_calibration(pose: SolvedPose) -> str:
    """Object to a pose whose image clearly contradicts the calibration."""
    fit = pose.evidence.intrinsics
    if pose.config.estimate_focal or fit is None:
        return ""
    contradiction = find_contradiction(fit, pose.camera, pose.config)
    return f"{contradiction}: is the calibration that of this camera?" if contradiction else ""


def object_to_picture(pose: SolvedPose) -> str:
    """Object to a pose that explains the matches far worse than a flat picture of the place does."""
    if pose.is_of_rig:  # its cameras were judged one by one
        return ""
    bound_px = pose.config.max_residual_px
    correspondences = pose.evidence.correspondences
    points = correspondences[correspondences.references == pose.evidence.inlying.main_reference]

    def agree(camera: Camera, cam_from_world: pycolmap.Rigid3d) -> float:
        return sum_agreement(residuals_px(points, camera, cam_from_world), bound_px)

    by_pose = agree(pose.camera, pose.cam_from_world)
    if len(points) <= PICTURE_RATIO * by_pose:
        return ""
    by_picture = measure_picture_agreement(points, pose.cam_from_world, pose.camera, bound_px)
    if by_picture > PICTURE_RATIO * by_pose and pose.evidence.intrinsics is not None:
        # a homography can also compensate a wrong calibration: let the pose do the same
        tolerated, camera = refine_as_tolerated(pose.evidence.intrinsics, correspondences, pose.camera, pose.config)
        by_pose = max(by_pose, agree(camera, tolerated))
    if by_picture <= PICTURE_RATIO * by_pose:
        return ""
    return f"a flat picture fits {by_picture / max(by_pose, 1.0):.1f} times as well: is a picture of the place in view?"


class Gate(NamedTuple):
    """Pair a reason to withhold a pose with the function that objects in words, or returns an empty string."""

    reason: Status
    object_to: Callable[[SolvedPose], str]


GATES_BY_COUNT = (
    Gate(Status.FEW_INLIERS, object_to_few_inliers),
    Gate(Status.LOW_INLIER_RATIO, object_to_low_ratio),
    Gate(Status.LOW_COVERAGE, object_to_low_coverage),
    Gate(Status.NO_CONSENSUS, object_to_wrong_side),
)
# The first ensures that the others have a covariance. Only a precise pose can accuse a calibration.
GATES_BY_PRECISION = (
    Gate(Status.DEGENERATE, object_to_free_direction),
    Gate(Status.UNCERTAIN, object_to_uncertainty),
    Gate(Status.UNSTABLE, object_to_instability),
    Gate(Status.MISCALIBRATED, object_to_calibration),
    Gate(Status.NO_CONSENSUS, object_to_picture),
)


# ---- measures


def seen_distance_m(inliers: Correspondences, cam_from_world: pycolmap.Rigid3d) -> float:
    """Return the median depth [m] of the inliers: the scale of position errors."""
    return float(np.median(transform_points(cam_from_world, inliers.points_in_world)[:, 2]))


def same_side_share(inliers: Correspondences, cam_from_world: pycolmap.Rigid3d) -> float:
    """Return the share of triangles of inliers that the camera sees from the same side as the reference did.

    The mirror image of a wall fits a camera behind the wall exactly as well as the image fits one in front of it. From
    behind, a triangle's corners appear in the opposite order.
    """
    shared = inliers[inliers.references == inliers.main_reference]
    corners = np.random.default_rng(0).integers(len(shared), size=(TRIANGLES, 3))
    triangles = shared.points_in_world[corners]
    by_query = np.linalg.det(triangles - cam_from_world.tgt_origin_in_src())
    by_reference = np.linalg.det(triangles - shared.origins[0])
    decided = (by_query != 0) & (by_reference != 0)
    return float((by_query * by_reference > 0)[decided].mean()) if decided.any() else 1.0


def measure_picture_agreement(
    points: Correspondences, cam_from_world: pycolmap.Rigid3d, camera: Camera, bound_px: float
) -> float:
    """Return how well matches with one view agree if the image shows a flat picture taken from that view.

    A picture shows points where the view saw them, mapped by a homography, whatever their depths; to a camera elsewhere
    in the scene they have parallax.
    """
    shown = camera.rays(points.keypoints)[:, :2] * camera.focal_px
    x, y, z = cam_from_world.rotation.matrix() @ (points.points_in_world - points.origins).T  # from the view's centre
    usable = np.isfinite(shown).all(1) & (z > 0)
    if usable.sum() < LEAST_OF_HOMOGRAPHY:
        return 0.0
    pictured, shown = camera.focal_px * np.stack([x, y], 1)[usable] / z[usable, None], shown[usable]
    homography, _ = cv2.findHomography(pictured, shown, cv2.USAC_MAGSAC, bound_px, maxIters=HOMOGRAPHIES)
    if homography is None:
        return 0.0
    return sum_agreement(cv2.perspectiveTransform(pictured[:, None], homography)[:, 0] - shown, bound_px)


def sum_agreement(residuals: NDArray, bound_px: float) -> float:
    """Return how many of (N, 2) px residuals are shorter than a bound, each with Tukey's biweight."""
    shares = np.minimum(np.linalg.norm(residuals, axis=1) / bound_px, 1.0)
    return float(((1 - shares**2) ** 2).sum())
