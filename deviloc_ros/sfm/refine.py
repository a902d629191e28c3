"""Refine poses from odometry by bundle adjustment, keeping odometry's scale and frame.

Odometry is accurate between successive views but bends over the path. So matches are verified without it. Landmarks are
triangulated with an error bound that is large at first, as the bend requires, and shrinks as the poses improve; poses
are adjusted freely. What images cannot determine comes from odometry: the scale from all its distances, and the frame
from the first views of the path (`similarity.align_to_odometry`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pycolmap
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from deviloc_ros.geometry import translation_distance_m
from deviloc_ros.maps.alignment.similarity import align_to_odometry, move_pose, travelled_distances_m
from deviloc_ros.sfm.adjust import adjust_bundle
from deviloc_ros.sfm.landmarks import find_nearby_pairs, match_nearby, triangulate_landmarks, triangulate_model
from deviloc_ros.sfm.matches import Keypoints, MatchGraph, find_lookalike_pairs, keep_verified, match_pairs
from deviloc_ros.sources.base import PosedImage, SourceError
from deviloc_ros.workers.base import Workers

LOOKALIKES_PER_VIEW = 10
ERRORS_ALLOWED_PX = (40.0, 12.0, 4.0)  # reprojection errors of landmarks, per round
LOSS_SHARE = 0.25  # scale of the robust loss, as a share of the allowed error
MIN_LANDMARKS = 15  # a view that sees fewer is not determined by them
MIN_VIEWS = 3
STEP_OFF_M, STEP_OFF_SHARE = 0.1, 0.2  # allowed change of the step between two views: absolute, and per length


class RefinementError(SourceError):
    """Raise when poses cannot be refined; the message says why."""


@dataclass(frozen=True, slots=True)
class Refinement:
    """Hold the outcome of a refinement, with the reprojection errors of landmarks before and after.

    carried: views that the images do not determine; they move with the nearest view on the path that is determined.
    contradicted: views whose step from the one before differs from odometry's far beyond any drift.
    """

    views: int
    carried: tuple[str, ...]
    landmarks: int
    error_before_px: float
    error_after_px: float
    moved_median_m: float
    moved_most_m: float
    contradicted: tuple[str, ...] = ()

    def __str__(self) -> str:
        words = (
            f"{self.views - len(self.carried)} of {self.views} refined over {self.landmarks} landmarks, "
            f"mean reprojection error {self.error_before_px:.2f} -> {self.error_after_px:.2f} px, "
            f"moved by {100 * self.moved_median_m:.1f} cm (median), {100 * self.moved_most_m:.1f} cm (most)"
        )
        if self.carried:
            words += f"; with too few matches, moved with their neighbours only: {', '.join(self.carried)}"
        if self.contradicted:
            words += f"; against the given poses, look whether two places are alike: {', '.join(self.contradicted)}"
        return words


def refine_poses(
    images: list[PosedImage], keypoints: Keypoints, workers: Workers
) -> tuple[list[PosedImage], Refinement]:
    """Refine the poses of images in order of the path; return the images with landmarks that fit these poses.

    Raises:
        RefinementError: too few images share matches, or the camera does not move.
    """
    pairs = {*find_nearby_pairs(images), *find_lookalike_pairs(keypoints, LOOKALIKES_PER_VIEW)}
    graph = match_pairs(keypoints, images, sorted(pairs), keep_verified, workers)
    linked = select_largest_group(images, graph)
    if len(linked) < MIN_VIEWS:
        raise RefinementError(
            f"{MIN_VIEWS} views linked by matches are needed, there are {len(linked)} of {len(images)}; "
            "do the images overlap?"
        )
    model, error_before_px = adjust_in_rounds(linked, graph, workers)
    held = {i.name: i.cam_from_world() for i in model.images.values() if i.num_points3D >= MIN_LANDMARKS}
    if len(held) < MIN_VIEWS:
        raise RefinementError(
            f"{MIN_VIEWS} views that see {MIN_LANDMARKS} landmarks are needed, there are {len(held)} of {len(images)}"
        )
    refined = move_to_odometry_frame(images, held)
    moved_m = [translation_distance_m(a.cam_from_world, b.cam_from_world) for a, b in zip(images, refined, strict=True)]
    report = Refinement(
        len(images),
        tuple(image.name for image in images if image.name not in held),
        model.num_points3D(),
        error_before_px,
        model.compute_mean_reprojection_error(),
        float(np.median(moved_m)),
        float(np.max(moved_m)),
        find_contradicted(images, refined),
    )
    landmarks = triangulate_landmarks(refined, match_nearby(keypoints, refined, workers))
    return [replace(image, landmarks=landmarks[image.name]) for image in refined], report


def find_contradicted(images: list[PosedImage], refined: list[PosedImage]) -> tuple[str, ...]:
    """Return the views whose refined step from the one before differs from the given one by more than drift."""
    names = []
    steps_m = np.diff(travelled_distances_m([image.cam_from_world for image in images]))
    for step_m, given, new in zip(steps_m, pairwise(images), pairwise(refined), strict=True):
        steps = [(b.cam_from_world * a.cam_from_world.inverse()).tgt_origin_in_src() for a, b in (given, new)]
        if np.linalg.norm(steps[1] - steps[0]) > STEP_OFF_M + STEP_OFF_SHARE * step_m:
            names.append(given[1].name)
    return tuple(names)


def select_largest_group(images: list[PosedImage], graph: MatchGraph) -> list[PosedImage]:
    """Return the largest set of images that are connected by verified matches, in their order."""
    numbers = {image.name: number for number, image in enumerate(images)}
    edges = [(numbers[a], numbers[b]) for (a, b), rows in graph.matches.items() if len(rows)]
    if not edges:
        return images[:1]
    first, second = np.array(edges).T
    links = coo_matrix((np.ones(len(edges)), (first, second)), (len(images), len(images)))
    _, group_of = connected_components(links, directed=False)
    return [images[number] for number in np.flatnonzero(group_of == np.bincount(group_of).argmax())]


def adjust_in_rounds(
    images: list[PosedImage], graph: MatchGraph, workers: Workers
) -> tuple[pycolmap.Reconstruction, float]:
    """Adjust poses in an arbitrary frame and scale; return the model and the mean error by the given poses [px]."""
    errors_px = []
    for allowed_px in workers.progress(ERRORS_ALLOWED_PX, desc="refine poses", unit="round"):
        model = triangulate_model(images, graph, allowed_px)
        errors_px.append(model.compute_mean_reprojection_error())
        adjust_bundle(model, LOSS_SHARE * allowed_px)
        poses = {image.name: image.cam_from_world() for image in model.images.values()}
        images = [replace(image, cam_from_world=poses[image.name]) for image in images]
    return model, errors_px[0]


def move_to_odometry_frame(images: list[PosedImage], held: dict[str, pycolmap.Rigid3d]) -> list[PosedImage]:
    """Return the images with refined poses; undetermined ones move with the nearest determined one on the path.

    Args:
        held: adjusted poses by image name, in an arbitrary frame.

    Raises:
        RefinementError: the camera does not move.
    """
    travelled_m = travelled_distances_m([image.cam_from_world for image in images])
    numbers = np.array([number for number, image in enumerate(images) if image.name in held])
    odometry = [images[number].cam_from_world for number in numbers]
    try:
        odom_from_model = align_to_odometry(odometry, [held[images[n].name] for n in numbers], travelled_m[numbers])
    except ValueError as error:
        raise RefinementError(str(error)) from error
    refined = []
    for number, image in enumerate(images):
        nearest = images[numbers[np.abs(travelled_m[numbers] - travelled_m[number]).argmin()]]
        cam_from_nearest = image.cam_from_world * nearest.cam_from_world.inverse()
        cam_from_world = cam_from_nearest * move_pose(odom_from_model, held[nearest.name])
        refined.append(replace(image, cam_from_world=cam_from_world))
    return refined
