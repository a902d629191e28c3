"""Posed images -> a map: landmarks, features, every keypoint lifted."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config
from deviloc_ros.imaging import ImageError, read_gray, to_gray
from deviloc_ros.lifting.base import PointInference
from deviloc_ros.mapping.sensor_correction import compared_with_landmarks
from deviloc_ros.mapping.views import BuildReport, make_views, write_all
from deviloc_ros.maps.writer import MapWriter
from deviloc_ros.matching.base import Matcher
from deviloc_ros.sfm.landmarks import match_nearby, triangulate
from deviloc_ros.sfm.map_models import Networks
from deviloc_ros.sfm.matches import MatchGraph, find_keypoints
from deviloc_ros.sfm.pose_fit import fit_of_poses
from deviloc_ros.sfm.refine import RefinementError, refine_poses
from deviloc_ros.sfm.uncertainty import with_depth_stds
from deviloc_ros.sources.base import PosedImage, Skipped, Source, SourceError, check_names, none_left
from deviloc_ros.types import Landmarks
from deviloc_ros.workers.base import Serial, Workers

log = logging.getLogger(__name__)
LARGEST_GRAIN_M = 1.5e-3  # of coordinates in single precision; 16 km


def build_map(
    source: Source | list[PosedImage],
    output: Path,
    config: Config,
    *,
    overwrite: bool = False,
    quiet: bool = False,
    refine: bool = False,
    matcher: Matcher | None = None,
    graph: MatchGraph | None = None,
    inference: PointInference | None = None,
    workers: Workers | None = None,
) -> BuildReport:
    """Build a map folder. Unusable images are skipped and reported; the folder appears whole or not at all.

    Args:
        source: posed images, with landmarks or without.
        refine: adjust the poses, which are in order of the way, to what the images show; the report says what it did.
        graph: matches made before, for building several maps from subsets of the same images.
        matcher, inference: in place of what the config says.
        workers: who looks at images and matches them; by default this process, `quiet` or with bars of progress.

    Raises:
        SourceError: two images of one name, or no usable image, or no landmark, is left.
        MapError: `output` exists and `overwrite` is not set.
        WorkError: an image or a pair cannot be worked on.
    """
    workers = workers or Serial(quiet=quiet)
    source = source if isinstance(source, Source) else Source(source, [])
    check_names(image.name for image in source.images)
    skipped, notes = list(source.skipped), dict(source.notes)
    images, unreadable = readable_images(source.images, workers)
    skipped += unreadable
    for image in skipped:
        log.warning("skipped %s: %s", image.name, image.why)
    if not images:
        raise none_left(skipped)
    warn_if_far(images)
    networks = Networks(config, matcher, inference).load()
    with MapWriter(output, config, overwrite=overwrite) as writer:
        if refine:
            images, notes["poses"] = refined(images, networks, workers)
        elif graph is None and any(image.landmarks is None for image in images):
            graph, notes["pose fit"] = make_graph_and_judge(images, networks, workers)
        landmarks = landmarks_of(images, networks, workers, graph)
        depth = compared_with_landmarks(images, landmarks)
        views = make_views(writer, images, landmarks, networks, depth, workers)
        write_all(writer, views, networks, notes)
    return views.report(skipped, notes)


def refined(images: list[PosedImage], networks: Networks, workers: Workers) -> tuple[list[PosedImage], str]:
    """The images with refined poses and landmarks, or as they are where that fails; and what became of the poses."""
    try:
        refined_images, refinement = refine_poses(images, find_keypoints(images, networks, workers), workers)
    except RefinementError as error:
        log.warning("the poses stay as given: %s", error)
        return images, f"as given, they could not be refined: {error}"
    return refined_images, str(refinement)


def readable_images(images: list[PosedImage], workers: Workers) -> tuple[list[PosedImage], list[Skipped]]:
    """Those whose file decodes to the size their camera states, and the others with the reason."""
    names = [image.name for image in images]
    tasks = ((image.path, image.camera) for image in images)
    problems = list(workers.map(unreadable, tasks, names, desc="images", unit="image"))
    usable = [image for image, problem in zip(images, problems, strict=True) if not problem]
    return usable, [Skipped(name, problem) for name, problem in zip(names, problems, strict=True) if problem]


def warn_if_far(images: list[PosedImage]) -> None:
    """A word where the map's coordinates are so large, as UTM's are, that single precision costs accuracy."""
    farthest_m = max(float(np.linalg.norm(image.cam_from_world.tgt_origin_in_src())) for image in images)
    grain_m = float(np.spacing(np.float32(farthest_m)))
    if grain_m > LARGEST_GRAIN_M:
        what = (
            "the map lies %.0f km from its origin, where points are stored to %.3f m; subtract an offset from all poses"
        )
        log.warning(what, farthest_m / 1000, grain_m)


def unreadable(path: Path, camera: Camera) -> str:
    """Why an image cannot be used; empty if it can."""
    try:
        to_gray(read_gray(path), camera)
    except ImageError as error:
        return str(error)
    return ""


def landmarks_of(
    images: list[PosedImage], networks: Networks, workers: Workers, graph: MatchGraph | None
) -> dict[str, Landmarks]:
    """Landmarks by image name: the source's own where all images have some, else triangulated."""
    if all(image.landmarks is not None for image in images):
        landmarks = {image.name: image.landmarks for image in images if image.landmarks is not None}
    else:
        landmarks = triangulate(images, graph or make_graph(images, networks, workers))
    if not any(len(observed) for observed in landmarks.values()) and not any(image.depth for image in images):
        raise SourceError(
            f"no landmark could be triangulated from {len(images)} images; do they overlap, are poses right?"
        )
    return with_depth_stds(images, landmarks)


def make_graph(images: list[PosedImage], networks: Networks, workers: Workers) -> MatchGraph:
    """Matches between nearby images, from the keypoints that `lift.landmark_source` names."""
    return match_nearby(find_keypoints(images, networks, workers), images, workers)


def make_graph_and_judge(images: list[PosedImage], networks: Networks, workers: Workers) -> tuple[MatchGraph, str]:
    """The same, and how well the poses fit the images; a warning if they contradict them."""
    keypoints = find_keypoints(images, networks, workers)
    graph, fit = match_nearby(keypoints, images, workers), fit_of_poses(keypoints, images, workers)
    if fit.contradicts:
        log.warning("pose fit: %s", fit)
    return graph, str(fit)
