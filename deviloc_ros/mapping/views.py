"""Make views from images with landmarks: extract features, lift every keypoint, compute a global descriptor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from deviloc_ros import __version__
from deviloc_ros.imaging import read_gray
from deviloc_ros.lifting.base import lift_and_prepare
from deviloc_ros.lifting.sensor_depth import DepthCorrection, SensorDepth
from deviloc_ros.mapping.neighbour_check import check_neighbours
from deviloc_ros.mapping.sensor_correction import DepthOfViews
from deviloc_ros.maps.provenance import DEPTH, Provenance
from deviloc_ros.maps.retrieval.global_descriptors import Vlad, sample_descriptors, sample_for_retrieval
from deviloc_ros.maps.retrieval.index import Retrieval
from deviloc_ros.maps.store import Map
from deviloc_ros.maps.writer import MapWriter
from deviloc_ros.masks import paint_hidden, read_mask
from deviloc_ros.sfm.body_in_view import BodyInView, is_used
from deviloc_ros.sfm.map_networks import Networks
from deviloc_ros.sources.base import PosedImage, Skipped, SourceError
from deviloc_ros.sources.depth_images import DepthError, read_depth_points
from deviloc_ros.types import Features, Landmarks, ReferenceView
from deviloc_ros.workers.base import Workers


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """Hold what a new image observes of a map: landmarks, and the (N,) epipolar errors [px] with each matched view."""

    landmarks: Landmarks
    errors_px: list[NDArray] = field(default_factory=list)


Observe = Callable[[PosedImage, Features, Landmarks], Observation]


@dataclass(frozen=True, slots=True)
class BuildReport:
    """Report the outcome of building or updating a map.

    depth: how sensor depth was used. body: the robot in view. warned: subjects of the notes that were logged as
    warnings.
    """

    views: int
    landmarks: int
    landmarks_per_view: float
    lifted_share: float
    skipped: list[Skipped]
    depth: DepthOfViews
    notes: dict[str, str] = field(default_factory=dict)
    body: BodyInView | None = None
    warned: frozenset[str] = frozenset()


@dataclass(slots=True)
class NewViews:
    """Collect the views to be written to a map, their landmarks and global descriptors.

    descriptors: global ones by a network, if there is one. errors_px: from `observe`, for all images including skipped
    ones.
    """

    views: list[ReferenceView] = field(default_factory=list)
    observed: list[Landmarks] = field(default_factory=list)
    features: list[Features] = field(default_factory=list)
    descriptors: list[torch.Tensor] = field(default_factory=list)
    landmark_counts: list[int] = field(default_factory=list)
    errors_px: list[NDArray] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    depth: DepthOfViews = field(default_factory=DepthOfViews)

    def append(self, made: MadeView, features: Features) -> None:
        """Append a view; its features stay in memory until it is written."""
        view = made.view
        self.features.append(made.for_retrieval)
        if made.descriptor is not None:
            self.descriptors.append(made.descriptor)
        self.landmark_counts.append(made.landmark_count)
        self.observed.append(view.landmarks)
        self.views.append(ReferenceView(view.name, view.camera, view.cam_from_world, features, view.lifted))

    def points_by_id(self) -> dict[int, NDArray]:
        """Return the position [m, world] of each landmark that a view observes."""
        return {id_: point for o in self.observed for id_, point in zip(o.ids.tolist(), o.points_in_world, strict=True)}

    def describe_all(self, vlad: Vlad | None) -> torch.Tensor:
        """Return (V, D) global descriptors, the network's if there is no codebook."""
        return torch.stack([vlad.describe(None, f) for f in self.features] if vlad else self.descriptors)

    def to_report(self, skipped: list[Skipped], notes: dict[str, str] | None = None) -> BuildReport:
        """Summarize the views for whoever asked for the map."""
        shares = [float((v.lifted.confidence > 0).mean()) if len(v.features) else 0.0 for v in self.views]
        return BuildReport(
            len(self.views),
            len(self.points_by_id()),
            float(np.mean(self.landmark_counts)),
            float(np.mean(shares)),
            skipped + self.skipped,
            self.depth,
            notes or {},
        )


@dataclass(frozen=True, slots=True, eq=False)
class MadeView:
    """Hold the view that was made from one image.

    view: with the tower, and the landmarks that are kept; landmark_count: before some were dropped. for_retrieval,
    descriptor: features for its global descriptor, or the descriptor by a network. errors_px: from `observe`.
    depth_problem: why its sensor depth, if any, was not used.
    """

    view: ReferenceView
    landmark_count: int
    for_retrieval: Features
    descriptor: torch.Tensor | None
    errors_px: list[NDArray]
    depth_problem: str


@dataclass(frozen=True, slots=True, eq=False)
class LeftOut:
    """Hold an image that was left out for lack of landmarks, with the errors from `observe`."""

    image: Skipped
    errors_px: list[NDArray]


@dataclass(frozen=True, slots=True, eq=False)
class ViewMaker:
    """Make views and write them to a map.

    observe: returns what an image with its features observes; default: only its own landmarks. reference_map: the map
    that is extended, against whose views the new ones are checked. session: of the new views.
    """

    writer: MapWriter
    networks: Networks
    workers: Workers
    observe: Observe | None = None
    reference_map: Map | None = None
    session: str = ""

    def make_views(self, images: list[PosedImage], landmarks: dict[str, Landmarks], depth: DepthOfViews) -> NewViews:
        """Extract and lift views, and check them against each other and against the map's existing views.

        Args:
            landmarks: observed by each image, by its name.

        Raises:
            SourceError: no image has more than `lift.min_landmarks` landmarks.
            WorkError: the global descriptor cannot describe an image.
        """
        new, config = NewViews(depth=depth), self.networks.config
        tasks = ((self.networks, image, landmarks[image.name], depth.correction, self.observe) for image in images)
        names = [image.name for image in images]
        all_made = self.workers.map(make_view, tasks, names, desc="views: features and 3D points", unit="view")
        first = len(self.writer.records)
        for image, made in zip(images, all_made, strict=True):
            new.errors_px.extend(made.errors_px)
            if isinstance(made, LeftOut):
                new.skipped.append(made.image)
                continue
            depth.count_image(image, made.depth_problem)
            new.append(made, self.writer.write_dense(first + len(new.views), made.view.features, made.view.tower))
        if not new.views:
            least = config.lift.min_landmarks
            raise SourceError(f"none of {len(images)} images has more than lift.min_landmarks = {least} landmarks")
        if config.lift.check_views:
            lifts = check_neighbours(new.views, config.lift, config.retrieval.meters_per_radian, self.reference_map)
            new.views = [replace(view, lifted=lifted) for view, lifted in zip(new.views, lifts, strict=True)]
        for view, observed in zip(new.views, new.observed, strict=True):
            self.writer.add_view(view, observed, self.session)
        return new


def make_view(
    networks: Networks, image: PosedImage, landmarks: Landmarks, correction: DepthCorrection, observe: Observe | None
) -> MadeView | LeftOut:
    """Make the view of one image, unless it observes too few landmarks."""
    config = networks.config.lift
    gray = read_gray(image.path)
    used = read_mask(image.mask, (image.camera.width, image.camera.height))
    extracted = networks.matcher.extract(gray, keep_dense=True, used=used)
    observation = observe(image, extracted, landmarks) if observe else Observation(landmarks)
    shown = observation.landmarks[is_used(image, observation.landmarks.keypoints)]
    found = len(shown)
    if config.min_landmarks and found <= config.min_landmarks:
        why = f"{found} landmarks, more than lift.min_landmarks = {config.min_landmarks} are needed"
        return LeftOut(Skipped(image.name, why), observation.errors_px)
    observed = sample_landmarks(shown, config.max_landmarks)
    inference, depth_problem = networks.inference, ""
    if image.depth is not None:
        try:
            inference = SensorDepth(inference, read_depth_points(image.depth), correction)
        except DepthError as error:
            depth_problem = str(error)
    lifted, tower = lift_and_prepare(inference, extracted, observed, image.camera, image.cam_from_world)
    network = networks.global_descriptor
    descriptor = network.describe(paint_hidden(gray, used), extracted) if network else None
    features = replace(extracted, dense=None)
    view = ReferenceView(image.name, image.camera, image.cam_from_world, features, lifted, observed, tower)
    return MadeView(view, found, sample_for_retrieval(extracted), descriptor, observation.errors_px, depth_problem)


def sample_landmarks(landmarks: Landmarks, most: int) -> Landmarks:
    """Return at most `most` landmarks (0: all), drawn at random with a fixed seed."""
    if not most or len(landmarks) <= most:
        return landmarks
    return landmarks[np.sort(np.random.default_rng(0).choice(len(landmarks), most, replace=False))]


def write_shared_files(writer: MapWriter, new: NewViews, networks: Networks, notes: dict[str, str]) -> None:
    """Build the retrieval and write the files of the whole map, with the notes in its provenance."""
    vlad, network = None, networks.global_descriptor
    if network is None:
        vlad = Vlad.learn(sample_descriptors((f.descriptors for f in new.features), len(new.features)))
    depth = {DEPTH: {"views": new.depth.used, **asdict(new.depth.correction)}} if new.depth.used else {}
    provenance = Provenance(
        __version__,
        networks.matcher.weights_id,
        network.identity if network else "",
        float(np.mean(new.landmark_counts)),
        notes={**notes, **depth},
        matcher=networks.matcher.name,
        descriptor_size=int(networks.matcher.descriptor_size),
    )
    writer.finish(new.points_by_id(), Retrieval.learn(new.describe_all(vlad), vlad), provenance)
