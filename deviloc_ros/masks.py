"""Read masks: which pixels of an image are used."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import NoneType

import cv2
import numpy as np
from numpy.typing import NDArray

from deviloc_ros.imaging import ImageError, read_gray
from deviloc_ros.io.arguments import check_argument, describe_argument
from deviloc_ros.io.encoded_images import read_picture_file

WHITE = 128  # a pixel of a mask file that is at least this bright is used
MASK_MARGIN_PX = 8  # descriptors of keypoints this near to hidden pixels would describe these, too
MASKS_IN_MEMORY = 4  # one for each camera of a robot


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """Say which pixels of an image are used.

    file: an image of the same size, white where pixels are used. hidden: a bool array of any size that spans the image,
    True where pixels are not used.
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
        """Return (H, W) bool for an image of `size` (w, h): True for used pixels away from the border of hidden ones.

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
        return cv2.erode(used, margin).astype(bool)  # erode keeps pixels at the image's own border


@dataclass(frozen=True, slots=True)
class Masks:
    """Find masks that a user made: one file for all images, or a folder with one file per image."""

    path: Path

    def find(self, name: str) -> Mask:
        """Return the mask of an image: the only file, or the one in the folder that is named like the image.

        In the folder, `.png` may take the place of the image's suffix or follow it.

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
        raise ImageError(
            f"mask {path} has transparent pixels, which have no meaning here; save it opaque: white is used"
        )
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


def read_mask(mask: Mask | None, size: tuple[int, int]) -> NDArray | None:
    """Return `mask.read(size)`, or None if there is no mask."""
    return None if mask is None else mask.read(size)


def paint_hidden(gray: NDArray, used: NDArray | None) -> NDArray:
    """Return a gray image whose unused pixels are painted with the mean of the used ones."""
    if used is None:
        return gray
    return np.where(used, gray, np.uint8(gray[used].mean() if used.any() else 0))
