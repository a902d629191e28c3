"""Keypoints of images, matched in pairs: landmarks are triangulated from them, poses refined and found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pycolmap
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from tqdm import tqdm

from deviloc_ros.config import Config
from deviloc_ros.imaging import read_gray
from deviloc_ros.maps.colmap import camera_to_colmap, pixels_from_colmap, pixels_to_colmap
from deviloc_ros.maps.global_descriptors import Vlad, training_descriptors
from deviloc_ros.maps.sources import ImageFile
from deviloc_ros.matching.base import Matcher
from deviloc_ros.types import Features

SIFT_RATIO = 0.8
SIFT_KEYPOINTS = 8192
MIN_VERIFIED = 15  # matches that fewer agree on are chance, as COLMAP has it
MAX_VERIFICATION_ERROR_PX = 4.0

Pair = tuple[str, str]
Progress = Callable[..., tqdm]
Keep = Callable[[str, str, NDArray], NDArray]


@dataclass(slots=True)
class MatchGraph:
    """Keypoints by image name (N, 2) px and, by pair of names, matched rows (M, 2) that were found to agree."""

    keypoints: dict[str, NDArray] = field(default_factory=dict)
    matches: dict[Pair, NDArray] = field(default_factory=dict)


class Keypoints(ABC):
    """Keypoints of all images, and which of them look alike. features: by image name."""

    def __init__(self, features: dict[str, Features]) -> None:
        self.features = features
        self._rows: dict[Pair, NDArray] = {}

    def pixels(self, name: str) -> NDArray:
        """(N, 2) px of an image's keypoints."""
        return self.features[name].keypoints.cpu().numpy().astype(float)

    def rows(self, a: str, b: str) -> NDArray:
        """(M, 2) rows of the keypoints of two images that look alike; each pair is matched once."""
        if (a, b) not in self._rows:
            self._rows[a, b] = self._match(a, b)
        return self._rows[a, b]

    @abstractmethod
    def _match(self, a: str, b: str) -> NDArray: ...


class SiftKeypoints(Keypoints):
    """SIFT; mutual nearest neighbours with Lowe's ratio."""

    def __init__(self, images: Sequence[ImageFile], progress: Progress) -> None:
        options = pycolmap.FeatureExtractionOptions()
        options.sift.max_num_features = SIFT_KEYPOINTS
        with quiet_colmap():
            sift = pycolmap.Sift(options, device=pycolmap.Device.cpu)
        features = {}
        for image in progress(images, desc="keypoints: SIFT", unit="view"):
            found, descriptors = sift.extract(read_gray(image.path))
            keypoints = torch.from_numpy(found.astype(float))
            features[image.name] = Features(
                torch.from_numpy(pixels_from_colmap(keypoints[:, :2].numpy())),
                torch.from_numpy(descriptors),
                torch.ones(len(keypoints)),
                keypoints[:, 2],
                (image.camera.width, image.camera.height),
            )
        super().__init__(features)

    def _match(self, a: str, b: str) -> NDArray:
        return mutual_with_ratio(self.features[a].descriptors, self.features[b].descriptors, SIFT_RATIO)


class MatcherKeypoints(Keypoints):
    """The matcher's own keypoints and matches, as hloc makes its maps."""

    def __init__(self, matcher: Matcher, images: Sequence[ImageFile], progress: Progress) -> None:
        self.matcher = matcher
        bar = progress(images, desc="keypoints: of the matcher", unit="view")
        super().__init__({image.name: matcher.extract(read_gray(image.path)) for image in bar})

    def _match(self, a: str, b: str) -> NDArray:
        (matches,) = self.matcher.match(self.features[a], [self.features[b]])
        return np.stack([rows_of_nearest(self.pixels(a), matches.query_keypoints), matches.reference_indices], 1)


def find_keypoints(images: Sequence[ImageFile], matcher: Matcher, config: Config, progress: Progress) -> Keypoints:
    """Those that `config.lift.landmark_source` names."""
    if config.lift.landmark_source == "sift":
        return SiftKeypoints(images, progress)
    return MatcherKeypoints(matcher, images, progress)


def match_pairs(keypoints: Keypoints, pairs: Iterable[Pair], keep: Keep, progress: Progress) -> MatchGraph:
    """Match each pair. keep: of matched rows (M, 2) of two named images those that agree."""
    graph = MatchGraph({name: keypoints.pixels(name) for name in keypoints.features})
    for a, b in progress(pairs, desc="matching", unit="pair"):
        graph.matches[a, b] = keep(a, b, keypoints.rows(a, b))
    return graph


def lookalike_pairs(keypoints: Keypoints, pairs_per_view: int) -> list[Pair]:
    """Each image with those that look most like it, by VLAD over their descriptors; every pair once, in order."""
    names = [name for name, features in keypoints.features.items() if len(features)]
    if len(names) < 2:
        return []
    features = [keypoints.features[name] for name in names]
    vlad = Vlad.learn(training_descriptors((f.descriptors for f in features), len(features)))
    descriptors = torch.stack([vlad.describe(None, f) for f in features])
    similarity = (descriptors @ descriptors.T).fill_diagonal_(-torch.inf)
    nearest = similarity.topk(min(pairs_per_view, len(names) - 1)).indices.tolist()
    pairs = {tuple(sorted((number, other))) for number, others in enumerate(nearest) for other in others}
    return [(names[first], names[second]) for first, second in sorted(pairs)]


class Verification:
    """Keeps matches that one motion between two images explains, whatever poses are said to be (RANSAC, seeded)."""

    def __init__(self, keypoints: Keypoints, images: Sequence[ImageFile], known_focal: bool = True) -> None:
        self.pixels = {image.name: pixels_to_colmap(keypoints.pixels(image.name)) for image in images}
        self.cameras = {image.name: camera_to_colmap(image.camera, 1) for image in images}
        for camera in self.cameras.values():
            camera.has_prior_focal_length = known_focal
        self.options = pycolmap.TwoViewGeometryOptions()
        self.options.ransac.max_error = MAX_VERIFICATION_ERROR_PX
        self.options.ransac.random_seed = 0

    def __call__(self, a: str, b: str, rows: NDArray) -> NDArray:
        """Of (M, 2) rows those that agree; none if they are fewer than MIN_VERIFIED."""
        none = np.zeros((0, 2), int)
        if len(rows) < MIN_VERIFIED:
            return none
        geometry = pycolmap.estimate_two_view_geometry(
            self.cameras[a], self.pixels[a], self.cameras[b], self.pixels[b], rows.astype(np.uint32), self.options
        )
        inliers = geometry.inlier_matches.astype(int)
        return inliers if len(inliers) >= MIN_VERIFIED else none


def rows_of_nearest(keypoints: NDArray, moved: NDArray) -> NDArray:
    """The row of `keypoints` nearest to each of `moved`: a matcher may shift a keypoint, tracks need its row."""
    return cKDTree(keypoints).query(moved)[1] if len(moved) else np.zeros(0, int)


def mutual_with_ratio(a: torch.Tensor, b: torch.Tensor, ratio: float) -> NDArray:
    """(M, 2) rows: mutual nearest neighbours of unit descriptors whose second neighbour is clearly farther."""
    if len(a) < 2 or len(b) < 2:
        return np.zeros((0, 2), int)
    similarity = a @ b.T
    best, rows_b = similarity.topk(2, dim=1)
    distance = (2 - 2 * best).clamp(min=0).sqrt()
    rows_a = torch.arange(len(a))
    keep = (similarity.argmax(0)[rows_b[:, 0]] == rows_a) & (distance[:, 0] < ratio * distance[:, 1])
    return torch.stack([rows_a[keep], rows_b[keep, 0]], 1).numpy()


@contextmanager
def quiet_colmap() -> Iterator[None]:
    """COLMAP logs each image it looks at, and warns that it finds none to read colours from; errors stay."""
    level = pycolmap.logging.minloglevel
    pycolmap.logging.minloglevel = int(pycolmap.logging.Level.ERROR)
    try:
        yield
    finally:
        pycolmap.logging.minloglevel = level
