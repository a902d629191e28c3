"""Turn images into tensors, and map pixels of tensors back to pixels of images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import NoneType

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.io.arguments import check_argument, describe_argument
from deviloc_ros.io.encoded_images import read_picture_file
from deviloc_ros.io.plain_files import is_ordinary_file
from deviloc_ros.types import Features

GRAY_AS_STORED = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
WHITE = 128  # and brighter, in a mask's file: is used
MASK_MARGIN_PX = 8  # what lies nearer to something hidden is described by it, too
MASKS_IN_MEMORY = 4  # one for each camera of a robot


class ImageError(ValueError):
    """Raise when an image cannot be used; the message says which and why."""


def read_gray(path: Path | str) -> NDArray:
    """Read an image as (H, W) uint8, as stored: EXIF's orientation is not applied, as in COLMAP and in ROS messages.

    Raises:
        ImageError: the file is missing, truncated or not an image; the message names it.
    """
    path = Path(path)
    try:
        if is_ordinary_file(path):
            return read_picture_file(path, GRAY_AS_STORED)
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ImageError(f"{path}: {error}") from error
    raise ImageError(f"{path}: no such image")


def to_gray(image: NDArray, camera: Camera) -> NDArray:
    """Convert a gray or BGR image to (H, W) uint8; raise ImageError unless it is uint8 and of the camera's size."""
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise ImageError(f"image must be (H, W) or (H, W, 3) uint8, got {image.shape} {image.dtype}")
    if image.shape[:2] != (camera.height, camera.width):
        raise ImageError(
            f"image is {image.shape[1]} x {image.shape[0]} px, its camera says {camera.width} x {camera.height}"
        )
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.shape[2] == 3 else image[..., 0]
    return lay_out(image)


def lay_out(array: NDArray) -> NDArray:
    """Return the array as PyTorch takes it: NumPy calls contiguous what runs backwards along a side of one pixel."""
    return array if array.flags.c_contiguous and min(array.strides) > 0 else array.copy()


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """Say which pixels of an image are used.

    file: an image of its size, white where it is used. hidden: a bool array over the image, of any size, True where it
    is not.
    """

    file: Path | None = None
    hidden: NDArray | None = None

    def __post_init__(self) -> None:
        check_argument("Mask.file", self.file, (Path, str, NoneType))
        check_argument("Mask.hidden", self.hidden, (np.ndarray, NoneType))
        if self.hidden is not None and (self.hidden.dtype != bool or self.hidden.ndim != 2 or not self.hidden.size):
            raise ValueError(
                f"Mask.hidden must be a bool array over the image, (H, W), got {describe_argument(self.hidden)}"
            )

    def check_file(self) -> None:
        """Raise ImageError if the file is missing, not an image, or white nowhere."""
        if self.file is not None:
            height, width = read_gray(self.file).shape
            read_mask_file(self.file, (width, height))

    def read(self, size: tuple[int, int]) -> NDArray:
        """Return (H, W) bool of an image of `size` (w, h): True where it is used, at a margin from what is not.

        Raises:
            ImageError: the file is missing, not an image, of another size, transparent somewhere, or white nowhere; the
                message names it.
        """
        used = np.ones(size[::-1], np.uint8)
        if self.file is not None:
            used = read_mask_file(self.file, size)
        if self.hidden is not None:
            hidden = cv2.resize(self.hidden.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
            used = used & (1 - hidden)
        margin = np.ones((2 * MASK_MARGIN_PX + 1, 2 * MASK_MARGIN_PX + 1), np.uint8)
        return cv2.erode(used, margin).astype(bool)  # what is outside the image takes nothing from it


@dataclass(frozen=True, slots=True)
class Masks:
    """Read masks that a user made: a file for all images, or a folder with one for each."""

    path: Path

    def find(self, name: str) -> Mask:
        """Return that of an image: the file, or in the folder that of its name, with another suffix or `.png` added.

        Raises:
            ImageError: there is none; the message names image and folder.
        """
        if not self.path.is_dir():
            return Mask(self.path)
        named = self.path / name
        for file in (named, named.with_suffix(".png"), named.with_name(f"{named.name}.png")):
            if file.is_file():
                return Mask(file)
        raise ImageError(
            f"{self.path}: no mask for image {name!r}, neither of that name nor with .png in place or added"
        )

    def check(self, name: str, size: tuple[int, int]) -> Mask:
        """Return the mask of an image of `size` (w, h). Raises ImageError naming what is wrong with it."""
        mask = self.find(name)
        try:
            mask.read(size)
        except ImageError as error:
            raise ImageError(f"{error}; image {name!r}") from error
        return mask


@lru_cache(MASKS_IN_MEMORY)
def read_mask_file(path: Path, size: tuple[int, int]) -> NDArray:
    """Return (H, W) uint8, 1 where a file is white. Raises ImageError as `Mask.read` does."""
    values = read_gray(path)
    if has_transparency(path):
        raise ImageError(f"mask {path} has transparent pixels, which say nothing here; save it opaque: white is used")
    if values.shape != size[::-1]:
        raise ImageError(
            f"mask {path} is {values.shape[1]} x {values.shape[0]} px, the image it is for {size[0]} x {size[1]}"
        )
    used = (values >= WHITE).astype(np.uint8)
    if not used.any():
        raise ImageError(f"mask {path} is black everywhere, so nothing of the image would be used; white is used")
    return used


def has_transparency(path: Path) -> bool:
    """Return whether an image that can be read has pixels that are not opaque."""
    values = read_picture_file(path)
    return values.ndim == 3 and values.shape[2] == 4 and bool((values[..., 3] != np.iinfo(values.dtype).max).any())


def read_used(mask: Mask | None, size: tuple[int, int]) -> NDArray | None:
    """Return what a mask says of an image of `size` (w, h), None without one. Raises ImageError as `Mask.read` does."""
    return None if mask is None else mask.read(size)


def paint_hidden(gray: NDArray, used: NDArray | None) -> NDArray:
    """Return a gray image that has, where it is not used, the mean of where it is: nothing to see there."""
    if used is None:
        return gray
    return np.where(used, gray, np.uint8(gray[used].mean() if used.any() else 0))


@dataclass(frozen=True, slots=True)
class PixelMapping:
    """Map pixels of a resized image to those of the original; centres are at integers on both sides."""

    scale_x: float
    scale_y: float

    def scales(self, keypoints: torch.Tensor) -> torch.Tensor:
        """Return (N, 2) original pixels per pixel, the same at all of (N, 2) keypoints."""
        return keypoints.new_tensor([self.scale_x, self.scale_y]).repeat(len(keypoints), 1)

    def to_original(self, keypoints: torch.Tensor) -> torch.Tensor:
        """Map (..., 2) pixels of the resized image to the original."""
        scale = keypoints.new_tensor([self.scale_x, self.scale_y])
        return (keypoints + 0.5) * scale - 0.5

    def from_original(self, keypoints: torch.Tensor) -> torch.Tensor:
        """Map (..., 2) pixels of the original to the resized image."""
        scale = keypoints.new_tensor([self.scale_x, self.scale_y])
        return (keypoints + 0.5) / scale - 0.5


def to_tensor(gray: NDArray, scale: float, multiple: int, device: torch.device) -> tuple[torch.Tensor, PixelMapping]:
    """Return (1, 1, h, w) float32 in [0, 1], scaled and then floored to a multiple per side, and the mapping back."""
    height, width = gray.shape
    w, h = (max(multiple, int(side * scale + 1e-6) // multiple * multiple) for side in (width, height))
    if (w, h) != (width, height):
        # Area averaging is bilinear when enlarging; when shrinking it does not alias.
        gray = cv2.resize(gray, (w, h), interpolation=cv2.INTER_AREA if w < width else cv2.INTER_LINEAR)
    tensor = torch.from_numpy(gray).to(device, torch.float32)[None, None] / 255
    return tensor, PixelMapping(width / w, height / h)


def sample_map(feature_map: torch.Tensor, keypoints: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Sample a map that spans an image of `size` (w, h) bilinearly: (C, h', w'), (N, 2) px -> (N, C)."""
    extent = keypoints.new_tensor(size)
    grid = (2 * (keypoints + 0.5) / extent - 1)[None, None].to(feature_map.dtype)
    sampled = torch.nn.functional.grid_sample(feature_map[None], grid, align_corners=False, padding_mode="border")
    return sampled[0, :, 0].T


def sample_unit_features(features: Features, keypoints: NDArray) -> NDArray:
    """Return (N, C) unit vectors of the dense feature map at (N, 2) px; (N, 0) where the map was not kept."""
    if features.dense is None:
        return np.zeros((len(keypoints), 0), np.float32)
    at = torch.as_tensor(keypoints, dtype=torch.float32, device=features.dense.device)
    return torch.nn.functional.normalize(sample_map(features.dense, at, features.size), dim=1).cpu().numpy()


def turn_image(gray: NDArray, quarter_turns: int) -> NDArray:
    """Return the image turned counterclockwise by a number of quarter turns."""
    return lay_out(np.rot90(gray, quarter_turns))


def mirror_image(gray: NDArray) -> NDArray:
    """Return the image with left and right exchanged."""
    return lay_out(gray[:, ::-1])


def turn_pixels_back(pixels: NDArray, quarter_turns: int, size: tuple[int, int]) -> NDArray:
    """Return where (N, 2) pixels of a turned image lie in the image of (width, height) `size` that it was made of."""
    x, y = pixels.T
    right, bottom = size[0] - 1, size[1] - 1
    return np.stack([(x, y), (right - y, x), (right - x, bottom - y), (y, bottom - x)][quarter_turns % 4], 1)
