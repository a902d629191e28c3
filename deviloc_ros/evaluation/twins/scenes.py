"""Build maps of places that look alike, and drives through one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray
from tqdm import tqdm

from deviloc_ros.camera import Camera
from deviloc_ros.evaluation.protocols.scenes import load_protocol
from deviloc_ros.imaging import read_gray
from deviloc_ros.mapping.build import MapBuilder
from deviloc_ros.maps.edit import align_map, merge_maps
from deviloc_ros.sfm.map_networks import Networks
from deviloc_ros.sources.base import PosedImage, Source
from deviloc_ros.synthetic.render import render_color
from deviloc_ros.synthetic.twins import (
    ScenePlace,
    drive_along,
    drive_around,
    make_corridor,
    make_mirrored_rooms,
    make_rooms_with_another_poster,
)
from deviloc_ros.workers.base import Serial

CAMERA = Camera("PINHOLE", 320, 240, (240.0, 240.0, 159.5, 119.5))
SEED = 3
COPY_OFFSET_M = 10.0
FRAMES = 16  # of a drive
ELSEWHERE = 8  # frames of the drive that goes on in the other place
MAPPED = 3  # every so many-th view of a rendered path is mapped, the others are the drive
SPAN = 0.5  # of the closed path through a room
CORRIDOR_START_M, CORRIDOR_ELSEWHERE_M, CORRIDOR_STEP_M = 4.0, 17.0, 0.2
KITCHEN_RATE_HZ, RENDERED_RATE_HZ = 3.75, 5.0


@dataclass(frozen=True, slots=True, eq=False)
class TwinFrame:
    """Hold one image of a drive and where its camera truly was. `load` gives (H, W) or (H, W, 3) uint8 pixels."""

    cam_from_world: pycolmap.Rigid3d
    load: Callable[[], NDArray]


@dataclass(frozen=True, slots=True, eq=False)
class TwinScene:
    """Hold a map of places which look alike, and a drive."""

    name: str
    map_folder: Path
    camera: Camera
    rate_hz: float
    drive: list[TwinFrame]
    elsewhere: list[TwinFrame]


def make_twin_scenes(data: Path, folder: Path, networks: Networks) -> Iterator[TwinScene]:
    """Yield each scene, its map built in `folder` when it is asked for."""
    yield make_kitchen_and_copy(data, folder, networks)
    yield make_rendered_rooms("another-poster", make_rooms_with_another_poster(SEED), folder, networks)
    yield make_rendered_rooms("mirrored-room", make_mirrored_rooms(SEED), folder, networks)
    yield make_rendered_corridor(ScenePlace(make_corridor(SEED)), folder, networks)


def make_kitchen_and_copy(data: Path, folder: Path, networks: Networks) -> TwinScene:
    """Join kitchen-12 in one map with itself, 10 m along x; the robot is in the copy."""
    (fold,) = load_protocol("kitchen-12", data).folds
    here, copy, both = (folder / f"kitchen{suffix}.map" for suffix in ("", "-copy", "-twins"))
    copy_from_world = pycolmap.Sim3d(1.0, pycolmap.Rotation3d(), np.array([COPY_OFFSET_M, 0.0, 0.0]))
    if not both.is_dir():
        build_map_of(fold.map_images, here, networks)
        align_map(here, copy_from_world, copy, {})
        merge_maps([here, copy], both, prefix=True)
    queries = fold.queries
    drive = [move_kitchen_frame(image, COPY_OFFSET_M) for image in queries[:FRAMES]]
    elsewhere = [move_kitchen_frame(image, 0.0) for image in queries[FRAMES : FRAMES + ELSEWHERE]]
    return TwinScene("kitchen-copy", both, queries[0].camera, KITCHEN_RATE_HZ, drive, elsewhere)


def move_kitchen_frame(image: PosedImage, offset_m: float) -> TwinFrame:
    """Return what was taken in the kitchen, as if in the one that lies so far along x."""
    world_from_copy = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([-offset_m, 0.0, 0.0]))
    return TwinFrame(image.cam_from_world * world_from_copy, partial(read_gray, image.path))


def make_rendered_rooms(name: str, places: list[ScenePlace], folder: Path, networks: Networks) -> TwinScene:
    """Map both rooms along the same two paths; the robot drives in the second and is carried to the first."""
    views: list[tuple[ScenePlace, pycolmap.Rigid3d]] = []
    count = FRAMES * MAPPED // (MAPPED - 1)
    for place, seed in product(places, (SEED, SEED + 1)):
        views += [(place, pose) for pose in drive_around(place, seed, count, SPAN)[::MAPPED]]
    drives = []
    for place, seed in zip(places[::-1], (SEED, SEED + 1), strict=True):
        poses = drive_around(place, seed, count, SPAN)
        drives.append([make_rendered_frame(place, pose) for number, pose in enumerate(poses) if number % MAPPED])
    map_folder = build_rendered_map(name, views, folder, networks)
    return TwinScene(name, map_folder, CAMERA, RENDERED_RATE_HZ, drives[0], drives[1][-ELSEWHERE:])


def make_rendered_corridor(place: ScenePlace, folder: Path, networks: Networks) -> TwinScene:
    """Make a drive past equal doors and one notice; the robot is carried past some of them."""
    sway = np.random.default_rng(SEED)
    mapped = drive_along(place, 1.0, 0.4, 52, sway)
    map_folder = build_rendered_map("equal-doors", [(place, pose) for pose in mapped], folder, networks)
    drive = drive_along(place, CORRIDOR_START_M, CORRIDOR_STEP_M, FRAMES, sway)
    elsewhere = drive_along(place, CORRIDOR_ELSEWHERE_M, CORRIDOR_STEP_M, ELSEWHERE, sway)
    frames = [[make_rendered_frame(place, pose) for pose in poses] for poses in (drive, elsewhere)]
    return TwinScene("equal-doors", map_folder, CAMERA, RENDERED_RATE_HZ, *frames)


def make_rendered_frame(place: ScenePlace, pose: pycolmap.Rigid3d) -> TwinFrame:
    """Return a frame of a scene that is rendered when it is loaded."""
    return TwinFrame(pose, partial(render_color, place.scene, CAMERA, place.to_place(pose)))


def build_rendered_map(
    name: str, views: list[tuple[ScenePlace, pycolmap.Rigid3d]], folder: Path, networks: Networks, *, quiet: bool = True
) -> Path:
    """Build a map of rendered views, unless it is there."""
    map_folder, images_folder = folder / f"{name}.map", folder / name
    if map_folder.is_dir():
        return map_folder
    images_folder.mkdir(parents=True, exist_ok=True)
    images = []
    for number, (place, pose) in enumerate(tqdm(views, desc="rendering", unit="view", disable=quiet or None)):
        path = images_folder / f"view-{number:04d}.png"
        cv2.imwrite(str(path), render_color(place.scene, CAMERA, place.to_place(pose)))
        images.append(PosedImage(path.name, path, CAMERA, pose))
    build_map_of(images, map_folder, networks, quiet=quiet)
    return map_folder


def build_map_of(images: list[PosedImage], folder: Path, networks: Networks, *, quiet: bool = True) -> None:
    """Build a map."""
    MapBuilder(networks, Serial(quiet=quiet)).build(Source(images, []), folder)


def load_pixels(frame: TwinFrame) -> TwinFrame:
    """Return the frame with its pixels at hand: it is used in many cases."""
    pixels = frame.load()
    return replace(frame, load=lambda: pixels)
