"""Run a protocol: build its maps, localize its queries, score."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deviloc_ros.config import Config, bind_to_map
from deviloc_ros.config_fields import change_config
from deviloc_ros.evaluation import GLOBAL_ONCE, PRIOR, TRUE_POSE
from deviloc_ros.evaluation.metrics import QueryOutcome, compare_to_nothing, compare_to_truth, summarize
from deviloc_ros.evaluation.protocols.overlap import has_found_overlap, overlap_recall
from deviloc_ros.evaluation.protocols.scenes import EvaluationProtocol
from deviloc_ros.geometry import transform_points
from deviloc_ros.imaging import read_gray
from deviloc_ros.lifting.base import PointInference
from deviloc_ros.localizer import Localizer
from deviloc_ros.mapping.build import MapBuilder, collect_landmarks, make_graph
from deviloc_ros.maps.edit import merge_maps
from deviloc_ros.maps.store import Map
from deviloc_ros.matching import create_matcher
from deviloc_ros.matching.base import Matcher
from deviloc_ros.sfm.map_networks import Networks
from deviloc_ros.sfm.matches import MatchGraph
from deviloc_ros.sources.base import PosedImage, Source
from deviloc_ros.types import Features, Matches, Prior, RigImage
from deviloc_ros.workers.base import Serial


class RememberingMatcher(Matcher):
    """Cache the features of each image, and if `remember_matches` the matches of each pair."""

    def __init__(self, matcher: Matcher, remember_matches: bool = False) -> None:
        self.matcher = matcher
        self.name, self.descriptor_size, self.device = matcher.name, matcher.descriptor_size, matcher.device
        self.weights_id, self.noise_px = matcher.weights_id, matcher.noise_px
        self.remember_matches = remember_matches
        self._features: dict[bytes, Features] = {}
        self._matches: dict[tuple[bytes, bytes], Matches] = {}

    def extract(self, image: NDArray, *, keep_dense: bool = False, used: NDArray | None = None) -> Features:
        key = image.tobytes() + (b"" if used is None else used.tobytes())
        if key not in self._features:
            self._features[key] = self.matcher.extract(image, keep_dense=True, used=used)
        features = self._features[key]
        return features if keep_dense else replace(features, dense=None)

    def match_on_device(
        self, query: Features, references: list[Features], useful: Sequence[NDArray] | None
    ) -> list[Matches]:
        if not self.remember_matches:
            return self.matcher.match(query, references, useful)
        pairs = [(hash_features(query), hash_features(reference)) for reference in references]
        missing = {pair: r for pair, r in zip(pairs, references, strict=True) if pair not in self._matches}
        found = self.matcher.match(query, list(missing.values())) if missing else []
        self._matches |= dict(zip(missing, found, strict=True))
        return [self._matches[pair] for pair in pairs]


def hash_features(features: Features) -> bytes:
    """Return the hash of what an image's features are."""
    columns = (features.keypoints, features.descriptors)  # the cells of a dense matcher are the same in all images
    return hashlib.sha256(b"".join(column.cpu().numpy().tobytes() for column in columns)).digest()


Change = Callable[[list[PosedImage]], list[PosedImage]]


class Evaluation:
    """Evaluate one protocol and matcher; what the map images give is computed once for every fold and lift.

    With `remember_matches` each query is matched once for all runs, and the times of a run mean nothing.
    """

    def __init__(self, protocol: EvaluationProtocol, config: Config, *, remember_matches: bool = False) -> None:
        self.protocol = protocol
        self.matcher = RememberingMatcher(create_matcher(config.matcher), remember_matches)
        self._graphs: dict[str, MatchGraph] = {}

    def match_graph(self, config: Config) -> MatchGraph:
        """Return the matches between the protocol's map images, made once per kind of landmark."""
        source = config.lift.landmark_source
        if source not in self._graphs:
            self._graphs[source] = make_graph(self.protocol.images, Networks(config, self.matcher), Serial())
        return self._graphs[source]

    def run(
        self, config: Config, retrieval: str, *, inference: PointInference | None = None, change: Change | None = None
    ) -> dict[str, Any]:
        """Return the summary, with what it is a summary of.

        Args:
            retrieval: `true-pose` (the references nearest to the true pose), `prior` (chosen as if that were a prior),
                `global` (no prior) or `global-once` (without `retrieval.refine`).
            inference: lifts the map's keypoints; by default what `config.lift` says.
            change: what to do to the map's images, with their landmarks, before the map is built.
        """
        outcomes, sizes, found = [], [], []
        config = config_for_retrieval(config, retrieval)
        with tempfile.TemporaryDirectory() as folder:
            bar = tqdm(total=sum(len(f.queries) for f in self.protocol.folds), unit="query", dynamic_ncols=True)
            for number, fold in enumerate(self.protocol.folds):
                images = change(self.add_landmarks(fold.map_images, config)) if change else fold.map_images
                path = self.build_fold(images, Path(folder) / f"{number}.map", config, inference)
                if fold.joined:
                    path = self.join_scenes(path, fold.joined, config, inference)
                localizer = self.open_localizer(path)
                sizes.append((len(localizer.map), localizer.map.size_bytes))
                for query in fold.queries:
                    outcomes.append(self.localize_query(localizer, query, retrieval))
                    if retrieval != TRUE_POSE:
                        found.append(has_found_overlap(localizer.map, query, outcomes[-1].result))
                    bar.update()
            bar.close()
        return self.summarize_run(config, retrieval, outcomes, sizes) | overlap_recall(found)

    def run_in_map(self, reference_map: Map, config: Config, retrieval: str) -> dict[str, Any]:
        """Return the summary of the protocol's queries in a map that is there, in the frame of their poses.

        Raises:
            ValueError: the protocol has several maps.
        """
        if len(self.protocol.folds) > 1:
            raise ValueError(f"{self.protocol.name} needs a map for each of its {len(self.protocol.folds)} queries")
        config = bind_to_map(config_for_retrieval(config, retrieval), reference_map.config)
        localizer = Localizer(reference_map, config)
        queries = tqdm(self.protocol.folds[0].queries, unit="query", dynamic_ncols=True)
        outcomes = [self.localize_query(localizer, query, retrieval) for query in queries]
        return self.summarize_run(config, retrieval, outcomes, [(len(reference_map), reference_map.size_bytes)])

    def summarize_run(
        self, config: Config, retrieval: str, outcomes: list[QueryOutcome], sizes: list[tuple[int, int]]
    ) -> dict[str, Any]:
        """Summarize what became of the queries; `sizes` are views and bytes of each map."""
        return {
            "protocol": self.protocol.name,
            "matcher": config.matcher.name,
            "lift": config.lift.method,
            "landmark_source": config.lift.landmark_source,
            "references": config.retrieval.references,
            "retrieval": retrieval,
            **summarize(outcomes),
            "nees": [o.nees for o in outcomes if o.localized],
            "map": {"views": int(np.mean([v for v, _ in sizes])), "bytes": int(np.mean([b for _, b in sizes]))},
        }

    def add_landmarks(self, images: list[PosedImage], config: Config) -> list[PosedImage]:
        """Return the images with the landmarks that a map of them would have."""
        landmarks = collect_landmarks(
            images, Networks(config, self.matcher), Serial(quiet=True), self.match_graph(config)
        )
        return [replace(image, landmarks=landmarks[image.name]) for image in images]

    def build_fold(
        self, images: list[PosedImage], path: Path, config: Config, inference: PointInference | None
    ) -> Path:
        """Build a map of images of the protocol at `path`; how that went is kept as `built`."""
        builder = MapBuilder(Networks(config, self.matcher, inference), Serial(quiet=True))
        self.built = builder.build(Source(images, []), path, graph=self.match_graph(config))
        return path

    def join_scenes(
        self, path: Path, others: list[list[PosedImage]], config: Config, inference: PointInference | None
    ) -> Path:
        """Join the map at `path` with new ones of other scenes; return where the joined map is."""
        parts = [path, *(path.with_name(f"scene-{number}.map") for number in range(len(others)))]
        for images, part in zip(others, parts[1:], strict=True):
            builder = MapBuilder(Networks(config, self.matcher, inference), Serial(quiet=True))
            builder.build(Source(images, []), part)
        merge_maps(parts, path.with_name("joined.map"))
        return path.with_name("joined.map")

    def open_localizer(self, path: Path) -> Localizer:
        """Open a map with a localizer that remembers matches, if this evaluation does."""
        localizer = Localizer(Map.open(path))
        if self.matcher.remember_matches:
            localizer.matcher = self.matcher
        return localizer

    def localize_query(self, localizer: Localizer, query: PosedImage, retrieval: str) -> QueryOutcome:
        """Localize a query as `retrieval` says, and compare it to the truth."""
        prior = Prior(query.cam_from_world) if retrieval in (TRUE_POSE, PRIOR) else None
        others = self.protocol.beside.get(query.name)
        if others is None:
            result = localizer.localize(read_gray(query.path), query.camera, prior)
        else:
            result = localizer.localize_rig([as_rig_image(image, query) for image in (query, *others)], prior)
        if self.protocol.unknown:
            return compare_to_nothing(query.name, result)
        scene_m = scene_distance_m(localizer.map, query) if self.protocol.relative_to_scene else 1.0
        return compare_to_truth(query.name, result, query.cam_from_world, scene_m)


def as_rig_image(image: PosedImage, query: PosedImage) -> RigImage:
    """Return an image as that of a camera of a rig whose frame is the query's camera."""
    rig_from_cam = query.cam_from_world * image.cam_from_world.inverse()
    return RigImage(image.name, read_gray(image.path), image.camera, rig_from_cam)


def config_for_retrieval(config: Config, retrieval: str) -> Config:
    """Return `config` for a choice of references."""
    if retrieval == TRUE_POSE:
        return change_config(config, retrieval={"nearest": config.retrieval.references})
    if retrieval == GLOBAL_ONCE:
        return change_config(config, retrieval={"refine": False})
    return config


def scene_distance_m(reference_map: Map, query: PosedImage) -> float:
    """Return the median depth of the map's landmarks in front of the true camera [m]."""
    depths = transform_points(query.cam_from_world, reference_map.landmarks())[:, 2]
    return float(np.median(depths[depths > 0]))
