"""Compute landmarks of posed images: match keypoints of nearby views and triangulate with the given poses."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from deviloc_ros.geometry import skew
from deviloc_ros.maps.retrieval.by_pose import centres_and_axes
from deviloc_ros.sfm.matches import Keypoints, MatchGraph, Pair, extract_sift_keypoints, match_pairs, silence_colmap
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.sources.colmap import build_reconstruction, landmarks_from_colmap, pixels_to_colmap
from deviloc_ros.types import Landmarks
from deviloc_ros.workers.base import Workers

PAIRS_PER_VIEW = 20
LOOKED_AT_PER_PAIR = 4
MAX_PAIR_ANGLE_DEG = 75.0
MAX_EPIPOLAR_ERROR_PX = 4.0
MAX_REPROJECTION_ERROR_PX = 4.0


def find_nearby_pairs(images: list[PosedImage], pairs_per_view: int = PAIRS_PER_VIEW) -> list[Pair]:
    """Pair each view with its nearest others that look in the same direction; each pair of names comes once."""
    centres, axes = centres_and_axes([image.cam_from_world for image in images])
    tree = cKDTree(centres)
    pairs: set[Pair] = set()
    for number in range(len(images)):
        for other in find_neighbours(number, tree, axes, pairs_per_view).tolist():
            first, second = sorted((number, other))
            pairs.add((images[first].name, images[second].name))
    return sorted(pairs)


def find_neighbours(number: int, tree: cKDTree, axes: NDArray, count: int) -> NDArray:
    """Return the indices (at most count,) of the nearest views that look in the same direction, best first.

    The score is distance plus angle. Distances are in units of the local spacing, so that it weighs as much as a
    radian: the distance to the `count`-th nearest view, or to the middle one of fewer than twice as many.
    """
    looked_at = LOOKED_AT_PER_PAIR * count
    while True:
        distances, rows = tree.query(tree.data[number], np.arange(1, min(looked_at, tree.n) + 1))
        distances = distances / max(distances[min(count, tree.n // 2)], 1e-9)  # the first is the view itself
        angles = np.arccos(np.clip(axes[rows] @ axes[number], -1, 1))
        score = distances + angles
        score[(angles > np.deg2rad(MAX_PAIR_ANGLE_DEG)) | (rows == number)] = np.inf
        best = np.argsort(score, kind="stable")[:count]
        best = best[np.isfinite(score[best])]
        # No view farther away than those that were looked at can have a lower score than its distance.
        if looked_at >= tree.n or (len(best) == count and score[best[-1]] <= distances[-1]):
            return rows[best]
        looked_at *= LOOKED_AT_PER_PAIR


def match_sift(images: list[PosedImage], workers: Workers) -> MatchGraph:
    """Match SIFT keypoints between nearby views, and keep the matches that agree with their poses."""
    return match_nearby(extract_sift_keypoints(images, workers), images, workers)


def match_nearby(keypoints: Keypoints, images: list[PosedImage], workers: Workers) -> MatchGraph:
    """Match keypoints between nearby views, and keep the matches that agree with the given poses, without RANSAC."""
    return match_pairs(keypoints, images, find_nearby_pairs(images), keep_consistent, workers)


def keep_consistent(a: tuple[PosedImage, NDArray], b: tuple[PosedImage, NDArray], rows: NDArray) -> NDArray:
    """Return those of (M, 2) matched rows whose keypoints lie near each other's epipolar lines by the given poses."""
    if not len(rows):
        return rows
    (image_a, pixels_a), (image_b, pixels_b) = a, b
    errors = epipolar_errors_px(image_a, image_b, pixels_a[rows[:, 0]], pixels_b[rows[:, 1]])
    return rows[errors < MAX_EPIPOLAR_ERROR_PX]


def epipolar_errors_px(a: PosedImage, b: PosedImage, keypoints_a: NDArray, keypoints_b: NDArray) -> NDArray:
    """Return the (N,) Sampson distances [px] of matched pixels by the given poses; infinite for a pixel without ray."""
    return epipolar_errors_of_rays_px(a, b, a.camera.rays(keypoints_a), b.camera.rays(keypoints_b))


def epipolar_errors_of_rays_px(a: PosedImage, b: PosedImage, rays_a: NDArray, rays_b: NDArray) -> NDArray:
    """Return `epipolar_errors_px` for (N, 3) viewing rays with z = 1, NaN where there is none."""
    b_from_a = b.cam_from_world * a.cam_from_world.inverse()
    essential = skew(b_from_a.translation) @ b_from_a.rotation.matrix()
    lines_b, lines_a = rays_a @ essential.T, rays_b @ essential
    norm = (lines_b[:, :2] ** 2).sum(1) + (lines_a[:, :2] ** 2).sum(1)
    sampson = np.abs((rays_b * lines_b).sum(1)) / np.sqrt(np.maximum(norm, 1e-24))
    return np.nan_to_num(sampson, nan=np.inf) * np.sqrt(a.camera.focal_px * b.camera.focal_px)


def triangulate_landmarks(images: list[PosedImage], graph: MatchGraph) -> dict[str, Landmarks]:
    """Triangulate landmarks from matches, with fixed poses and cameras; return those of each image by its name."""
    return landmarks_by_image(triangulate_model(images, graph))


def triangulate_model(
    images: list[PosedImage], graph: MatchGraph, max_error_px: float = MAX_REPROJECTION_ERROR_PX
) -> pycolmap.Reconstruction:
    """Build a model of the images with triangulated landmarks, whose reprojection errors are at most `max_error_px`."""
    reconstruction = build_reconstruction(images)
    if len(images) < 2:  # COLMAP would raise an error
        return reconstruction
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "matches.db"
        write_database(database, reconstruction, graph)
        options = triangulation_options(max_error_px, min(image.camera.focal_px for image in images))
        with silence_colmap():
            return pycolmap.triangulate_points(reconstruction, database, folder, folder, options=options)


def triangulation_options(max_error_px: float, focal_px: float) -> pycolmap.IncrementalPipelineOptions:
    """Return COLMAP's options, seeded, allowing landmarks of two views, with angles scaled as the error in pixels."""
    options = pycolmap.IncrementalPipelineOptions()
    options.extract_colors = False
    options.random_seed = options.triangulation.random_seed = options.mapper.random_seed = 0
    options.mapper.filter_max_reproj_error = max_error_px
    allow_any_camera(options)
    tracks = options.triangulation
    tracks.ignore_two_view_tracks = False
    tracks.merge_max_reproj_error = tracks.complete_max_reproj_error = max_error_px
    angle_deg = float(np.rad2deg(np.arctan(max_error_px / focal_px)))
    tracks.create_max_angle_error = max(tracks.create_max_angle_error, angle_deg)
    tracks.continue_max_angle_error = max(tracks.continue_max_angle_error, angle_deg)
    return options


def allow_any_camera(options: pycolmap.IncrementalPipelineOptions) -> None:
    """Let COLMAP keep images with unusual camera parameters, since cameras are given.

    Coefficients of rational models are often above 1, for which COLMAP would silently drop the images.
    """
    options.min_focal_length_ratio, options.max_focal_length_ratio, options.max_extra_param = 1e-9, 1e9, 1e9


def landmarks_by_image(reconstruction: pycolmap.Reconstruction) -> dict[str, Landmarks]:
    """Return the landmarks that each image of a model observes, by its name."""
    return {
        image.name: drop_twins(landmarks_from_colmap(image, reconstruction)) for image in reconstruction.images.values()
    }


def drop_twins(landmarks: Landmarks) -> Landmarks:
    """Keep the first of several landmarks at one pixel; SIFT has a keypoint for each orientation of a corner."""
    first = np.argsort(landmarks.ids, kind="stable")
    _, rows = np.unique(landmarks.keypoints[first], axis=0, return_index=True)
    rows = np.sort(first[rows])
    return landmarks[rows]


def write_database(path: Path, reconstruction: pycolmap.Reconstruction, graph: MatchGraph) -> None:
    """Write the database for pycolmap's triangulation: cameras, images, keypoints and verified matches."""
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
