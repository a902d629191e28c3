"""Posed images -> a map: landmarks, features, every keypoint lifted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
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
from deviloc_ros.maps.depth import DepthOfViews, compared_with_landmarks
from deviloc_ros.maps.global_descriptors import (
    LearnedDescriptor,
    Vlad,
    for_retrieval,
    learned_descriptor,
    training_descriptors,
)
from deviloc_ros.maps.landmarks import match_nearby, triangulate
from deviloc_ros.maps.matches import MatchGraph, find_keypoints
from deviloc_ros.maps.refine import RefinementError, refine_poses
from deviloc_ros.maps.search import Retrieval
from deviloc_ros.maps.sources import PosedImage, Skipped, Source, SourceError
from deviloc_ros.maps.store import Map
from deviloc_ros.maps.writer import MapWriter
from deviloc_ros.matching import create_matcher
from deviloc_ros.matching.base import Matcher
from deviloc_ros.point_inference import PointInference, create_point_inference, lift_and_prepare
from deviloc_ros.types import Features, Landmarks, ReferenceView

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What became of the images. depth: what a sensor gave to them."""

    views: int
    landmarks: int
    landmarks_per_view: float
    lifted_share: float
    skipped: list[Skipped]
    depth: DepthOfViews
    notes: dict[str, str] = field(default_factory=dict)


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
) -> BuildReport:
    """Build a map folder. Unusable images are skipped and reported; the folder appears whole or not at all.

    Args:
        source: posed images, with landmarks or without.
        refine: adjust the poses, which are in order of the way, to what the images show; the report says what it did.
        graph: matches made before, for building several maps from subsets of the same images.
        inference: gives keypoints their depth; by default what `config.lift` says.

    Raises:
        SourceError: no usable image, or no landmark, is left.
        MapError: `output` exists and `overwrite` is not set.
    """
    source = source if isinstance(source, Source) else Source(source, [])
    skipped, notes = list(source.skipped), dict(source.notes)
    images, unreadable = readable_images(source.images)
    skipped += unreadable
    for image in skipped:
        log.warning("skipped %s: %s", image.name, image.why)
    if not images:
        listing = "".join(f"\n  {s.name}: {s.why}" for s in skipped)
        raise SourceError(f"no usable image is left of {len(skipped)}{listing}")
    progress = partial(tqdm, disable=quiet, dynamic_ncols=True)
    matcher, learned = matcher or create_matcher(config.matcher), learned_descriptor(config.retrieval)
    with MapWriter(output, config, overwrite=overwrite) as writer:
        if refine:
            images, notes["poses"] = refined(images, matcher, config, progress)
        landmarks = landmarks_of(images, matcher, config, progress, graph)
        inference = inference or create_point_inference(config.lift)
        depth = compared_with_landmarks(images, landmarks)
        views = make_views(
            writer, images, lambda image, _: landmarks[image.name], matcher, config, progress, inference, depth, learned
        )
        write_all(writer, views, matcher, learned, notes)
    return views.report(skipped, notes)


def refined(
    images: list[PosedImage], matcher: Matcher, config: Config, progress: partial
) -> tuple[list[PosedImage], str]:
    """The images with refined poses and landmarks, or as they are where that fails; and what became of the poses."""
    try:
        refined_images, refinement = refine_poses(images, find_keypoints(images, matcher, config, progress), progress)
    except RefinementError as error:
        log.warning("the poses stay as given: %s", error)
        return images, f"as given, they could not be refined: {error}"
    return refined_images, str(refinement)


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
    if not any(len(observed) for observed in landmarks.values()) and not any(image.depth for image in images):
        raise SourceError(
            f"no landmark could be triangulated from {len(images)} images; do they overlap, are poses right?"
        )
    return landmarks


def make_graph(images: list[PosedImage], matcher: Matcher, config: Config, progress: partial) -> MatchGraph:
    """Matches between nearby images, from the keypoints that `config.lift.landmark_source` names."""
    return match_nearby(find_keypoints(images, matcher, config, progress), images, progress)


@dataclass(slots=True)
class NewViews:
    """Views on their way into a map: each with the landmarks it observes and what its global descriptor is made of.

    learned: global descriptors by a network, if there is one.
    """

    views: list[ReferenceView] = field(default_factory=list)
    observed: list[Landmarks] = field(default_factory=list)
    features: list[Features] = field(default_factory=list)
    learned: list[torch.Tensor] = field(default_factory=list)
    landmark_counts: list[int] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    depth: DepthOfViews = field(default_factory=DepthOfViews)

    def points(self) -> dict[int, NDArray]:
        """Landmarks by id."""
        return {id_: point for o in self.observed for id_, point in zip(o.ids.tolist(), o.points_in_world, strict=True)}

    def described(self, vlad: Vlad | None) -> torch.Tensor:
        """(V, D) global descriptors, the network's if there is no codebook."""
        return torch.stack([vlad.describe(None, f) for f in self.features] if vlad else self.learned)

    def report(self, skipped: list[Skipped], notes: dict[str, str] | None = None) -> BuildReport:
        shares = [float((v.lifted.confidence > 0).mean()) if len(v.features) else 0.0 for v in self.views]
        return BuildReport(
            len(self.views),
            len(self.points()),
            float(np.mean(self.landmark_counts)),
            float(np.mean(shares)),
            skipped + self.skipped,
            self.depth,
            notes or {},
        )


def make_views(
    writer: MapWriter,
    images: list[PosedImage],
    observe: Callable[[PosedImage, Features], Landmarks],
    matcher: Matcher,
    config: Config,
    progress: partial,
    inference: PointInference,
    depth: DepthOfViews,
    learned: LearnedDescriptor | None = None,
    reference_map: Map | None = None,
) -> NewViews:
    """Extract and lift views, and check them against each other and against those that the map has already.

    Args:
        observe: the landmarks that an image with these features observes.

    Raises:
        SourceError: no image has more than `lift.min_landmarks` landmarks.
    """
    new, first, least = NewViews(depth=depth), len(writer.records), config.lift.min_landmarks
    for image in progress(images, desc="views: features and 3D points", unit="view"):
        gray = read_gray(image.path)
        extracted = matcher.extract(gray, keep_dense=True)
        landmarks = observe(image, extracted)
        if least and len(landmarks) <= least:
            why = f"{len(landmarks)} landmarks, more than lift.min_landmarks = {least} are needed"
            new.skipped.append(Skipped(image.name, why))
            continue
        observed = limited(landmarks, config.lift.max_landmarks)
        lifting = depth.beside(image, inference)
        lifted, tower = lift_and_prepare(lifting, extracted, observed, image.camera, image.cam_from_world)
        kept = writer.set_aside(first + len(new.views), replace(extracted, dense=None), tower)
        new.features.append(for_retrieval(extracted))
        if learned is not None:
            new.learned.append(learned.describe(gray, extracted))
        new.landmark_counts.append(len(landmarks))
        new.observed.append(observed)
        new.views.append(ReferenceView(image.name, image.camera, image.cam_from_world, kept, lifted))
    if not new.views:
        raise SourceError(f"none of {len(images)} images has more than lift.min_landmarks = {least} landmarks")
    if config.lift.check_views:
        lifts = check_neighbours(new.views, config.lift, config.retrieval.meters_per_radian, reference_map)
        new.views = [replace(view, lifted=lifted) for view, lifted in zip(new.views, lifts, strict=True)]
    for view, observed in zip(new.views, new.observed, strict=True):
        writer.add_view(view, observed)
    return new


def write_all(
    writer: MapWriter, new: NewViews, matcher: Matcher, learned: LearnedDescriptor | None, notes: dict[str, str]
) -> None:
    """Learn to retrieve the views and write what belongs to the whole map; its provenance holds the notes."""
    vlad = None
    if learned is None:
        vlad = Vlad.learn(training_descriptors((f.descriptors for f in new.features), len(new.features)))
    provenance = {
        "deviloc_ros": __version__,
        "landmarks_per_view": float(np.mean(new.landmark_counts)),
        "weights_id": matcher.weights_id,
        "descriptor_id": learned.identity if learned else "",
        **notes,
    }
    if new.depth.used:
        provenance["depth"] = {"views": new.depth.used, **asdict(new.depth.correction)}
    writer.finish(new.points(), Retrieval.learn(new.described(vlad), vlad), provenance)
