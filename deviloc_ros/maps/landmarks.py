"""Landmarks for posed images without: keypoints matched between nearby views, triangulated from the given poses."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pycolmap
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from tqdm import tqdm

from deviloc_ros.geometry import skew
from deviloc_ros.imaging import read_gray
from deviloc_ros.maps.colmap import landmarks_from_colmap, pixels_from_colmap, pixels_to_colmap, reconstruction_of
from deviloc_ros.maps.retrieval import pose_distances
from deviloc_ros.maps.sources import PosedImage
from deviloc_ros.matching.base import Matcher
from deviloc_ros.types import Landmarks

PAIRS_PER_VIEW = 20
MAX_PAIR_ANGLE_DEG = 75.0
MAX_EPIPOLAR_ERROR_PX = 4.0
SIFT_RATIO = 0.8
SIFT_KEYPOINTS = 8192

Pair = tuple[str, str]
Progress = Callable[..., tqdm]


@dataclass(slots=True)
class MatchGraph:
    """Keypoints by image name (N, 2) px and, by pair of names, matched rows (M, 2) that agree with the given poses."""

    keypoints: dict[str, NDArray] = field(default_factory=dict)
    matches: dict[Pair, NDArray] = field(default_factory=dict)


def nearby_pairs(images: list[PosedImage], pairs_per_view: int = PAIRS_PER_VIEW) -> list[Pair]:
    """Each view with its nearest others that look the same way; every pair once."""
    poses = [image.cam_from_world for image in images]
    pairs: set[Pair] = set()
    for number, image in enumerate(images):
        distances, angles = pose_distances(poses, image.cam_from_world)
        score = distances / max(float(np.median(distances)), 1e-9) + angles
        score[(angles > np.deg2rad(MAX_PAIR_ANGLE_DEG))] = np.inf
        score[number] = np.inf
        for other in np.argsort(score)[:pairs_per_view]:
            if np.isfinite(score[other]):
                first, second = sorted((number, int(other)))
                pairs.add((images[first].name, images[second].name))
    return sorted(pairs)


def match_sift(images: list[PosedImage], progress: Progress) -> MatchGraph:
    """SIFT, mutual nearest neighbours with Lowe's ratio."""
    options = pycolmap.FeatureExtractionOptions()
    options.sift.max_num_features = SIFT_KEYPOINTS
    with quiet_colmap():
        sift = pycolmap.Sift(options, device=pycolmap.Device.cpu)
    graph, descriptors = MatchGraph(), {}
    for image in progress(images, desc="landmarks: SIFT", unit="view"):
        keypoints, descriptor = sift.extract(read_gray(image.path))
        graph.keypoints[image.name] = pixels_from_colmap(keypoints[:, :2].astype(float))
        descriptors[image.name] = torch.from_numpy(descriptor)
    by_name = {image.name: image for image in images}
    for a, b in progress(nearby_pairs(images), desc="landmarks: matching", unit="pair"):
        rows = mutual_with_ratio(descriptors[a], descriptors[b], SIFT_RATIO)
        keep_consistent(graph, by_name[a], by_name[b], rows)
    return graph


def match_with(matcher: Matcher, images: list[PosedImage], progress: Progress) -> MatchGraph:
    """The matcher's own keypoints and matches, as hloc makes its maps."""
    graph, features = MatchGraph(), {}
    for image in progress(images, desc="landmarks: features", unit="view"):
        features[image.name] = matcher.extract(read_gray(image.path))
        graph.keypoints[image.name] = features[image.name].keypoints.cpu().numpy().astype(float)
    by_name = {image.name: image for image in images}
    for a, b in progress(nearby_pairs(images), desc="landmarks: matching", unit="pair"):
        (matches,) = matcher.match(features[a], [features[b]])
        rows = rows_of_nearest(graph.keypoints[a], matches.query_keypoints)
        keep_consistent(graph, by_name[a], by_name[b], np.stack([rows, matches.reference_indices], 1))
    return graph


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


def keep_consistent(graph: MatchGraph, a: PosedImage, b: PosedImage, rows: NDArray) -> None:
    """Store the matches of a pair that lie near each other's epipolar line: the poses are given, so no RANSAC."""
    if len(rows):
        errors = epipolar_errors_px(a, b, graph.keypoints[a.name][rows[:, 0]], graph.keypoints[b.name][rows[:, 1]])
        rows = rows[errors < MAX_EPIPOLAR_ERROR_PX]
    graph.matches[a.name, b.name] = rows


def epipolar_errors_px(a: PosedImage, b: PosedImage, keypoints_a: NDArray, keypoints_b: NDArray) -> NDArray:
    """(N,) Sampson distance of matched pixels under the given poses, in pixels."""
    b_from_a = b.cam_from_world * a.cam_from_world.inverse()
    essential = skew(b_from_a.translation) @ b_from_a.rotation.matrix()
    rays_a, rays_b = a.camera.rays(keypoints_a), b.camera.rays(keypoints_b)
    lines_b, lines_a = rays_a @ essential.T, rays_b @ essential
    norm = (lines_b[:, :2] ** 2).sum(1) + (lines_a[:, :2] ** 2).sum(1)
    sampson = np.abs((rays_b * lines_b).sum(1)) / np.sqrt(np.maximum(norm, 1e-24))
    return np.nan_to_num(sampson, nan=np.inf) * np.sqrt(a.camera.focal_px * b.camera.focal_px)


def triangulate(images: list[PosedImage], graph: MatchGraph) -> dict[str, Landmarks]:
    """Landmarks of each image, from the matches among these images alone; poses and cameras stay as given."""
    reconstruction = reconstruction_of(images)
    if len(images) < 2:  # COLMAP would raise an error
        return {image.name: landmarks_from_colmap(image, reconstruction) for image in reconstruction.images.values()}
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "matches.db"
        write_database(database, reconstruction, graph)
        options = pycolmap.IncrementalPipelineOptions()
        options.extract_colors = False
        options.triangulation.ignore_two_view_tracks = False
        options.random_seed = options.triangulation.random_seed = options.mapper.random_seed = 0
        with quiet_colmap():
            reconstruction = pycolmap.triangulate_points(reconstruction, database, folder, folder, options=options)
    return {
        image.name: without_twins(landmarks_from_colmap(image, reconstruction))
        for image in reconstruction.images.values()
    }


def without_twins(landmarks: Landmarks) -> Landmarks:
    """SIFT gives a corner with several orientations several keypoints: of landmarks at one pixel the first is kept."""
    first = np.argsort(landmarks.ids, kind="stable")
    _, rows = np.unique(landmarks.keypoints[first], axis=0, return_index=True)
    rows = np.sort(first[rows])
    return Landmarks(landmarks.ids[rows], landmarks.keypoints[rows], landmarks.points_in_world[rows])


def write_database(path: Path, reconstruction: pycolmap.Reconstruction, graph: MatchGraph) -> None:
    """What pycolmap's triangulation reads: cameras, images, keypoints and verified matches."""
    with pycolmap.Database.open(path) as database:
        for camera_id, camera in reconstruction.cameras.items():
            database.write_camera(camera, use_camera_id=True)
            database.write_rig(reconstruction.rigs[camera_id], use_rig_id=True)
        ids = {}
        for image_id, image in reconstruction.images.items():
            database.write_frame(image.frame, use_frame_id=True)
            database.write_image(image, use_image_id=True)
            database.write_keypoints(image_id, pixels_to_colmap(graph.keypoints[image.name]).astype(np.float32))
            ids[image.name] = image_id
        for (a, b), rows in graph.matches.items():
            if a in ids and b in ids and len(rows):
                database.write_matches(ids[a], ids[b], rows.astype(np.uint32))
                geometry = pycolmap.TwoViewGeometry()
                geometry.config = pycolmap.TwoViewGeometryConfiguration.CALIBRATED
                geometry.inlier_matches = rows.astype(np.uint32)
                database.write_two_view_geometry(ids[a], ids[b], geometry)


@contextmanager
def quiet_colmap() -> Iterator[None]:
    """COLMAP logs each image it looks at, and warns that it finds none to read colours from; errors stay."""
    level = pycolmap.logging.minloglevel
    pycolmap.logging.minloglevel = int(pycolmap.logging.Level.ERROR)
    yield
    pycolmap.logging.minloglevel = level
