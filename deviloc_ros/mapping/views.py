"""Images with landmarks -> the views of a map: features, every keypoint lifted, a global descriptor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from deviloc_ros import __version__
from deviloc_ros.imaging import read_gray
from deviloc_ros.lifting.base import lift_and_prepare
from deviloc_ros.lifting.sensor_depth import Correction, SensorDepth
from deviloc_ros.mapping.neighbour_check import check_neighbours
from deviloc_ros.mapping.sensor_correction import DepthOfViews
from deviloc_ros.maps.retrieval.global_descriptors import Vlad, sample_descriptors, sample_for_retrieval
from deviloc_ros.maps.retrieval.index import Retrieval
from deviloc_ros.maps.store import Map
from deviloc_ros.maps.writer import MapWriter
from deviloc_ros.sfm.map_models import Networks
from deviloc_ros.sources.base import PosedImage, Skipped, SourceError
from deviloc_ros.sources.depth_images import DepthError, points_of
from deviloc_ros.types import Features, Landmarks, ReferenceView
from deviloc_ros.workers.base import Workers

Observe = Callable[[PosedImage, Features, Landmarks], Landmarks]


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


@dataclass(frozen=True, slots=True, eq=False)
class MadeView:
    """What is made of one image.

    view: with the tower, and the landmarks it observes as far as they are kept; landmark_count: of all.
    for_retrieval, learned: what its global descriptor is made of, or the descriptor by a network.
    depth_problem: why its sensor depth was not used, if it has some.
    """

    view: ReferenceView
    landmark_count: int
    for_retrieval: Features
    learned: torch.Tensor | None
    depth_problem: str


def make_views(
    writer: MapWriter,
    images: list[PosedImage],
    landmarks: dict[str, Landmarks],
    networks: Networks,
    depth: DepthOfViews,
    workers: Workers,
    observe: Observe | None = None,
    reference_map: Map | None = None,
) -> NewViews:
    """Extract and lift views, and check them against each other and against those that the map has already.

    Args:
        landmarks: those that each image observes, by its name.
        observe: gives those that it observes once its features are known; by default no others.

    Raises:
        SourceError: no image has more than `lift.min_landmarks` landmarks.
        WorkError: the global descriptor cannot describe an image.
    """
    new, first, config = NewViews(depth=depth), len(writer.records), networks.config
    tasks = ((networks, image, landmarks[image.name], depth.correction, observe) for image in images)
    names = [image.name for image in images]
    all_made = workers.map(make_view, tasks, names, desc="views: features and 3D points", unit="view")
    for image, made in zip(images, all_made, strict=True):
        if isinstance(made, Skipped):
            new.skipped.append(made)
            continue
        view = made.view
        depth.count(image, made.depth_problem)
        kept = writer.write_dense(first + len(new.views), view.features, view.tower)
        new.features.append(made.for_retrieval)
        if made.learned is not None:
            new.learned.append(made.learned)
        new.landmark_counts.append(made.landmark_count)
        new.observed.append(view.landmarks)
        new.views.append(ReferenceView(view.name, view.camera, view.cam_from_world, kept, view.lifted))
    if not new.views:
        least = config.lift.min_landmarks
        raise SourceError(f"none of {len(images)} images has more than lift.min_landmarks = {least} landmarks")
    if config.lift.check_views:
        lifts = check_neighbours(new.views, config.lift, config.retrieval.meters_per_radian, reference_map)
        new.views = [replace(view, lifted=lifted) for view, lifted in zip(new.views, lifts, strict=True)]
    for view, observed in zip(new.views, new.observed, strict=True):
        writer.add_view(view, observed)
    return new


def make_view(
    networks: Networks, image: PosedImage, landmarks: Landmarks, correction: Correction, observe: Observe | None
) -> MadeView | Skipped:
    """One image; skipped if it observes too few landmarks."""
    config = networks.config.lift
    gray = read_gray(image.path)
    extracted = networks.matcher.extract(gray, keep_dense=True)
    if observe is not None:
        landmarks = observe(image, extracted, landmarks)
    if config.min_landmarks and len(landmarks) <= config.min_landmarks:
        why = f"{len(landmarks)} landmarks, more than lift.min_landmarks = {config.min_landmarks} are needed"
        return Skipped(image.name, why)
    observed = limited(landmarks, config.max_landmarks)
    inference, depth_problem = networks.inference, ""
    if image.depth is not None:
        try:
            inference = SensorDepth(inference, points_of(image.depth), correction)
        except DepthError as error:
            depth_problem = str(error)
    lifted, tower = lift_and_prepare(inference, extracted, observed, image.camera, image.cam_from_world)
    learned = networks.learned.describe(gray, extracted) if networks.learned else None
    features = replace(extracted, dense=None)
    view = ReferenceView(image.name, image.camera, image.cam_from_world, features, lifted, observed, tower)
    return MadeView(view, len(landmarks), sample_for_retrieval(extracted), learned, depth_problem)


def limited(landmarks: Landmarks, most: int) -> Landmarks:
    """At most so many (0: all), drawn at random but the same each time."""
    if not most or len(landmarks) <= most:
        return landmarks
    return landmarks[np.sort(np.random.default_rng(0).choice(len(landmarks), most, replace=False))]


def write_all(writer: MapWriter, new: NewViews, networks: Networks, notes: dict[str, str]) -> None:
    """Learn to retrieve the views and write what belongs to the whole map; its provenance holds the notes."""
    vlad, learned = None, networks.learned
    if learned is None:
        vlad = Vlad.learn(sample_descriptors((f.descriptors for f in new.features), len(new.features)))
    provenance = {
        "deviloc_ros": __version__,
        "landmarks_per_view": float(np.mean(new.landmark_counts)),
        "weights_id": networks.matcher.weights_id,
        "descriptor_id": learned.identity if learned else "",
        **notes,
    }
    if new.depth.used:
        provenance["depth"] = {"views": new.depth.used, **asdict(new.depth.correction)}
    writer.finish(new.points(), Retrieval.learn(new.described(vlad), vlad), provenance)
