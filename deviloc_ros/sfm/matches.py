"""Extract keypoints of images and match pairs of these, to triangulate landmarks and to refine or find poses."""

from __future__ import annotations

import errno
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from deviloc_ros.imaging import read_gray
from deviloc_ros.maps.retrieval.global_descriptors import Vlad, sample_descriptors
from deviloc_ros.masks import Mask, paint_hidden, read_mask
from deviloc_ros.matching.base import lie_on, to_numpy
from deviloc_ros.matching.neighbours import match_each_mutual_nearest
from deviloc_ros.sfm.body_in_view import BodyInView
from deviloc_ros.sfm.map_networks import Networks
from deviloc_ros.sources.base import ImageFile
from deviloc_ros.sources.colmap import camera_to_colmap, pixels_from_colmap, pixels_to_colmap
from deviloc_ros.types import Features
from deviloc_ros.workers.base import Workers

SIFT_RATIO = 0.8
SIFT_KEYPOINTS = 8192
MOST_PIXELS_ON_THREADS = 1920 * 1088  # extraction takes 190 bytes per pixel
DATABASE_BYTES = 16 << 20  # size with the maximal number of keypoints
SIFT_DESCRIPTOR_LENGTH = 512  # as COLMAP stores them, in bytes
MIN_VERIFIED = 15  # fewer agreeing matches are chance; COLMAP's default
MAX_VERIFICATION_ERROR_PX = 4.0

Pair = tuple[str, str]
Match = Callable[[Features, Features], NDArray]
Keep = Callable[..., NDArray]
"""Return which matched rows (M, 2) of two images, each with its (N, 2) keypoints [px], agree with one motion."""
IsUsed = Callable[[str, NDArray], NDArray]
"""(N,) bool, which of (N, 2) px of the image of that name are used."""


@dataclass(slots=True)
class MatchGraph:
    """Hold keypoints by image name, (N, 2) px, and by pair of names the (M, 2) matched rows that agree.

    body: parts of the robot in view, on which there are no matches.
    """

    keypoints: dict[str, NDArray] = field(default_factory=dict)
    matches: dict[Pair, NDArray] = field(default_factory=dict)
    body: BodyInView | None = None


class Keypoints:
    """Hold the keypoints of all images, and match pairs of images on demand.

    Args:
        features: by image name.
        match: returns (M, 2) matched rows of two images' keypoints.
        others: keypoints of another kind in the same images; their rows follow these, and each kind is matched by
            itself.
    """

    def __init__(self, features: dict[str, Features], match: Match, others: Keypoints | None = None) -> None:
        self.features = features
        self._match = match
        self._others = others
        self._rows: dict[Pair, NDArray] = {}
        self._used: dict[str, NDArray] = {}

    def hide_unused(self, is_used: IsUsed) -> None:
        """Match only used keypoints from now on; rows remain those of all keypoints."""
        self._used = {name: is_used(name, to_numpy(f.keypoints)) for name, f in self.features.items()}
        if self._others is not None:
            self._others.hide_unused(is_used)

    def used_features(self, name: str) -> Features:
        """Return an image's used keypoints, without those of the other kind."""
        features = self.features[name]
        return features[torch.from_numpy(self._used[name])] if name in self._used else features

    def pixels(self, name: str) -> NDArray:
        """Return the (N, 2) px of an image's keypoints of all kinds."""
        own = self.features[name].keypoints.cpu().numpy().astype(float)
        return own if self._others is None else np.concatenate([own, self._others.pixels(name)])

    def match_all(self, pairs: Sequence[Pair], workers: Workers) -> list[NDArray]:
        """Return (M, 2) rows for each pair; results are cached."""
        own = self._match_this_kind(pairs, workers)
        if self._others is None:
            return own
        before = [np.array([len(self.features[a]), len(self.features[b])]) for a, b in pairs]
        others = self._others.match_all(pairs, workers)
        return [np.concatenate([mine, start + rows]) for mine, start, rows in zip(own, before, others, strict=True)]

    def _match_this_kind(self, pairs: Sequence[Pair], workers: Workers) -> list[NDArray]:
        """Return the matches of the own keypoints, without those of `others`."""
        missing = [pair for pair in pairs if pair not in self._rows]
        shared = {name: workers.share(self.features[name]) for name in dict.fromkeys(chain.from_iterable(missing))}
        tasks = ((shared[a], shared[b]) for a, b in missing)
        found = workers.map(self._match, tasks, pair_labels(missing), desc="matching", unit="pair")
        self._rows |= zip(missing, found, strict=True)
        return [self._between_used(pair, self._rows[pair]) for pair in pairs]

    def _between_used(self, pair: Pair, rows: NDArray) -> NDArray:
        if not self._used:
            return rows
        a, b = (self._used[name] for name in pair)
        return rows[a[rows[:, 0]] & b[rows[:, 1]]]


def extract_sift_keypoints(images: Sequence[ImageFile], workers: Workers, others: Keypoints | None = None) -> Keypoints:
    """Extract SIFT, to be matched as mutual nearest neighbours with Lowe's ratio; and add `others`, if given."""
    names = [image.name for image in images]
    tasks = ((image.path, (image.camera.width, image.camera.height), image.mask) for image in images)
    pixels = max((image.camera.width * image.camera.height for image in images), default=0)
    found = workers.map(
        extract_sift, tasks, names, desc="keypoints: SIFT", unit="view", on_threads=pixels <= MOST_PIXELS_ON_THREADS
    )
    return Keypoints(dict(zip(names, found, strict=True)), match_sift_features, others)


def extract_sift(path: Path, size: tuple[int, int], mask: Mask | None = None) -> Features:
    """Extract SIFT from an image file; `size` is (width, height) px."""
    used = read_mask(mask, size)
    shown = paint_hidden(read_gray(path), used)  # so that hidden pixels have no keypoints
    found, descriptors = extract_by_colmap(shown)
    pixels = torch.from_numpy(pixels_from_colmap(found[:, :2]))
    on_used = lie_on(used, pixels)
    scales = torch.from_numpy(np.hypot(found[:, 2], found[:, 4]))  # the first column of an affine shape
    return Features(
        pixels[on_used],
        torch.from_numpy(descriptors)[on_used],
        torch.ones(int(on_used.sum())),
        scales[on_used, None].repeat(1, 2),
        size,
    )


def extract_by_colmap(gray: NDArray) -> tuple[NDArray, NDArray]:
    """Return (N, 6) keypoints and (N, 128) RootSIFT descriptors of unit length of (H, W) gray, uint8.

    COLMAP's extractor for arrays holds the GIL; the one for folders releases it.
    """
    options = pycolmap.FeatureExtractionOptions()
    options.sift.max_num_features = SIFT_KEYPOINTS
    options.num_threads, options.use_gpu = 1, False
    with tempfile.TemporaryDirectory() as name, silence_colmap():
        if shutil.disk_usage(name).free < gray.size + DATABASE_BYTES:  # COLMAP would end the process
            raise OSError(errno.ENOSPC, "no space left for the keypoints of an image", tempfile.gettempdir())
        images, database = Path(name, "images"), Path(name, "database.db")
        images.mkdir()
        (images / "image.pgm").write_bytes(cv2.imencode(".pgm", gray)[1].tobytes())
        pycolmap.extract_features(database, images, extraction_options=options, device=pycolmap.Device.cpu)
        with pycolmap.Database.open(database) as opened:
            if not (read := opened.read_all_images()):
                raise ValueError(f"COLMAP reads no image of {gray.shape[1]} x {gray.shape[0]} px")
            (image,) = read
            keypoints, descriptors = opened.read_keypoints(image.image_id), opened.read_descriptors(image.image_id)
    return keypoints.astype(float), descriptors.data.astype(np.float32) / SIFT_DESCRIPTOR_LENGTH


def match_sift_features(a: Features, b: Features) -> NDArray:
    """Return (M, 2) rows of matched keypoints."""
    return match_sift_descriptors(a.descriptors, b.descriptors)


def match_sift_descriptors(a: torch.Tensor, b: torch.Tensor) -> NDArray:
    """Return (M, 2) rows: mutual nearest neighbours of unit descriptors whose second neighbour is clearly farther."""
    (pairs,) = match_each_mutual_nearest(a, [b], SIFT_RATIO)
    return torch.stack(pairs, 1).numpy()


def extract_matcher_keypoints(networks: Networks, images: Sequence[ImageFile], workers: Workers) -> Keypoints:
    """Extract the matcher's own keypoints, to be matched by the matcher, as in hloc."""
    names = [image.name for image in images]
    tasks = ((networks, image.path, image.mask) for image in images)
    found = workers.map(extract_with_matcher, tasks, names, desc="keypoints: of the matcher", unit="view")
    return Keypoints(dict(zip(names, found, strict=True)), partial(match_with_matcher, networks))


def extract_with_matcher(networks: Networks, path: Path, mask: Mask | None = None) -> Features:
    """Extract the matcher's features from an image file."""
    gray = read_gray(path)
    return networks.matcher.extract(gray, used=read_mask(mask, (gray.shape[1], gray.shape[0])))


def match_with_matcher(networks: Networks, a: Features, b: Features) -> NDArray:
    """Return (M, 2) rows of matched keypoints."""
    (matches,) = networks.matcher.match(a, [b])
    keypoints = a.keypoints.cpu().numpy().astype(float)
    return np.stack([nearest_rows(keypoints, matches.query_keypoints), matches.reference_indices], 1)


def find_keypoints(images: Sequence[ImageFile], networks: Networks, workers: Workers) -> Keypoints:
    """Extract the keypoints that `lift.landmark_source` names."""
    source = networks.config.lift.landmark_source
    if source == "sift":
        return extract_sift_keypoints(images, workers)
    own = extract_matcher_keypoints(networks, images, workers)
    return own if source == "matcher" else extract_sift_keypoints(images, workers, own)


def match_pairs(
    keypoints: Keypoints, images: Sequence[ImageFile], pairs: Sequence[Pair], keep: Keep, workers: Workers
) -> MatchGraph:
    """Match each pair and keep the matches that `keep` accepts."""
    rows = keypoints.match_all(pairs, workers)
    pixels = {name: keypoints.pixels(name) for name in keypoints.features}
    shared = {image.name: workers.share((image, pixels[image.name])) for image in images}
    tasks = ((shared[a], shared[b], matched) for (a, b), matched in zip(pairs, rows, strict=True))
    kept = workers.map(keep, tasks, pair_labels(pairs), desc="matches that agree", unit="pair", on_threads=True)
    return MatchGraph(pixels, dict(zip(pairs, kept, strict=True)))


def pair_labels(pairs: Iterable[Pair]) -> list[str]:
    """Return the name of each pair for errors."""
    return [f"{a} and {b}" for a, b in pairs]


def find_lookalike_pairs(keypoints: Keypoints, pairs_per_view: int) -> list[Pair]:
    """Pair each image with the most similar ones by VLAD of their descriptors; each pair comes once, in order."""
    used = {name: keypoints.used_features(name) for name in keypoints.features}
    names = [name for name, features in used.items() if len(features)]
    if len(names) < 2:
        return []
    features = [used[name] for name in names]
    vlad = Vlad.learn(sample_descriptors((f.descriptors for f in features), len(features)))
    descriptors = torch.stack([vlad.describe(None, f) for f in features])
    similarity = (descriptors @ descriptors.T).fill_diagonal_(-torch.inf)
    nearest = similarity.topk(min(pairs_per_view, len(names) - 1)).indices.tolist()
    pairs = {tuple(sorted((number, other))) for number, others in enumerate(nearest) for other in others}
    return [(names[first], names[second]) for first, second in sorted(pairs)]


def keep_verified(
    a: tuple[ImageFile, NDArray], b: tuple[ImageFile, NDArray], rows: NDArray, *, known_focal: bool = True
) -> NDArray:
    """Return those of (M, 2) rows that one relative pose explains (RANSAC, seeded), without using the images' poses.

    None if they are fewer than MIN_VERIFIED.
    """
    none = np.zeros((0, 2), int)
    if len(rows) < MIN_VERIFIED:
        return none
    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.max_error = MAX_VERIFICATION_ERROR_PX
    options.ransac.random_seed = 0
    (camera_a, pixels_a), (camera_b, pixels_b) = (to_colmap(*image, known_focal) for image in (a, b))
    geometry = pycolmap.estimate_two_view_geometry(
        camera_a, pixels_a, camera_b, pixels_b, rows.astype(np.uint32), options
    )
    inliers = geometry.inlier_matches.astype(int)
    return inliers if len(inliers) >= MIN_VERIFIED else none


def to_colmap(image: ImageFile, pixels: NDArray, known_focal: bool) -> tuple[pycolmap.Camera, NDArray]:
    """Return an image's camera and pixels in COLMAP's convention."""
    camera = camera_to_colmap(image.camera, 1)
    camera.has_prior_focal_length = known_focal
    return camera, pixels_to_colmap(pixels)


def nearest_rows(keypoints: NDArray, moved: NDArray) -> NDArray:
    """Return the row of `keypoints` nearest to each of `moved`: a matcher may move keypoints, but tracks need rows."""
    return cKDTree(keypoints).query(moved)[1] if len(moved) else np.zeros(0, int)


class _Silence:
    """Count the threads that want COLMAP silent, since its log level is global."""

    def __init__(self) -> None:
        self._lock, self._wanted, self._level = threading.Lock(), 0, 0

    def begin(self) -> None:
        with self._lock:
            if not self._wanted:
                self._level = pycolmap.logging.minloglevel
                pycolmap.logging.minloglevel = int(pycolmap.logging.Level.FATAL)
            self._wanted += 1

    def end(self) -> None:
        with self._lock:
            self._wanted -= 1
            if not self._wanted:
                pycolmap.logging.minloglevel = self._level


_SILENCE = _Silence()


@contextmanager
def silence_colmap() -> Iterator[None]:
    """Silence COLMAP's log lines, one for each image; callers report failures themselves."""
    _SILENCE.begin()
    try:
        yield
    finally:
        _SILENCE.end()
