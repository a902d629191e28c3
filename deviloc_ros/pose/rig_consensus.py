"""Localize a rig from the poses of its cameras, so that a camera that is lost or wrong does not spoil the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.config import PoseConfig
from deviloc_ros.geometry import (
    isotropic_covariance,
    move_covariance,
    pose_difference,
    rotation_distance_deg,
    squared_mahalanobis,
    translation_distance_m,
)
from deviloc_ros.pose.distinct_places import are_one_place, place_of
from deviloc_ros.pose.rig import CameraSighting, solve_rig
from deviloc_ros.status import Status
from deviloc_ros.stopwatch import Stopwatch
from deviloc_ros.threads import count_threads
from deviloc_ros.types import Area, CameraReport, Evidence, Localized, Lost, Place, Prior, Result, RigImage

LocalizeOne = Callable[[RigImage, Prior | Area | None], Result]
MAX_MAHALANOBIS = 5.0  # the tracker's default
EXTRINSIC_STD_M, EXTRINSIC_STD_DEG = 0.01, 0.3  # of the mounts of a calibrated rig


def solve_rig_by_consensus(
    images: Sequence[RigImage], prior: Prior | Area | None, localize_one: LocalizeOne, config: PoseConfig
) -> Result:
    """Return the pose of a rig, rig_from_world, from the images that its cameras took at one time.

    Cameras whose own poses agree are solved as one generalized camera, together with those that are lost by themselves
    but whose correspondences that pose explains. A camera that contradicts the majority is left out; without a majority
    there is no pose. `evidence.cameras` has the outcome of each.
    """
    watch = Stopwatch()
    with watch.stage("cameras"):
        results, agrees, rig_from_world = localize_cameras(images, prior, localize_one, config)
    if rig_from_world is None and any(isinstance(result, Localized) for result in results):
        reports = report_cameras(images, results, None, agrees, config)
        said = "; ".join(f"{report.name}: {report.detail}" for report in reports if report.detail)
        whole = collect_evidence(images, results)
        evidence = replace(whole, cameras=reports, places=(), stages_ms=watch.stages_ms)
        return Lost(Status.NO_CONSENSUS, f"the cameras contradict each other: {said}", evidence)
    if rig_from_world is None and (ambiguous := list(filter(is_ambiguous, results))):
        reports = report_cameras(images, results, None, agrees, config)
        evidence = replace(collect_evidence(images, results), cameras=reports, stages_ms=watch.stages_ms)
        return Lost(Status.AMBIGUOUS, str(ambiguous[0]), evidence)
    with watch.stage("rig"):
        sightings = list_sightings(images, results)
        used = [n for n, seen in enumerate(sightings) if len(seen.correspondences) and agrees[n]]
        joint = solve_rig([sightings[n] for n in used], config, rig_from_world)
    pose = joint.cam_from_world if isinstance(joint, Localized) else None
    reports = report_cameras(images, results, pose, agrees, config)
    if isinstance(joint, Localized):
        joint = replace(joint, covariance=joint.covariance + covariance_of_mounts(images, reports))
    whole = collect_evidence(images, results)
    evidence = replace(
        joint.evidence,
        references=whole.references,
        stages_ms=watch.stages_ms,
        in_sight=whole.in_sight,
        everywhere=whole.everywhere,
        cameras=reports,
    )
    place = place_of(replace(joint, evidence=replace(evidence, references=())), config)
    return replace(joint, evidence=replace(evidence, places=(place,) if place else ()))


def covariance_of_mounts(images: Sequence[RigImage], reports: Sequence[CameraReport]) -> NDArray:
    """Return the (6, 6) covariance of a rig's pose due to the standard deviations of its images' mounts.

    Each image's error moves the pose in proportion to its share of the inliers.
    """
    inliers = np.array([report.inliers * report.used for report in reports], float)
    shares = inliers / max(inliers.sum(), 1.0)
    stds = np.array([[image.std_m, image.std_rad] for image in images])
    std_m, std_rad = np.sqrt(((shares[:, None] * stds) ** 2).sum(0))
    return isotropic_covariance(float(std_m), float(std_rad))


def localize_cameras(
    images: Sequence[RigImage], prior: Prior | Area | None, localize_one: LocalizeOne, config: PoseConfig
) -> tuple[list[Result], list[bool], pycolmap.Rigid3d | None]:
    """Return the result of each camera by itself, which of them agree with the majority's pose, and that pose.

    Cameras are localized in parallel as far as there are cores: while RANSAC keeps one busy, the others match. A camera
    that does not agree is localized again near that pose, unless the search was there already: with other references it
    may agree.
    """

    def ask(asked: Sequence[RigImage], near: Prior | Area | None) -> list[Result]:
        return list(_camera_threads().map(lambda image: localize_one(image, move_prior_to_camera(image, near)), asked))

    results = ask(images, prior)
    rig_from_world, agrees = choose_pose(images, results, config)
    if rig_from_world is None:
        return results, agrees, rig_from_world
    was_near = isinstance(prior, Prior) and are_one_place(prior.cam_from_world, rig_from_world)
    numbers = [n for n, result in enumerate(results) if not agrees[n] and (is_ambiguous(result) or not was_near)]
    if not numbers:
        return results, agrees, rig_from_world
    for number, again in zip(numbers, ask([images[n] for n in numbers], Prior(rig_from_world)), strict=True):
        if again.evidence.inliers > results[number].evidence.inliers:
            results[number] = again
    rig_from_world, agrees = choose_pose(images, results, config)
    return results, agrees, rig_from_world


@cache
def _camera_threads() -> ThreadPoolExecutor:
    """Return a pool apart from that of `threads`, whose threads these wait for."""
    return ThreadPoolExecutor(count_threads(), "camera")


def move_prior_to_camera(image: RigImage, prior: Prior | Area | None) -> Prior | Area | None:
    """Return the prior of a camera from that of its rig; an area holds for all cameras."""
    if not isinstance(prior, Prior):
        return prior
    cam_from_rig = image.rig_from_cam.inverse()
    others = tuple(cam_from_rig * rig_from_world for rig_from_world in prior.others)
    return replace(prior, cam_from_world=cam_from_rig * prior.cam_from_world, others=others)


def list_sightings(images: Sequence[RigImage], results: Sequence[Result]) -> list[CameraSighting]:
    """Return the correspondences of each camera with its mount."""
    return [
        CameraSighting(result.evidence.correspondences, image.camera, image.rig_from_cam)
        for image, result in zip(images, results, strict=True)
    ]


def choose_pose(
    images: Sequence[RigImage], results: Sequence[Result], config: PoseConfig
) -> tuple[pycolmap.Rigid3d | None, list[bool]]:
    """Return the rig's pose by the camera with which most others agree, and which cameras agree with it.

    None if no camera has a pose (then all are to be solved together), or if as many contradict as agree.
    """
    opinions = [move_to_rig(image, result) for image, result in zip(images, results, strict=True)]
    if not any(opinions):
        return None, [not is_misleading(result) for result in results]
    sightings = list_sightings(images, results)
    best: tuple[int, int, Localized, list[bool]] | None = None
    for opinion in filter(None, opinions):
        explained = [int(seen.inliers(opinion.cam_from_world, config).sum()) for seen in sightings]
        agrees = [
            are_compatible(own, opinion)
            if own
            else not is_misleading(result) and count >= least_support(result, config)
            for own, result, count in zip(opinions, results, explained, strict=True)
        ]
        sharing = sum(agree for own, agree in zip(opinions, agrees, strict=True) if own)
        if best is None or (sharing, sum(explained)) > best[:2]:
            best = sharing, sum(explained), opinion, agrees
    assert best is not None
    sharing, _, opinion, agrees = best
    contradicted = sum(own is not None for own in opinions) - sharing >= sharing
    return (None if contradicted else opinion.cam_from_world), agrees


def move_to_rig(image: RigImage, result: Result) -> Localized | None:
    """Return the rig's pose and its covariance by one camera alone; None if the camera is lost."""
    if not isinstance(result, Localized):
        return None
    covariance = move_covariance(result.cam_from_world.inverse(), result.covariance, image.rig_from_cam.inverse())
    covariance = covariance + isotropic_covariance(image.std_m, image.std_rad)
    return Localized(image.rig_from_cam * result.cam_from_world, covariance, result.evidence)


def are_compatible(a: Localized, b: Localized) -> bool:
    """Return whether two poses of a rig agree within their covariances and the accuracy of extrinsics."""
    covariance = a.covariance + b.covariance + isotropic_covariance(EXTRINSIC_STD_M, np.deg2rad(EXTRINSIC_STD_DEG))
    apart = pose_difference(a.cam_from_world.inverse(), b.cam_from_world.inverse())
    return squared_mahalanobis(apart, covariance) < MAX_MAHALANOBIS**2


def is_ambiguous(result: Result) -> bool:
    """Return whether a camera is lost because several places look like its image."""
    return isinstance(result, Lost) and result.reason is Status.AMBIGUOUS


def is_misleading(result: Result) -> bool:
    """Return whether a camera's correspondences would bias the rig's pose, since its calibration is wrong."""
    return isinstance(result, Lost) and result.reason is Status.MISCALIBRATED


def least_support(result: Result, config: PoseConfig) -> float:
    """Return how many correspondences of a lost camera the rig's pose must explain for it to agree."""
    return max(1.0, config.min_inlier_ratio * len(result.evidence.correspondences))


def report_cameras(
    images: Sequence[RigImage],
    results: Sequence[Result],
    rig_from_world: pycolmap.Rigid3d | None,
    agrees: Sequence[bool],
    config: PoseConfig,
) -> tuple[CameraReport, ...]:
    """Return the outcome of each camera."""
    reports = []
    for image, result, seen, agree in zip(images, results, list_sightings(images, results), agrees, strict=True):
        inliers = 0 if rig_from_world is None else int(seen.inliers(rig_from_world, config).sum())
        used = agree and rig_from_world is not None
        if isinstance(result, Lost):
            reports.append(
                CameraReport(image.name, result.reason, used, inliers, str(result), evidence=result.evidence)
            )
            continue
        own = image.rig_from_cam * result.cam_from_world
        words = describe_opinion(own, rig_from_world, used)
        reports.append(CameraReport(image.name, Status.ACCEPTED, used, inliers, words, own, result.evidence))
    return tuple(reports)


def describe_opinion(own: pycolmap.Rigid3d, rig_from_world: pycolmap.Rigid3d | None, used: bool) -> str:
    """Say how far the rig's pose by one camera is from that of the rig or, without that, where the camera has it."""
    if rig_from_world is None:
        x, y, z = own.tgt_origin_in_src()
        return f"says that the rig is at {x:.2f}, {y:.2f}, {z:.2f} m"
    apart_deg, apart_m = rotation_distance_deg(own, rig_from_world), translation_distance_m(own, rig_from_world)
    words = f"by itself {apart_m:.3f} m and {apart_deg:.2f} deg from the rig's pose"
    return words if used else f"{words}: is its extrinsic right, and is the image of the same time?"


def collect_evidence(images: Sequence[RigImage], results: Sequence[Result]) -> Evidence:
    """Return the references of all cameras and the places of the least ambiguous one: that with the fewest places."""
    references = tuple(dict.fromkeys(name for result in results for name in result.evidence.references))
    ambiguous = [(image, r.evidence.places) for image, r in zip(images, results, strict=True) if is_ambiguous(r)]
    image, places = min(ambiguous, key=lambda pair: len(pair[1]), default=(images[0], ()))
    return Evidence(
        references=references,
        places=tuple(move_place_to_rig(image, place) for place in places),
        in_sight=any(result.evidence.in_sight for result in results),
        everywhere=any(result.evidence.everywhere for result in results),
    )


def move_place_to_rig(image: RigImage, place: Place) -> Place:
    """Return a camera's place as a place of its rig."""
    covariance = move_covariance(place.cam_from_world.inverse(), place.covariance, image.rig_from_cam.inverse())
    return replace(place, cam_from_world=image.rig_from_cam * place.cam_from_world, covariance=covariance)
