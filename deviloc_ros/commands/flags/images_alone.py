"""Pose images without poses (`build-map --images DIR`) by structure from motion, and find the metric scale."""

from __future__ import annotations

import argparse
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from deviloc_ros.commands.flags.common import parse_camera, step_of
from deviloc_ros.commands.flags.masks import attach_masks
from deviloc_ros.commands.flags.source_flags import ALONE, LAYOUTS, check_flags, find_source
from deviloc_ros.commands.flags.sources import open_posed_images

if TYPE_CHECKING:
    import pycolmap

    from deviloc_ros.camera import Camera
    from deviloc_ros.config import Config
    from deviloc_ros.sources.base import PosedImage, Source
    from deviloc_ros.workers.base import Workers


LEAST_BASELINE = 1e-3  # of the median depth; the distance of nearer cameras gives no scale
MOST_PRINTED = 3  # cameras


@dataclass(frozen=True, slots=True)
class KnownDistance:
    """Hold the known distance between the cameras of two images."""

    one: str
    other: str
    metres: float


def add_images_alone(parser: argparse.ArgumentParser) -> None:
    """Add flags that give a map from images alone its metric scale. The images are those of --images."""
    group = parser.add_argument_group(
        "from images alone (--images without --poses or a layout)",
        "structure from motion; --camera is kept fixed, without it a SIMPLE_RADIAL camera is estimated",
    )
    group.add_argument(
        "--camera-per",
        choices=("lens", "folder", "image"),
        default="lens",
        help="which images of one size share a camera: those of one lens (EXIF), of one folder, or none. "
        "Default: %(default)s",
    )
    scale = group.add_mutually_exclusive_group()
    scale.add_argument(
        "--positions",
        type=Path,
        metavar="FILE",
        help="lines `NAME X Y Z` [m] with the camera positions of three images or more, which define the map's frame",
    )
    add_known_distance(scale)


def add_known_distance(group: argparse._ActionsContainer) -> None:
    """Add --known-distance, which `parse_distance` parses."""
    group.add_argument(
        "--known-distance",
        nargs=3,
        metavar=("NAME", "NAME", "METRES"),
        help="distance between the cameras of two images [m]",
    )


@contextmanager
def open_images(options: argparse.Namespace, config: Config, workers: Workers) -> Iterator[Source]:
    """Yield the posed images that the flags name, or images alone posed by structure from motion.

    Raises:
        ValueError: naming flag or file.
    """
    if find_source(options) is None:
        raise ValueError(
            "which images? give --images, alone or with --poses, or posed images by one of "
            + ", ".join(f"--{layout}" for layout in LAYOUTS)
        )
    if find_source(options) == ALONE:
        check_flags(options)
        yield pose_images_alone(options, config, workers)
    else:
        with open_posed_images(options) as source:
            yield source


def pose_images_alone(options: argparse.Namespace, config: Config, workers: Workers) -> Source:
    """Pose images by structure from motion, at the scale that the flags give or an arbitrary one."""
    from deviloc_ros.maps.alignment.known_positions import check_positions, read_positions
    from deviloc_ros.sfm.map_networks import Networks
    from deviloc_ros.sfm.photographs import pose_unposed
    from deviloc_ros.sfm.structure import find_images

    positions = read_positions(options.positions) if options.positions else {}
    known_distance = parse_distance(*options.known_distance) if options.known_distance else None
    camera = parse_camera(options.camera) if options.camera else None
    images, unreadable = find_images(options.images, camera, options.only or "*", step_of(options), options.camera_per)
    images = attach_masks(images, options)
    names = [image.name for image in images]  # to check the names of what is known before minutes of work
    if positions:
        check_positions(names, positions)
    if known_distance:
        check_named(known_distance, names, "images")
    find_scale = partial(find_metric_scale, positions=positions, known_distance=known_distance)
    networks = Networks(config).load_all()
    source = pose_unposed(images, networks, workers, find_scale, known_camera=camera is not None)
    estimated = list(dict.fromkeys(image.camera for image in source.images)) if camera is None else []
    about = {"camera": f"estimated: {describe_cameras(estimated)}"} if estimated else {}
    return replace(source, skipped=unreadable + source.skipped, notes=source.notes | about)


def describe_cameras(cameras: list[Camera]) -> str:
    """Format cameras as for --camera; of many, the first ones and the range of focal lengths."""
    if len(cameras) <= MOST_PRINTED:
        return " and ".join(format_camera(camera) for camera in cameras)
    focals_px = [camera.focal_px for camera in cameras]
    between = f"focal lengths from {min(focals_px):.1f} to {max(focals_px):.1f} px"
    return f"{len(cameras)} cameras, {between}; the first is {format_camera(cameras[0])}"


def find_metric_scale(
    images: list[PosedImage], positions: dict, known_distance: KnownDistance | None
) -> tuple[pycolmap.Sim3d, str]:
    """Return metric_from_model, and in words how it was found.

    Raises:
        ValueError: the known positions or distances do not fit the images.
    """
    from deviloc_ros.maps.alignment.known_positions import fit_positions
    from deviloc_ros.sfm.photographs import find_arbitrary_scale
    from deviloc_ros.sfm.structure import median_depth_of

    poses = {image.name: image.cam_from_world for image in images}
    if positions:
        metric_from_model, words = fit_positions(poses, positions)
        return metric_from_model, f"metres, {words}"
    if known_distance is None:
        return find_arbitrary_scale(images)
    check_named(known_distance, poses, "images that could be registered")
    return fit_distance(poses, known_distance, median_depth_of(images))


def fit_distance(
    poses: Mapping[str, pycolmap.Rigid3d], known: KnownDistance, depth: float
) -> tuple[pycolmap.Sim3d, str]:
    """Return metric_from_world, which only changes the scale, and in words how it was found.

    Args:
        poses: cam_from_world by name, with both images.
        depth: median depth of the landmarks, in the unit of the poses.

    Raises:
        ValueError: both were taken from the same place.
    """
    import numpy as np
    import pycolmap

    from deviloc_ros.geometry import translation_distance_m

    one, other, metres = known.one, known.other, known.metres
    distance = translation_distance_m(poses[one], poses[other])
    if distance <= LEAST_BASELINE * depth:
        raise ValueError(
            f"--known-distance: {one!r} and {other!r} were taken from the same place, so they give no scale"
        )
    words = f"metres, as {one} and {other} were {metres:g} m apart"
    return pycolmap.Sim3d(metres / distance, pycolmap.Rotation3d(), np.zeros(3)), words


def check_named(known_distance: KnownDistance, names: Container[str], what: str) -> None:
    """Raise ValueError naming the image that is not among `names`."""
    if missing := [name for name in (known_distance.one, known_distance.other) if name not in names]:
        raise ValueError(f"--known-distance: {missing[0]!r} is not among the {what}")


def format_camera(camera: Camera) -> str:
    """Format a camera as --camera takes it."""
    return ",".join([camera.model, str(camera.width), str(camera.height), *(f"{value:.6g}" for value in camera.params)])


def parse_distance(one: str, other: str, metres: str) -> KnownDistance:
    """Parse two names and a distance; raise ValueError naming the flag."""
    if one == other:
        raise ValueError(f"--known-distance: {one!r} is named twice, expected two images")
    try:
        distance_m = float(metres)
    except ValueError:
        distance_m = 0.0
    if not 0 < distance_m < float("inf"):
        raise ValueError(f"--known-distance: METRES is {metres!r}, expected a number above zero")
    return KnownDistance(one, other, distance_m)
