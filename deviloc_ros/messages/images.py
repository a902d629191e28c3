"""Decode the pixels of image messages, raw and compressed."""

from __future__ import annotations

import logging
import math
import re
import sys
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deviloc_ros.io.encoded_images import decode_image, read_encoded_size

log = logging.getLogger(__name__)
TYPE_ALONE = re.compile(r"(8|16|32|64)[USF](C\d+)?")  # of a value, and nothing of what it means


@dataclass(frozen=True, slots=True)
class PixelLayout:
    """Describe the memory layout of an encoding.

    dtype: of a value. channels: values per pixel in a row. code: of cv2.cvtColor for conversion to BGR; None: gray or
    BGR already. rows: of data, per row of pixels.
    """

    dtype: str
    channels: int
    code: int | None = None
    rows: Fraction = Fraction(1)

    @property
    def is_gray(self) -> bool:
        return self.channels == 1 and self.code is None


# OpenCV names a Bayer pattern by the second row's second and third pixel, ROS by the first two rows.
BAYER = {
    "rggb": cv2.COLOR_BayerBG2BGR,
    "bggr": cv2.COLOR_BayerRG2BGR,
    "gbrg": cv2.COLOR_BayerGR2BGR,
    "grbg": cv2.COLOR_BayerGB2BGR,
}
ORDERS = {
    "bgr": (3, None),
    "rgb": (3, cv2.COLOR_RGB2BGR),
    "bgra": (4, cv2.COLOR_BGRA2BGR),
    "rgba": (4, cv2.COLOR_RGBA2BGR),
    "mono": (1, None),
}
DEPTHS = {"8": "u1", "16": "u2"}
PICTURES: dict[str, PixelLayout] = {
    **{f"{name}{bits}": PixelLayout(t, c, code) for name, (c, code) in ORDERS.items() for bits, t in DEPTHS.items()},
    **{f"bayer_{name}{bits}": PixelLayout(t, 1, code) for name, code in BAYER.items() for bits, t in DEPTHS.items()},
    **dict.fromkeys(("yuv422", "uyvy"), PixelLayout("u1", 2, cv2.COLOR_YUV2BGR_UYVY)),
    **dict.fromkeys(("yuv422_yuy2", "yuyv"), PixelLayout("u1", 2, cv2.COLOR_YUV2BGR_YUYV)),
    "nv12": PixelLayout("u1", 1, cv2.COLOR_YUV2BGR_NV12, Fraction(3, 2)),
    "nv21": PixelLayout("u1", 1, cv2.COLOR_YUV2BGR_NV21, Fraction(3, 2)),
    # These name a type and no colours, taken in OpenCV's own order, as cv_bridge writes arrays without a name.
    "8UC1": PixelLayout("u1", 1),
    "8UC3": PixelLayout("u1", 3),
    "8UC4": PixelLayout("u1", 4, cv2.COLOR_BGRA2BGR),
}
"""Every encoding that is read as a picture. Depth, floats and signed numbers are none."""


def pixels_of(message: Any) -> NDArray:
    """Return the (H, W) gray or (H, W, 3) BGR pixels, uint8, of an Image or CompressedImage.

    Raises:
        ValueError: the bytes do not match the encoding, or the encoding is not that of a camera image.
    """
    try:
        return to_picture(message) if hasattr(message, "encoding") else decode_compressed(message)
    except (TypeError, ValueError, cv2.error) as error:
        compressed = "" if hasattr(message, "encoding") else f" (its format is {message.format[:50]!r})"
        raise ValueError(f"image cannot be decoded: {error}{compressed}") from error


def decode_compressed(message: Any) -> NDArray:
    """Decode a CompressedImage to gray or BGR with 8 bits. Raises ValueError or cv2.error."""
    pixels = decode_image(message.data)
    if pixels.dtype == np.uint16 and not message.format.startswith("16UC1"):  # that is depth
        pixels = to_eight_bits(pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGRA2BGR)
    if pixels.dtype != np.uint8 or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise ValueError("a compressed image that is not gray or colour")
    return pixels


def to_eight_bits(pixels: NDArray) -> NDArray:
    """Convert values of 16 bits to 8 bits, scaled and rounded as in cv_bridge."""
    return pixels if pixels.dtype == np.uint8 else cv2.convertScaleAbs(pixels, alpha=255 / 65535)


def stated_size(message: Any) -> tuple[int, int]:
    """Return the width and height [px] that a message states, without decoding. Raises ValueError if it has none."""
    if hasattr(message, "encoding"):
        return message.width, message.height
    try:
        return read_encoded_size(message.data)
    except ValueError as error:
        raise ValueError(f"image cannot be decoded: {error}") from error


def to_picture(message: Any) -> NDArray:
    """Convert an Image to gray or BGR with 8 bits. Raises ValueError or cv2.error."""
    layout = layout_of(message.encoding)
    if layout.rows != 1 and (message.height % 2 or message.width % 2):
        raise ValueError(f"{message.encoding} of odd size, {message.width} x {message.height} px")
    if message.encoding in ("8UC3", "8UC4"):
        warn_of_unsaid_colours(message.encoding)
    values = values_of(message, layout.dtype, layout.channels, layout.rows)
    return to_eight_bits(values if layout.code is None else cv2.cvtColor(values, layout.code))


@cache
def warn_of_unsaid_colours(encoding: str) -> None:
    """Warn once that the order of colours is assumed."""
    log.warning("images of encoding %r do not name their colours: assumed to be blue, green, red", encoding)


def layout_of(encoding: str) -> PixelLayout:
    """Return the layout of an image encoding. Raises ValueError for any other encoding."""
    if TYPE_ALONE.fullmatch(encoding) and encoding not in PICTURES:
        raise ValueError(
            f"encoding {encoding!r} does not say what its values mean: publish mono8, mono16, bgr8 or rgb8"
        )
    if encoding not in PICTURES:
        raise ValueError(f"encoding {encoding[:50]!r} is not that of a camera image; known are {', '.join(PICTURES)}")
    return PICTURES[encoding]


def values_of(message: Any, dtype: str, channels: int, rows: Fraction = Fraction(1)) -> NDArray:
    """Return the (H, W) or (H, W, C) values of an Image, without padding of the rows.

    Args:
        dtype: of a value, NumPy's name without byte order, which the message states.
        rows: of data, per row of pixels.

    Raises:
        ValueError: no pixels, or too few bytes for them.
    """
    value = np.dtype(dtype).newbyteorder(">" if message.is_bigendian else "<")
    row_bytes = message.width * channels * value.itemsize
    height = math.ceil(message.height * rows)
    data = np.frombuffer(message.data, np.uint8)
    step = max(message.step, row_bytes)
    if height == 0 or row_bytes == 0:
        raise ValueError(f"an image of {message.width} x {message.height} px has no pixels")
    if data.size < (height - 1) * step + row_bytes:  # some drivers do not fill up the last row
        raise ValueError(f"{data.size} bytes, {height} rows of {step} expected")
    padded = np.lib.stride_tricks.as_strided(data, (height, row_bytes), (step, 1), writeable=False)
    values = np.ascontiguousarray(padded).view(value).reshape(height, message.width, channels)
    if not value.isnative:
        values = values.astype(value.newbyteorder("="))
    return values[..., 0] if channels == 1 else values


def is_packed(message: Any) -> bool:
    """Return whether rows have no padding and values have this machine's byte order."""
    layout = layout_of(message.encoding)
    row_bytes = message.width * layout.channels * np.dtype(layout.dtype).itemsize
    is_native = layout.dtype == "u1" or bool(message.is_bigendian) == (sys.byteorder == "big")
    return is_native and message.step == row_bytes and len(message.data) == message.height * row_bytes * layout.rows
