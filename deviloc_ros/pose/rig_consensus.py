"""Localize a rig, each camera by itself first: one that sees nothing, or something wrong, must not spoil the others."""

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
    squared_error_in_stds,
    translation_distance_m,
)
from deviloc_ros.pose.distinct_places import are_one_place, place_of
from deviloc_ros.pose.rig import CameraSighting, solve_rig
from deviloc_ros.status import Status
from deviloc_ros.stopwatch import Stopwatch
from deviloc_ros.threads import count_threads
from deviloc_ros.types import Area, CameraReport, Evidence, Localized, Lost, Place, Prior, Result, RigImage

LocalizeOne = Callable[[RigImage, Prior | Area | None], Result]
MAX_MAHALANOBIS = 5.0  # as the tracker has it
EXTRINSIC_STD_M, EXTRINSIC_STD_DEG = 0.01, 0.3  # of a rig that was calibrated


def localize_rig(
    images: Sequence[RigImage], prior: Prior | Area | None, localize_one: LocalizeOne, config: PoseConfig
) -> Result:
    """Return the pose of a rig, rig_from_world, from the images that its cameras took at one time.

    Cameras whose own poses agree are solved as one generalized camera, together with those that are lost by themselves
    but see what the others' pose explains. A camera that says something else is left out, if most do not say so; where
    as many say one thing as another there is no pose. `evidence.cameras` has what became of each.
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
        sightings = sightings_of(images, results)
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
    """Return (6, 6): what a rig's pose is uncertain by because of where its images were taken from.

    Each image draws the pose after it by its share of the inliers.
    """
    inliers = np.array([report.inliers * report.used for report in reports], float)
    shares = inliers / max(inliers.sum(), 1.0)
    stds = np.array([[image.std_m, image.std_rad] for image in images])
    std_m, std_rad = np.sqrt(((shares[:, None] * stds) ** 2).sum(0))
    return isotropic_covariance(float(std_m), float(std_rad))


def localize_cameras(
    images: Sequence[RigImage], prior: Prior | Area | None, localize_one: LocalizeOne, config: PoseConfig
) -> tuple[list[Result], list[bool], pycolmap.Rigid3d | None]:
    """Return what each camera says by itself, which of them agree with the pose that most share, and that pose.

    Each is asked on a thread of its own, as far as there are cores: while RANSAC keeps one busy, the others match. One
    that does not agree is asked again near that pose, where it was not searched for there: its references were others.
    """

    def ask(asked: Sequence[RigImage], near: Prior | Area | None) -> list[Result]:
        return list(_camera_threads().map(lambda image: localize_one(image, prior_of(image, near)), asked))

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
    """Return threads of their own: those that match are waited for by these."""
    return ThreadPoolExecutor(count_threads(), "camera")


def prior_of(image: RigImage, prior: Prior | Area | None) -> Prior | Area | None:
    """Return where a camera probably is, by where the rig is; an area is that of all of them."""
    if not isinstance(prior, Prior):
        return prior
    cam_from_rig = image.rig_from_cam.inverse()
    others = tuple(cam_from_rig * rig_from_world for rig_from_world in prior.others)
    return replace(prior, cam_from_world=cam_from_rig * prior.cam_from_world, others=others)


def sightings_of(images: Sequence[RigImage], results: Sequence[Result]) -> list[CameraSighting]:
    """Return what each camera sees of the map."""
    return [
        CameraSighting(result.evidence.correspondences, image.camera, image.rig_from_cam)
        for image, result in zip(images, results, strict=True)
    ]


def choose_pose(
    images: Sequence[RigImage], results: Sequence[Result], config: PoseConfig
) -> tuple[pycolmap.Rigid3d | None, list[bool]]:
    """Return the camera's opinion of the rig's pose that most others share, and which cameras agree with it.

    None where no camera has an opinion (then all are to be solved together), or as many contradict it as agree.
    """
    opinions = [move_to_rig(image, result) for image, result in zip(images, results, strict=True)]
    if not any(opinions):
        return None, [not is_misleading(result) for result in results]
    sightings = sightings_of(images, results)
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
    """Return the rig's pose and its covariance by one camera alone; None where that is lost."""
    if not isinstance(result, Localized):
        return None
    covariance = move_covariance(result.cam_from_world.inverse(), result.covariance, image.rig_from_cam.inverse())
    covariance = covariance + isotropic_covariance(image.std_m, image.std_rad)
    return Localized(image.rig_from_cam * result.cam_from_world, covariance, result.evidence)


def are_compatible(a: Localized, b: Localized) -> bool:
    """Return whether two cameras mean one pose, by their covariances and what extrinsics may be off."""
    covariance = a.covariance + b.covariance + isotropic_covariance(EXTRINSIC_STD_M, np.deg2rad(EXTRINSIC_STD_DEG))
    apart = pose_difference(a.cam_from_world.inverse(), b.cam_from_world.inverse())
    return squared_error_in_stds(apart, covariance) < MAX_MAHALANOBIS**2


def is_ambiguous(result: Result) -> bool:
    """Return whether a camera sees what is in several places."""
    return isinstance(result, Lost) and result.reason is Status.AMBIGUOUS


def is_misleading(result: Result) -> bool:
    """Return whether what a camera sees would draw the others' pose away: its calibration is wrong."""
    return isinstance(result, Lost) and result.reason is Status.MISCALIBRATED


def least_support(result: Result, config: PoseConfig) -> float:
    """Return how many correspondences of a camera without an opinion the rig's pose must explain."""
    return max(1.0, config.min_inlier_ratio * len(result.evidence.correspondences))


def report_cameras(
    images: Sequence[RigImage],
    results: Sequence[Result],
    rig_from_world: pycolmap.Rigid3d | None,
    agrees: Sequence[bool],
    config: PoseConfig,
) -> tuple[CameraReport, ...]:
    """Return what became of each camera."""
    reports = []
    for image, result, seen, agree in zip(images, results, sightings_of(images, results), agrees, strict=True):
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
    """Return how far a camera's opinion of the rig's pose is from that of the rig; where there is none, the opinion."""
    if rig_from_world is None:
        x, y, z = own.tgt_origin_in_src()
        return f"says that the rig is at {x:.2f}, {y:.2f}, {z:.2f} m"
    apart_deg, apart_m = rotation_distance_deg(own, rig_from_world), translation_distance_m(own, rig_from_world)
    words = f"by itself {apart_m:.3f} m and {apart_deg:.2f} deg from the rig's pose"
    return words if used else f"{words}: is its extrinsic right, and is the image of the same time?"


def collect_evidence(images: Sequence[RigImage], results: Sequence[Result]) -> Evidence:
    """Return the references of all cameras together, and what they say of places.

    The places are those of the camera that knows best: the one of which fewest are left.
    """
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
    """Return a place of a camera as one of its rig."""
    covariance = move_covariance(place.cam_from_world.inverse(), place.covariance, image.rig_from_cam.inverse())
    return replace(place, cam_from_world=image.rig_from_cam * place.cam_from_world, covariance=covariance)
