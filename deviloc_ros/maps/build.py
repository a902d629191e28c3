"""Posed images -> a map: landmarks, features, every keypoint lifted."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from deviloc_ros import __version__
from deviloc_ros.config import Config
from deviloc_ros.imaging import ImageError, read_gray, to_gray
from deviloc_ros.maps.consistency import check_neighbours
from deviloc_ros.maps.landmarks import MatchGraph, match_sift, match_with, triangulate
from deviloc_ros.maps.retrieval import TRAINING_DESCRIPTORS, Vlad, for_retrieval
from deviloc_ros.maps.sources import PosedImage, Skipped, Source, SourceError
from deviloc_ros.maps.store import MapWriter
from deviloc_ros.matching import create_matcher
from deviloc_ros.matching.base import Matcher
from deviloc_ros.point_inference import PointInference, create_point_inference, lift_and_prepare
from deviloc_ros.types import Features, Landmarks, ReferenceView

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What became of the images."""

    views: int
    landmarks: int
    landmarks_per_view: float
    lifted_share: float
    skipped: list[Skipped]


def build_map(
    source: Source | list[PosedImage],
    output: Path,
    config: Config,
    *,
    overwrite: bool = False,
    quiet: bool = False,
    matcher: Matcher | None = None,
    graph: MatchGraph | None = None,
    inference: PointInference | None = None,
) -> BuildReport:
    """Build a map folder. Unusable images are skipped and reported; the folder appears whole or not at all.

    Args:
        source: posed images, with landmarks or without.
        graph: matches made before, for building several maps from subsets of the same images.
        inference: gives keypoints their depth; by default what `config.lift` says.

    Raises:
        SourceError: no usable image, or no landmark, is left.
        MapError: `output` exists and `overwrite` is not set.
    """
    images, skipped = (source.images, list(source.skipped)) if isinstance(source, Source) else (source, [])
    images, unreadable = readable_images(images)
    skipped += unreadable
    for image in skipped:
        log.warning("skipped %s: %s", image.name, image.why)
    if not images:
        listing = "".join(f"\n  {s.name}: {s.why}" for s in skipped)
        raise SourceError(f"no usable image is left of {len(skipped)}{listing}")
    progress = partial(tqdm, disable=quiet, dynamic_ncols=True)
    matcher = matcher or create_matcher(config.matcher)
    with MapWriter(output, config, overwrite=overwrite) as writer:
        landmarks = landmarks_of(images, matcher, config, progress, graph)
        images, poor = rich_images(images, landmarks, config)
        skipped += poor
        inference = inference or create_point_inference(config.lift)
        report = write_views(writer, images, landmarks, matcher, config, progress, inference)
    return replace(report, skipped=skipped)


def readable_images(images: Iterable[PosedImage]) -> tuple[list[PosedImage], list[Skipped]]:
    """Those whose file decodes to the size their camera states, and the others with the reason."""
    usable, skipped = [], []
    for image in images:
        try:
            to_gray(read_gray(image.path), image.camera)
            usable.append(image)
        except ImageError as error:
            skipped.append(Skipped(image.name, str(error)))
    return usable, skipped


def rich_images(
    images: list[PosedImage], landmarks: dict[str, Landmarks], config: Config
) -> tuple[list[PosedImage], list[Skipped]]:
    """Those with more landmarks than `lift.min_landmarks`, and the others with the reason."""
    least = config.lift.min_landmarks
    usable, skipped = [], []
    for image in images:
        count = len(landmarks[image.name])
        if least and count <= least:
            skipped.append(Skipped(image.name, f"{count} landmarks, more than lift.min_landmarks = {least} are needed"))
        else:
            usable.append(image)
    if not usable:
        raise SourceError(f"none of {len(images)} images has more than lift.min_landmarks = {least} landmarks")
    return usable, skipped


def limited(landmarks: Landmarks, most: int) -> Landmarks:
    """At most so many (0: all), drawn at random but the same each time."""
    if not most or len(landmarks) <= most:
        return landmarks
    return landmarks[np.sort(np.random.default_rng(0).choice(len(landmarks), most, replace=False))]


def landmarks_of(
    images: list[PosedImage], matcher: Matcher, config: Config, progress: partial, graph: MatchGraph | None
) -> dict[str, Landmarks]:
    """Landmarks by image name: the source's own where all images have some, else triangulated."""
    if all(image.landmarks is not None for image in images):
        landmarks = {image.name: image.landmarks for image in images if image.landmarks is not None}
    else:
        if graph is None:
            graph = make_graph(images, matcher, config, progress)
        landmarks = triangulate(images, graph)
    if not any(len(observed) for observed in landmarks.values()):
        raise SourceError(
            f"no landmark could be triangulated from {len(images)} images; do they overlap, are poses right?"
        )
    return landmarks


def make_graph(images: list[PosedImage], matcher: Matcher, config: Config, progress: partial) -> MatchGraph:
    """Matches between nearby images, from the keypoints that `config.lift.landmark_source` names."""
    if config.lift.landmark_source == "sift":
        return match_sift(images, progress)
    return match_with(matcher, images, progress)


def write_views(
    writer: MapWriter,
    images: list[PosedImage],
    landmarks: dict[str, Landmarks],
    matcher: Matcher,
    config: Config,
    progress: partial,
    inference: PointInference,
) -> BuildReport:
    """Extract and lift the views, check them against each other, store them and what belongs to the whole map."""
    points: dict[int, NDArray] = {}
    observed: dict[str, Landmarks] = {}
    views: list[ReferenceView] = []
    features: list[Features] = []
    for image in progress(images, desc="views: features and 3D points", unit="view"):
        extracted = matcher.extract(read_gray(image.path), keep_dense=True)
        observed[image.name] = limited(landmarks[image.name], config.lift.max_landmarks)
        lifted, tower = lift_and_prepare(inference, extracted, observed[image.name], image.camera, image.cam_from_world)
        features.append(for_retrieval(extracted))
        kept = writer.set_aside(len(views), replace(extracted, dense=None), tower)
        views.append(ReferenceView(image.name, image.camera, image.cam_from_world, kept, lifted))
    if config.lift.check_views:
        lifts = check_neighbours(views, config.lift)
        views = [replace(view, lifted=lifted) for view, lifted in zip(views, lifts, strict=True)]
    for view in views:
        writer.add_view(view, observed[view.name])
        points |= dict(zip(observed[view.name].ids.tolist(), observed[view.name].points_in_world, strict=True))
    lifted_shares = [float((v.lifted.confidence > 0).mean()) if len(v.features) else 0.0 for v in views]
    vlad = Vlad.learn(training_descriptors([f.descriptors for f in features]))
    descriptors = torch.stack([vlad.describe(f) for f in features])
    counts = [len(landmarks[image.name]) for image in images]
    report = BuildReport(len(images), len(points), float(np.mean(counts)), float(np.mean(lifted_shares)), [])
    provenance = {
        "deviloc_ros": __version__,
        "landmarks_per_view": report.landmarks_per_view,
        "weights_id": matcher.weights_id,
    }
    writer.finish(points, vlad, descriptors, provenance)
    return report


def training_descriptors(descriptors: list[torch.Tensor]) -> torch.Tensor:
    """A bounded sample over all views, the most reliable keypoints of each first."""
    per_view = max(1, TRAINING_DESCRIPTORS // len(descriptors))
    return torch.cat([d[:per_view] for d in descriptors])
