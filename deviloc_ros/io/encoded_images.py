"""Read the size of encoded pictures (PNG, JPEG, …) before they are decoded: a megabyte may become a gigabyte."""

from __future__ import annotations

import io
import warnings
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_PIXELS = 160_000_000  # the largest sensors on sale have 151 million
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000")  # of those that OpenCV decodes


def read_encoded_size(data: Any) -> tuple[int, int]:
    """Return width and height [px] as the header of a picture states them, without decoding it.

    Raises:
        ValueError: not a picture of a known format, or one too large to be a camera's.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes, which MAX_PIXELS decides, and of damage
        try:
            with Image.open(io.BytesIO(memoryview(data)), formats=FORMATS) as picture:
                width, height = picture.size
        except Image.DecompressionBombError as error:
            raise ValueError(f"too large: {error}") from error
        except Exception as error:  # any kind: Pillow reads the header by offsets that the header itself states
            raise ValueError("not an image, or truncated") from error
    if width * height > MAX_PIXELS:
        raise ValueError(f"too large: {width} x {height} px, a camera has at most {MAX_PIXELS // 10**6} million")
    return width, height


def decode_image(data: Any, flags: int = cv2.IMREAD_UNCHANGED, size: tuple[int, int] | None = None) -> NDArray:
    """Return the pixels of an encoded picture, as OpenCV gives them.

    Args:
        data: what an image file holds.
        flags: of cv2.imdecode.
        size: width and height [px] that it must have; a picture that stands on its side may have them swapped.

    Raises:
        ValueError: not a picture, not of that size, or too large.
    """
    width, height = read_encoded_size(data)
    if size is not None and (width, height) not in (size, size[::-1]):
        raise ValueError(f"image of {width} x {height} px, {size[0]} x {size[1]} expected")
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ValueError(f"cannot decode: {error.err}") from error
    if pixels is None:
        raise ValueError("not an image, or truncated")
    return pixels
