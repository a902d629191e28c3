"""Turn images into tensors, and map pixels of tensors back to pixels of images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.io.encoded_images import read_picture_file
from deviloc_ros.io.plain_files import is_ordinary_file
from deviloc_ros.types import Features

GRAY_AS_STORED = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION


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
    return make_contiguous(image)


def make_contiguous(array: NDArray) -> NDArray:
    """Return the array with positive strides, as PyTorch needs.

    NumPy also calls an array contiguous that has a negative stride along an axis of length one.
    """
    return array if array.flags.c_contiguous and min(array.strides) > 0 else array.copy()


@dataclass(frozen=True, slots=True)
class PixelMapping:
    """Map pixels of a resized image to those of the original; centres are at integers on both sides."""

    scale_x: float
    scale_y: float

    def scales(self, keypoints: torch.Tensor) -> torch.Tensor:
        """Return (N, 2) original pixels per resized pixel, the same for all of (N, 2) keypoints."""
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


def sample_feature_map(feature_map: torch.Tensor, keypoints: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
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
    return torch.nn.functional.normalize(sample_feature_map(features.dense, at, features.size), dim=1).cpu().numpy()


def turn_image(gray: NDArray, quarter_turns: int) -> NDArray:
    """Return the image turned counterclockwise by a number of quarter turns."""
    return make_contiguous(np.rot90(gray, quarter_turns))


def mirror_image(gray: NDArray) -> NDArray:
    """Return the image with left and right exchanged."""
    return make_contiguous(gray[:, ::-1])


def turn_pixels_back(pixels: NDArray, quarter_turns: int, size: tuple[int, int]) -> NDArray:
    """Map (N, 2) pixels of a turned image to the image before it was turned, whose `size` is (width, height)."""
    x, y = pixels.T
    right, bottom = size[0] - 1, size[1] - 1
    return np.stack([(x, y), (right - y, x), (right - x, bottom - y), (y, bottom - x)][quarter_turns % 4], 1)
