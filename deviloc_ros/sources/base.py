"""Define posed images, the source that every reader of them returns, and the error for what cannot be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import normalize_rigid
from deviloc_ros.io.arguments import check_argument
from deviloc_ros.io.encoded_images import read_picture_file
from deviloc_ros.io.plain_files import read_text
from deviloc_ros.masks import Mask
from deviloc_ros.sources.depth_images import DepthImage
from deviloc_ros.types import Landmarks

MOST_REASONS = 3  # listed in one line


class SourceError(ValueError):
    """Raise when posed images cannot be read; the message names file and field."""


class ImageFile(Protocol):
    """Describe an image with its camera."""

    @property
    def name(self) -> str: ...
    @property
    def path(self) -> Path: ...
    @property
    def camera(self) -> Camera: ...
    @property
    def mask(self) -> Mask | None: ...


@dataclass(frozen=True, slots=True, eq=False)
class PosedImage:
    """Hold an image with its camera and pose.

    landmarks: if the source has some. depth: if there is a depth image. mask: None: all of the image is used.
    """

    name: str
    path: Path
    camera: Camera
    cam_from_world: pycolmap.Rigid3d
    landmarks: Landmarks | None = None
    depth: DepthImage | None = None
    mask: Mask | None = None

    def __post_init__(self) -> None:
        check_argument("PosedImage.name", self.name, str)
        check_argument("PosedImage.path", self.path, (Path, str))
        check_argument("PosedImage.camera", self.camera, Camera)
        object.__setattr__(self, "cam_from_world", normalize_rigid("PosedImage.cam_from_world", self.cam_from_world))
        object.__setattr__(self, "path", Path(self.path))


@dataclass(frozen=True, slots=True)
class Skipped:
    """Name an image left out of a map, and say why."""

    name: str
    why: str


def error_for_none_left(skipped: list[Skipped]) -> SourceError:
    """Return the error that no image can be used, with the reason of each, or the reason that all share."""
    if not skipped:
        return SourceError("there are no images in it")
    whys = {image.why for image in skipped}
    if len(skipped) > 1 and len(whys) == 1:
        return SourceError(f"no usable image is left of {len(skipped)}, all of one reason: {whys.pop()}")
    listing = "".join(f"\n  {image.name}: {image.why}" for image in skipped)
    return SourceError(f"no usable image is left of {len(skipped)}{listing}")


def count_reasons(skipped: list[Skipped]) -> str:
    """Return why images were left out: the most common reasons first, each with the count and the first image."""
    whys = [image.why.rpartition(f"{image.name}: ")[2] for image in skipped]
    first = {why: image.name for why, image in reversed(list(zip(whys, skipped, strict=True)))}
    counts = Counter(whys).most_common()
    said = [f"{why} ({count}: {first[why]}{' …' if count > 1 else ''})" for why, count in counts[:MOST_REASONS]]
    return "; ".join(said) + (f"; and {len(counts) - MOST_REASONS} more reasons" if len(counts) > MOST_REASONS else "")


@dataclass(frozen=True, slots=True)
class Source:
    """Hold the usable images that a reader found, in a stable order, and those that it left out.

    notes: about the poses, for the map's provenance, by subject. warned: subjects of the notes that the reader has
    logged as warnings.
    """

    images: list[PosedImage]
    skipped: list[Skipped]
    notes: dict[str, str] = field(default_factory=dict)
    warned: frozenset[str] = frozenset()


def check_names(names: Iterable[str]) -> None:
    """Raise SourceError unless names are unique, since they identify images, matches and views."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise SourceError(f"image name {twice[0]!r} occurs more than once")


def read_numbers(path: Path, shape: tuple[int, ...]) -> NDArray:
    """Read a text file of numbers; raise SourceError naming it if it is missing or of another shape."""
    if not path.is_file():
        raise SourceError(f"{path}: not found")
    try:
        values = np.array(read_text(path).split(), float).reshape(shape)
    except ValueError as error:
        raise SourceError(f"{path}: {error}") from error
    return values


def read_image_size(path: Path) -> tuple[int, int]:
    """Return (width, height). Raises SourceError if the file is not a complete image."""
    try:
        height, width = read_picture_file(path).shape[:2]  # and so it is known to be whole
    except ValueError as error:
        raise SourceError(f"{path}: {error}") from error
    return width, height
