"""Build a map from posed images: landmarks, features, every keypoint lifted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import NoneType

import numpy as np

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config
from deviloc_ros.imaging import ImageError, read_gray, to_gray
from deviloc_ros.io.arguments import check_argument
from deviloc_ros.mapping.pose_errors import state_pose_errors
from deviloc_ros.mapping.sensor_correction import fit_depth_correction
from deviloc_ros.mapping.views import BuildReport, ViewMaker, write_shared_files
from deviloc_ros.maps.provenance import BODY, POSE_ERRORS, POSE_FIT
from deviloc_ros.maps.tensors import LARGEST_GRAIN_M, measure_grain
from deviloc_ros.maps.writer import MapWriter
from deviloc_ros.matching.base import Matcher
from deviloc_ros.matching.checks import check_on_image
from deviloc_ros.sampling import thin_evenly
from deviloc_ros.sfm.body_in_view import BodyInView, find_body, hide_cells
from deviloc_ros.sfm.landmarks import find_nearby_pairs, match_nearby, triangulate_landmarks
from deviloc_ros.sfm.map_networks import Networks
from deviloc_ros.sfm.matches import Keypoints, MatchGraph, extract_sift_keypoints, find_keypoints
from deviloc_ros.sfm.pose_fit import PoseFit, measure_pose_fit
from deviloc_ros.sfm.refine import RefinementError, refine_poses
from deviloc_ros.sfm.uncertainty import add_depth_stds
from deviloc_ros.sources.base import (
    PosedImage,
    Skipped,
    Source,
    SourceError,
    check_names,
    count_reasons,
    error_for_none_left,
)
from deviloc_ros.types import Landmarks
from deviloc_ros.workers.base import Serial, Workers

log = logging.getLogger(__name__)
IMAGES_LOOKED_AT, PAIRS_LOOKED_AT = 30, 6  # to find the robot in view, if keypoints are not matched anyway


@dataclass(frozen=True, slots=True, eq=False)
class MapBuilder:
    """Build maps of posed images with one config.

    networks: that make views, with the config that maps are built with. workers: run the work on images and pairs.
    """

    networks: Networks
    workers: Workers

    def build(
        self,
        source: Source,
        output: Path,
        *,
        overwrite: bool = False,
        refine: bool = False,
        graph: MatchGraph | None = None,
        session: str = "",
    ) -> BuildReport:
        """Build a map folder; unusable images are skipped and reported, the folder appears whole or not at all.

        Args:
            source: posed images, with landmarks or without.
            refine: adjust the poses, which are in order of the path, to the images; the report says how that went.
            graph: existing matches, for building several maps from subsets of the same images.
            session: a name for when, or in which light, the images were taken.

        Raises:
            SourceError: two images of one name, or no usable image, or no landmark, is left.
            MapError: `output` exists and `overwrite` is not set.
            WorkError: an image or a pair cannot be worked on.
        """
        networks, workers, notes, warned = self.networks, self.workers, dict(source.notes), set(source.warned)
        # 1. Leave out images that cannot be read, before networks are loaded and a map is begun
        images, skipped = self._select_images(source)
        networks.load_all()
        with MapWriter(output, networks.config, overwrite=overwrite) as writer:
            # 2. Find the robot in view; adjust the poses to the images, or measure how well they fit
            if graph is not None:
                body = graph.body
            elif refine or any(image.landmarks is None for image in images):
                keypoints, body = find_keypoints_and_body(images, networks, workers)
                if refine:
                    images, notes["poses"] = refine_if_possible(images, keypoints, workers)
                else:
                    graph, fit = make_graph_and_judge(images, keypoints, workers)
                    notes[POSE_FIT] = str(fit)
                    warned |= {POSE_FIT} if fit.contradicts else set()
            else:
                body = find_body_in_sample(images, workers)
            if body is not None:
                images, notes[BODY] = hide_body(images, body), str(body)
                warned.add(BODY)
            # 3. Compute landmarks, each with the uncertainty of its depth
            landmarks = collect_landmarks(images, networks, workers, graph)
            # 4. Fit the correction of the sensor's depth
            depth = fit_depth_correction(images, landmarks)
            # 5. Make views: extract features, lift every keypoint and check it against neighbouring views
            views = ViewMaker(writer, networks, workers, session=session).make_views(images, landmarks, depth)
            # 6. Write landmarks, retrieval and manifest, and move the map into place
            write_shared_files(writer, views, networks, notes)
        # 7. Measure the errors of the poses, by localizing some of the map's views from the others
        if said := state_pose_errors(output, networks, workers):
            notes[POSE_ERRORS] = said
            warned.add(POSE_ERRORS)
        return replace(views.to_report(skipped, notes), body=body, warned=frozenset(warned))

    def _select_images(self, source: Source) -> tuple[list[PosedImage], list[Skipped]]:
        """Return the usable images and those left out, with a warning; raise SourceError if none is left."""
        check_names(image.name for image in source.images)
        images, unreadable = split_readable(source.images, self.workers)
        skipped = [*source.skipped, *unreadable]
        if not images:
            raise error_for_none_left(skipped)
        if skipped:
            log.warning("%d images skipped: %s", len(skipped), count_reasons(skipped))
        warn_if_far(images)
        return images, skipped


def build_map(
    source: Source | Sequence[PosedImage],
    output: Path | str,
    config: Config | None = None,
    *,
    overwrite: bool = False,
    quiet: bool = False,
    refine: bool = False,
    matcher: Matcher | None = None,
    session: str = "",
) -> BuildReport:
    """Build a map folder in this process, with the networks that the config names.

    Images that cannot be used are skipped and reported; the folder appears whole or not at all.

    Args:
        source: posed images, with landmarks or without.
        overwrite: replace an existing map.
        quiet: show no progress bars.
        refine: adjust the poses, which are in order of the path, to the images.
        matcher: used instead of the one that the config names; the localizer must be given the same.
        session: a name for when, or in which light, the images were taken.

    Raises:
        SourceError: two images of one name, or no usable image, or no landmark, is left.
        MapError: `output` exists and `overwrite` is not set.
        TypeError: an argument has the wrong type, or the matcher gives invalid results.
    """
    check_argument("config", config, (Config, NoneType))
    source = to_source(source)
    builder = MapBuilder(Networks(config or Config(), matcher), Serial(quiet=quiet))
    if matcher is not None:
        try_matcher(matcher, source.images)
    return builder.build(source, Path(output), overwrite=overwrite, refine=refine, session=session)


def to_source(given: Source | Sequence[PosedImage]) -> Source:
    """Return posed images as a source. Raises TypeError naming an item that is not one."""
    made_by = "pose_photographs and the readers of deviloc_ros.sources make one"
    check_argument("source", given, (Source, list, tuple), made_by)
    source = given if isinstance(given, Source) else Source(list(given), [])
    for image in source.images:
        check_argument("source: an image", image, PosedImage)
    return source


def try_matcher(matcher: Matcher, images: list[PosedImage]) -> None:
    """Raise MatcherError unless a matcher gives valid results for the first readable image."""
    for image in images:
        with suppress(ImageError):
            return check_on_image(matcher, to_gray(read_gray(image.path), image.camera))


def find_keypoints_and_body(
    images: list[PosedImage], networks: Networks, workers: Workers
) -> tuple[Keypoints, BodyInView | None]:
    """Extract the keypoints that `lift.landmark_source` names, and find the robot in view, which is not matched."""
    keypoints = find_keypoints(images, networks, workers)
    return keypoints, find_body(keypoints, images, find_nearby_pairs(images), workers)


def find_body_in_sample(images: list[PosedImage], workers: Workers) -> BodyInView | None:
    """Find the robot in view of images that have landmarks: in a few first, and if it is there, in all."""
    for some in (thin_evenly(images, IMAGES_LOOKED_AT), images):
        keypoints = extract_sift_keypoints(some, workers)
        body = find_body(keypoints, some, find_nearby_pairs(some, PAIRS_LOOKED_AT), workers)
        if body is None or len(some) == len(images):
            return body
    return None


def hide_body(images: list[PosedImage], body: BodyInView) -> list[PosedImage]:
    """Return the images with the robot in view masked, and log a warning about it."""
    log.warning("%s: %s", BODY, body)
    return hide_cells(images, body.hidden)


def refine_if_possible(
    images: list[PosedImage], keypoints: Keypoints, workers: Workers
) -> tuple[list[PosedImage], str]:
    """Return images with refined poses and landmarks, or unchanged if that fails, and the note on the poses."""
    try:
        refined_images, refinement = refine_poses(images, keypoints, workers)
    except RefinementError as error:
        log.warning("the poses stay as given: %s", error)
        return images, f"as given, they could not be refined: {error}"
    return refined_images, str(refinement)


def split_readable(images: list[PosedImage], workers: Workers) -> tuple[list[PosedImage], list[Skipped]]:
    """Separate images whose files decode to the size of their camera from others, which come with a reason."""
    names = [image.name for image in images]
    tasks = ((image.path, image.camera) for image in images)
    problems = list(workers.map(reading_problem, tasks, names, desc="images", unit="image", on_threads=True))
    usable = [image for image, problem in zip(images, problems, strict=True) if not problem]
    return usable, [Skipped(name, problem) for name, problem in zip(names, problems, strict=True) if problem]


def warn_if_far(images: list[PosedImage]) -> None:
    """Warn if the map's coordinates are so large, as in UTM, that single precision costs accuracy."""
    grain_m, words = measure_grain(np.stack([image.cam_from_world.tgt_origin_in_src() for image in images]))
    if grain_m > LARGEST_GRAIN_M:
        log.warning(words)


def reading_problem(path: Path, camera: Camera) -> str:
    """Return why an image cannot be used; empty if it can."""
    try:
        to_gray(read_gray(path), camera)
    except ImageError as error:
        return str(error)
    return ""


def collect_landmarks(
    images: list[PosedImage], networks: Networks, workers: Workers, graph: MatchGraph | None
) -> dict[str, Landmarks]:
    """Return landmarks by image name: the source's own if all images have some, else triangulated ones.

    Raises:
        SourceError: there are no landmarks, and no depth images either.
    """
    if all(image.landmarks is not None for image in images):
        landmarks = {image.name: image.landmarks for image in images if image.landmarks is not None}
    else:
        landmarks = triangulate_landmarks(images, graph or make_graph(images, networks, workers))
    if not any(len(observed) for observed in landmarks.values()) and not any(image.depth for image in images):
        if len(images) < 2:
            raise SourceError(
                f"landmarks are triangulated from two images or more, got {len(images)}; "
                "of a recording, --keyframe-m and --keyframe-deg say how far apart they are taken"
            )
        raise SourceError(
            f"no landmark could be triangulated from {len(images)} images; do they overlap, are poses right?"
        )
    return add_depth_stds(images, landmarks)


def make_graph(images: list[PosedImage], networks: Networks, workers: Workers) -> MatchGraph:
    """Match nearby images with the keypoints that `lift.landmark_source` names."""
    keypoints, body = find_keypoints_and_body(images, networks, workers)
    return replace(match_nearby(keypoints, images, workers), body=body)


def make_graph_and_judge(
    images: list[PosedImage], keypoints: Keypoints, workers: Workers
) -> tuple[MatchGraph, PoseFit]:
    """Match nearby images, and measure how well the poses fit them; warn if they contradict them."""
    graph, fit = match_nearby(keypoints, images, workers), measure_pose_fit(keypoints, images, workers)
    if fit.contradicts:
        log.warning("pose fit: %s", fit)
    return graph, fit
