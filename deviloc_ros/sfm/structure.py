"""Pose images by structure from motion: COLMAP's mapper with this package's verified matches."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import transform_points
from deviloc_ros.maps.alignment.similarity import move_points, move_pose
from deviloc_ros.masks import Mask
from deviloc_ros.pose.still_matches import are_still
from deviloc_ros.sfm.landmarks import allow_any_camera, match_nearby, triangulate_landmarks, write_database
from deviloc_ros.sfm.matches import (
    Keypoints,
    MatchGraph,
    Pair,
    find_lookalike_pairs,
    keep_verified,
    match_pairs,
    silence_colmap,
)
from deviloc_ros.sources.base import ImageFile, PosedImage, Skipped, SourceError, read_image_size
from deviloc_ros.sources.colmap import build_reconstruction, camera_from_colmap
from deviloc_ros.sources.photographs import SUFFIXES, camera_group, explain_no_photographs, find_photographs
from deviloc_ros.workers.base import Workers

log = logging.getLogger(__name__)
FOCAL_SHARE = 1.2  # of the longer side, for an unknown focal length, as in COLMAP
FOCAL_FACTORS = (1.0, 2 / 3, 5 / 3)  # on a guessed focal length, tried in turn until structure is found
CALIBRATION_HELPS = "; their calibration helps (--camera)"
FEW_HELP = ": more images make it sure, or its calibration (--camera)"
# Of an estimated camera. Of 56 sets of 3 to 20 photographs those right within a fifth have distortions of 0.1 at most,
# those whose focal length is off by half and more 0.45 and more.
POSSIBLE_FOCAL_SHARES, MOST_DISTORTION = (0.1, 10.0), 0.4
SURE_FROM = 6  # images: of fewer an estimated focal length was off by a fifth here and there
EXHAUSTIVE_UP_TO = 30  # images
LOOKALIKES_PER_VIEW = 20
NEIGHBOURS_IN_ORDER = 10
MIN_VIEWS = 3
DEPTH_OF_ARBITRARY_SCALE = 3.0  # median over landmarks: what sizes of rooms are about


@dataclass(frozen=True, slots=True)
class UnposedImage:
    """Hold an image with its camera, which may be a guess."""

    name: str
    path: Path
    camera: Camera
    lens: str = ""  # images of different ones have cameras of their own, even where the same was guessed
    mask: Mask | None = None


def find_images(
    folder: Path, camera: Camera | None, pattern: str = "*", step: int = 1, camera_per: str = "lens"
) -> tuple[list[UnposedImage], list[Skipped]]:
    """Find the images below a folder in order of their names; without a camera, images of one lens share a guess.

    Args:
        pattern: of names, relative to the folder.
        step: take every step-th of them.
        camera_per: which images of one size share a camera: of one "lens" by EXIF, "folder", or each "image" its own.

    Raises:
        SourceError: no such folder, or no usable image in it.
    """
    if not folder.is_dir():
        what = f"a file, not a folder{explain_no_photographs(folder)}" if folder.exists() else "no such folder"
        raise SourceError(f"{folder}: {what}")
    paths, unread = find_photographs(folder)
    paths = [path for path in paths if fnmatch(path.relative_to(folder).as_posix(), pattern)][::step]
    skipped = [Skipped(path.relative_to(folder).as_posix(), why) for path, why in unread.items()]
    if not paths:
        raise SourceError(explain_no_images(folder, pattern, skipped))
    images = []
    guessed: dict[tuple[tuple[int, int], str], Camera] = {}
    for path in paths:
        name = path.relative_to(folder).as_posix()
        try:
            size = read_image_size(path)
        except SourceError as error:
            skipped.append(Skipped(name, str(error)))
            continue
        if camera is not None and size != (camera.width, camera.height):
            why = f"image is {size[0]} x {size[1]} px, its camera says {camera.width} x {camera.height}"
            skipped.append(Skipped(name, why))
            continue
        lens = "" if camera is not None else camera_group(path, camera_per)
        if camera is None and (size, lens) not in guessed:
            guessed[size, lens] = guess_camera(path, size)
        images.append(UnposedImage(name, path, camera or guessed[size, lens], lens))
    if not images:
        raise SourceError(f"{folder}: none of {len(skipped)} images is usable; {skipped[0].name}: {skipped[0].why}")
    return images, skipped


def explain_no_images(folder: Path, pattern: str, skipped: list[Skipped]) -> str:
    """Return the message that a folder has no images of a pattern, with what it has instead."""
    where = "in it" if pattern == "*" else f"named like {pattern!r}"
    others = f"; {len(skipped)} photographs are of other kinds: {skipped[0].name}: {skipped[0].why}" if skipped else ""
    return f"{folder}: no images ({', '.join(SUFFIXES)}) {where}{others}{explain_no_photographs(folder)}"


def guess_camera(path: Path, size: tuple[int, int]) -> Camera:
    """Guess a camera from the image's EXIF, or else with a usual focal length."""
    try:
        return camera_from_colmap(pycolmap.infer_camera_from_image(str(path)))
    except (ValueError, RuntimeError):  # a kind of image that COLMAP does not read, as webp
        width, height = size
        params = (FOCAL_SHARE * max(size), (width - 1) / 2, (height - 1) / 2, 0.0)
        return Camera("SIMPLE_RADIAL", width, height, params)


def choose_pairs(images: list[UnposedImage], keypoints: Keypoints) -> list[Pair]:
    """Return all pairs of a few images; of many, pair each with the most similar and the next in order."""
    names = [image.name for image in images]
    if len(names) <= EXHAUSTIVE_UP_TO:
        return list(combinations(names, 2))
    in_order = {pair for ahead in range(1, NEIGHBOURS_IN_ORDER + 1) for pair in zip(names, names[ahead:], strict=False)}
    return sorted(in_order | set(find_lookalike_pairs(keypoints, LOOKALIKES_PER_VIEW)))


def structure_from_motion(
    images: list[UnposedImage], keypoints: Keypoints, workers: Workers, *, known_camera: bool
) -> tuple[list[PosedImage], list[Skipped]]:
    """Pose images in an arbitrary frame and scale; also return those that could not be registered.

    Args:
        images: in order of their names.
        known_camera: whether their cameras stay fixed.

    Raises:
        SourceError: no three images are connected with a plausible camera, or there is no landmark.
    """
    model, *others = find_large_models(images, keypoints, workers, known_camera)
    found = {image.name: image for image in model.images.values() if image.has_pose and is_possible(image.camera)}
    posed = [
        PosedImage(
            i.name, i.path, camera_from_colmap(found[i.name].camera), found[i.name].cam_from_world(), mask=i.mask
        )
        for i in images
        if i.name in found
    ]
    elsewhere = {image.name for other in others for image in other.images.values()}
    why = f"not registered with the {len(posed)} others"
    skipped = [
        Skipped(i.name, f"{why}, but in a group of its own" if i.name in elsewhere else why)
        for i in images
        if i.name not in found
    ]
    if not known_camera and len(posed) < SURE_FROM:
        log.warning("the camera is estimated from %d images alone, and may be off by 20 %%%s", len(posed), FEW_HELP)
    landmarks = triangulate_landmarks(posed, match_nearby(keypoints, posed, workers))
    if not any(len(observed) for observed in landmarks.values()):
        raise SourceError(
            f"no landmark could be triangulated from {len(posed)} of {len(images)} images that hang together; take "
            f"more images, that overlap more{'' if known_camera else CALIBRATION_HELPS}"
        )
    return [replace(image, landmarks=landmarks[image.name]) for image in posed], skipped


def find_large_models(
    images: list[UnposedImage], keypoints: Keypoints, workers: Workers, known_camera: bool
) -> list[pycolmap.Reconstruction]:
    """Return models, best first, with at least MIN_VIEWS in the best; if needed without matches that stay at a pixel.

    Raises:
        SourceError: no three images are connected with a plausible camera.
    """
    pairs = choose_pairs(images, keypoints)
    for keep in (keep_verified, keep_verified_moving):
        graph = match_pairs(keypoints, images, pairs, partial(keep, known_focal=known_camera), workers)
        models = find_models(images, graph, workers, known_camera)
        if models and rank_model(models[0])[0] >= MIN_VIEWS:
            return models
        if keep is keep_verified:
            log.warning(
                "no structure found; trying without matches that stay at one pixel, as a part of the robot does"
            )
    linked = sum(len(rows) > 0 for rows in graph.matches.values())
    raise SourceError(
        f"no structure found from {len(images)} images, {linked} pairs of which share matches; "
        f"images must overlap, and the camera must move, not only turn{'' if known_camera else CALIBRATION_HELPS}"
    )


def keep_verified_moving(
    a: tuple[ImageFile, NDArray], b: tuple[ImageFile, NDArray], rows: NDArray, *, known_focal: bool
) -> NDArray:
    """Return the verified rows among those that do not stay at one pixel."""
    stays = are_still(a[1][rows[:, 0]], b[1][rows[:, 1]])
    return keep_verified(a, b, rows[~stays], known_focal=known_focal)


def find_models(
    images: list[UnposedImage], graph: MatchGraph, workers: Workers, known_camera: bool
) -> list[pycolmap.Reconstruction]:
    """Return a model for each group of connected images, the best first.

    If the mapping starts with a wrong focal length, a few images often fit together with an implausible camera. So
    unless all images (of many: enough of them) fit with a plausible camera, it starts again with other focal lengths.
    """
    best: list[pycolmap.Reconstruction] = []
    for factor in (1.0,) if known_camera else FOCAL_FACTORS:
        guessed = [replace(image, camera=image.camera.scale_focal(factor)) for image in images]
        models = sorted(reconstruct_models(guessed, graph, workers, known_camera), key=rank_model, reverse=True)
        best = max(best, models, key=lambda models: rank_model(models[0]) if models else (-1, -1))
        if best and rank_model(best[0])[0] >= min(len(images), EXHAUSTIVE_UP_TO):
            break
    return best


def rank_model(model: pycolmap.Reconstruction) -> tuple[int, int]:
    """Return how many images with a plausible camera a model has, and how many observations."""
    possible = sum(image.has_pose and is_possible(image.camera) for image in model.images.values())
    return possible, model.compute_num_observations()


def is_possible(camera: pycolmap.Camera) -> bool:
    """Return whether focal length and distortion of a camera are plausible; a given camera always is."""
    return camera.has_prior_focal_length or not camera.has_bogus_params(*POSSIBLE_FOCAL_SHARES, MOST_DISTORTION)


def reconstruct_models(
    images: list[UnposedImage], graph: MatchGraph, workers: Workers, known_camera: bool
) -> list[pycolmap.Reconstruction]:
    """Run COLMAP's incremental mapper, seeded; return a model for each group of connected images."""
    unposed = build_reconstruction(images, [image.lens for image in images])
    for camera in unposed.cameras.values():
        camera.has_prior_focal_length = known_camera
    options = pycolmap.IncrementalPipelineOptions()
    options.extract_colors = False
    options.min_model_size = MIN_VIEWS
    options.random_seed = options.triangulation.random_seed = options.mapper.random_seed = 0
    if known_camera:
        options.ba_refine_focal_length = options.ba_refine_extra_params = False
        options.mapper.abs_pose_refine_focal_length = options.mapper.abs_pose_refine_extra_params = False
        allow_any_camera(options)
    with tempfile.TemporaryDirectory() as folder, silence_colmap():
        database = Path(folder) / "matches.db"
        write_database(database, unposed, graph)
        with workers.progress(total=len(images), desc="structure from motion", unit="view") as bar:
            found = pycolmap.incremental_mapping(
                database, folder, folder, options, next_image_callback=lambda: bar.update() and None
            )
    return list(found.values())


def move_images(images: list[PosedImage], new_from_world: pycolmap.Sim3d) -> list[PosedImage]:
    """Return the images and their landmarks in another frame."""
    moved = []
    for image in images:
        landmarks = image.landmarks
        if landmarks is not None:
            points = move_points(new_from_world, landmarks.points_in_world)
            landmarks = replace(landmarks, points_in_world=points)
        pose = move_pose(new_from_world, image.cam_from_world)
        moved.append(replace(image, cam_from_world=pose, landmarks=landmarks))
    return moved


def scale_arbitrarily(images: Iterable[PosedImage]) -> pycolmap.Sim3d:
    """Return the transform to a scale in which landmarks are about as far as in a room."""
    depth = median_depth_of(images)
    return pycolmap.Sim3d(DEPTH_OF_ARBITRARY_SCALE / depth, pycolmap.Rotation3d(), np.zeros(3))


def median_depth_of(images: Iterable[PosedImage]) -> float:
    """Return the median depth of the landmarks of images, 0 without any."""
    return median_depth((i.cam_from_world, i.landmarks.points_in_world) for i in images if i.landmarks is not None)


def median_depth(views: Iterable[tuple[pycolmap.Rigid3d, NDArray]]) -> float:
    """Return the median depth of all landmarks in front of the views that observe them, 0 without any.

    Args:
        views: cam_from_world of each, with the (M, 3) landmarks that it observes.
    """
    depths = [transform_points(cam_from_world, points)[:, 2] for cam_from_world, points in views]
    everywhere = np.concatenate([np.zeros(0), *depths])
    in_front = everywhere[everywhere > 0]
    return float(np.median(in_front)) if len(in_front) else 0.0
