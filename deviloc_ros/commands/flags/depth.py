"""Define flags for a depth sensor, and attach its depth to posed images."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from deviloc_ros.commands.flags.common import CAMERA, parse_above_zero, parse_camera

if TYPE_CHECKING:
    import pycolmap

    from deviloc_ros.camera import Camera
    from deviloc_ros.sources.base import PosedImage, Source
    from deviloc_ros.sources.recorded_depth import DepthPlan

FindDepth = Callable[["PosedImage"], "Path | None"]


def add_depth(group: argparse._ArgumentGroup) -> None:
    """Add where depth is, in which unit, and which camera took it."""
    group.add_argument(
        "--depth",
        nargs="?",
        const="",
        metavar="DIR",
        help="use depth images: those of the layout (7-Scenes, TUM), or of DIR, 16-bit PNG named as the images",
    )
    group.add_argument("--depth-topic", default="", metavar="TOPIC", help="--bag: depth images, 16UC1 or 32FC1")
    group.add_argument(
        "--depth-camera-info-topic", default="", metavar="TOPIC", help="default: the one next to --depth-topic"
    )
    group.add_argument(
        "--depth-scale", type=parse_above_zero, metavar="UNITS", help="values per metre in a file (1000; TUM: 5000)"
    )
    group.add_argument(
        "--depth-camera",
        metavar=CAMERA,
        help="calibration; default: registered to colour (7-Scenes: that of its sensor; --bag: camera_info)",
    )
    group.add_argument(
        "--depth-to-color",
        metavar="'X Y Z QX QY QZ QW'",
        help="the depth camera in the colour camera's frame; default: the same frame (7-Scenes: 25 mm; --bag: TF)",
    )


def attach_depth(source: Source, options: argparse.Namespace) -> Source:
    """Return the images with the depth files that the flags name; the files are not read yet.

    Raises:
        ValueError: the message names the flag.
    """
    from deviloc_ros.sources.depth_images import MILLIMETRES, DepthImage
    from deviloc_ros.sources.sevenscenes import SEVEN_SCENES_COLOR_FROM_DEPTH, SEVEN_SCENES_DEPTH_CAMERA
    from deviloc_ros.sources.tum_rgbd import UNITS_PER_M

    if options.depth is None:
        if options.depth_scale is not None or options.depth_camera or options.depth_to_color:
            raise ValueError("--depth-scale, --depth-camera and --depth-to-color do nothing without --depth")
        return source
    find = choose_depth_finder(options)
    camera, color_from_depth = parse_depth_camera(options), parse_color_from_depth(options)
    if options.sevenscenes:
        camera = camera or SEVEN_SCENES_DEPTH_CAMERA
        color_from_depth = color_from_depth or SEVEN_SCENES_COLOR_FROM_DEPTH
    units_per_m = options.depth_scale or (UNITS_PER_M if options.tum else MILLIMETRES)
    images = []
    for image in source.images:
        path = find(image)
        depth = DepthImage(path, camera or image.camera, color_from_depth, units_per_m) if path else None
        images.append(replace(image, depth=depth))
    return replace(source, images=images)


def choose_depth_finder(options: argparse.Namespace) -> FindDepth:
    """Return a function that finds an image's depth file. Raises ValueError if neither flag nor layout defines it."""
    from deviloc_ros.sources.sevenscenes import path_beside_color
    from deviloc_ros.sources.tum_rgbd import index_depth

    if options.depth:
        folder = Path(options.depth)
        if not folder.is_dir():
            raise ValueError(f"--depth {folder}: no such folder")
        return lambda image: depth_in_folder(folder, Path(image.name))
    if options.sevenscenes:
        return lambda image: path_beside_color(image.path, "depth.png")
    if options.tum:
        return index_depth(options.tum)
    raise ValueError("--depth: say in which folder (--depth DIR); only 7-Scenes and TUM have a place of their own")


def depth_in_folder(folder: Path, name: Path) -> Path:
    """Return `name.png`, or `frame.depth.png` for `frame.color.jpg`."""
    from deviloc_ros.sources.sevenscenes import path_beside_color

    other = path_beside_color(folder / name, "depth.png")
    return other if other.is_file() else folder / name.with_suffix(".png")


def plan_depth(options: argparse.Namespace) -> DepthPlan | None:
    """Return where a recording has depth; None without --depth-topic. Raises ValueError naming the flag."""
    from deviloc_ros.sources.recorded_depth import DepthPlan

    if not options.depth_topic:
        if options.depth_camera_info_topic or options.depth_camera or options.depth_to_color:
            raise ValueError(
                "--depth-camera-info-topic, --depth-camera and --depth-to-color do nothing without --depth-topic"
            )
        return None
    return DepthPlan(
        options.depth_topic,
        options.depth_camera_info_topic,
        parse_depth_camera(options),
        parse_color_from_depth(options),
    )


def parse_depth_camera(options: argparse.Namespace) -> Camera | None:
    """Return the depth camera's calibration, None if not given."""
    return parse_camera(options.depth_camera, "--depth-camera") if options.depth_camera else None


def parse_color_from_depth(options: argparse.Namespace) -> pycolmap.Rigid3d | None:
    """Return color_from_depth, None if not given. Raises ValueError naming the flag."""
    from deviloc_ros.messages.headers import parse_rigid

    try:
        return parse_rigid(options.depth_to_color) if options.depth_to_color else None
    except ValueError as error:
        raise ValueError(f"--depth-to-color: {error}") from error
