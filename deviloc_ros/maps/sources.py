"""Posed images from the layouts people have: 7-Scenes and KITTI odometry folders. COLMAP models: `colmap.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.geometry import rigid
from deviloc_ros.maps.depth_images import DepthImage
from deviloc_ros.types import Camera, Landmarks

SEVEN_SCENES_CAMERA = Camera("PINHOLE", 640, 480, (525.0, 525.0, 320.0, 240.0))
SEVEN_SCENES_DEPTH_CAMERA = Camera("PINHOLE", 640, 480, (585.0, 585.0, 320.0, 240.0))
# The data set gives none: the two lenses of this sensor are 25 mm apart.
SEVEN_SCENES_COLOR_FROM_DEPTH = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([-0.025, 0.0, 0.0]))


class SourceError(ValueError):
    """Posed images that cannot be read; the message names file and field."""


class ImageFile(Protocol):
    """An image with its camera."""

    @property
    def name(self) -> str: ...
    @property
    def path(self) -> Path: ...
    @property
    def camera(self) -> Camera: ...


@dataclass(frozen=True, slots=True, eq=False)
class PosedImage:
    """An image with its camera and pose; `landmarks` if the source model has some, `depth` if a sensor saw it too."""

    name: str
    path: Path
    camera: Camera
    cam_from_world: pycolmap.Rigid3d
    landmarks: Landmarks | None = None
    depth: DepthImage | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """An image left out of a map, and why."""

    name: str
    why: str


def none_left(skipped: list[Skipped]) -> SourceError:
    """The error that no image can be used, with a line for each."""
    listing = "".join(f"\n  {image.name}: {image.why}" for image in skipped)
    return SourceError(f"no usable image is left of {len(skipped)}{listing}")


@dataclass(frozen=True, slots=True)
class Source:
    """What a reader found: the usable images in a stable order, and those it had to leave out.

    notes: what a map of them is to say about its poses, by subject.
    """

    images: list[PosedImage]
    skipped: list[Skipped]
    notes: dict[str, str] = field(default_factory=dict)


def check_names(names: Iterable[str]) -> None:
    """Raises SourceError unless each name is there once: images, matches and views are told apart by it."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise SourceError(f"image name {twice[0]!r} occurs more than once")


def read_seven_scenes(folder: Path, sequences: tuple[str, ...] = (), camera: Camera = SEVEN_SCENES_CAMERA) -> Source:
    """`seq-XX/frame-NNNNNN.{color.*,pose.txt}`; pose.txt is world_from_cam. Default: TrainSplit.txt's sequences."""
    sequences = sequences or training_sequences(folder)
    images, skipped = [], []
    for sequence in sequences:
        frames = sorted((folder / sequence).glob("frame-*.color.*"))
        if not frames:
            raise SourceError(f"{folder / sequence}: no frame-*.color.* images")
        for path in frames:
            name = f"{sequence}/{path.name}"
            pose_file = beside_color(path, "pose.txt")
            try:
                world_from_cam = rigid(read_numbers(pose_file, (4, 4)))
                images.append(PosedImage(name, path, camera, world_from_cam.inverse()))
            except ValueError as error:
                skipped.append(Skipped(name, f"{pose_file.name}: {error}"))
    return Source(images, skipped)


def beside_color(path: Path, ending: str) -> Path:
    """`frame-000000.color.png` -> the same frame's `depth.png` or `pose.txt`."""
    return path.with_name(f"{path.name.split('.')[0]}.{ending}")


def training_sequences(folder: Path) -> tuple[str, ...]:
    """`sequence1` in TrainSplit.txt -> `seq-01`."""
    split = folder / "TrainSplit.txt"
    if not split.is_file():
        raise SourceError(f"{split}: not found; name the sequences")
    try:
        return tuple(f"seq-{int(name.removeprefix('sequence')):02d}" for name in split.read_text().split())
    except ValueError as error:
        raise SourceError(f"{split}: expected lines like 'sequence1': {error}") from error


def read_kitti(folder: Path, image_folder: str = "image_l") -> Source:
    """KITTI odometry: `calib.txt` (P0 on its first line), `poses.txt` (world_from_cam, 3 x 4 a line), images."""
    candidates = [folder / name for name in (image_folder, "image_0", "image_l")]
    images_at = next((c for c in candidates if c.is_dir()), None)
    if images_at is None:
        raise SourceError(f"{folder}: no image folder, looked for {', '.join(c.name for c in candidates)}")
    paths = sorted(p for p in images_at.iterdir() if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
    projection = read_projection(folder / "calib.txt")
    poses = read_numbers(folder / "poses.txt", (-1, 12))
    if len(poses) != len(paths) or not paths:
        raise SourceError(f"{folder / 'poses.txt'}: {len(poses)} poses for {len(paths)} images in {images_at.name}")
    width, height = image_size(paths[0])
    fx, fy, cx, cy = projection[[0, 1, 0, 1], [0, 1, 2, 2]].tolist()
    try:
        camera = Camera("PINHOLE", width, height, (fx, fy, cx, cy))
    except ValueError as error:
        raise SourceError(f"{folder / 'calib.txt'}: {error}") from error
    images, skipped = [], []
    for path, pose in zip(paths, poses, strict=True):
        try:
            images.append(PosedImage(path.name, path, camera, rigid(pose.reshape(3, 4)).inverse()))
        except ValueError as error:
            skipped.append(Skipped(path.name, f"poses.txt: {error}"))
    return Source(images, skipped)


def read_projection(path: Path) -> NDArray:
    """The first 3 x 4 projection of a calib.txt, with or without its `P0:`."""
    if not path.is_file():
        raise SourceError(f"{path}: not found")
    try:
        first = path.read_text().strip().partition("\n")[0]
        return np.array(first.split(":")[-1].split(), float).reshape(3, 4)
    except ValueError as error:
        raise SourceError(f"{path}: first line is not a 3 x 4 projection: {error}") from error


def read_numbers(path: Path, shape: tuple[int, ...]) -> NDArray:
    """A text file of numbers. Raises SourceError naming it if it is missing or of another shape."""
    if not path.is_file():
        raise SourceError(f"{path}: not found")
    try:
        values = np.array(path.read_text().split(), float).reshape(shape)
    except ValueError as error:
        raise SourceError(f"{path}: {error}") from error
    return values


def image_size(path: Path) -> tuple[int, int]:
    """(width, height). Raises SourceError if the file is not an image."""
    try:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # an empty file
        image = None
    if image is None:
        raise SourceError(f"{path}: not an image, or truncated")
    return image.shape[1], image.shape[0]
