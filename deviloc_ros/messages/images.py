"""Pixels of image messages, raw and compressed."""

from __future__ import annotations

import logging
import re
from functools import cache
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.image import ImageError, image_to_cvimage
from rosbags.image.image import to_cvtype

log = logging.getLogger(__name__)
GRAY_ENCODINGS = {"mono8": "mono8", "mono16": "mono8", "8UC1": "8UC1"}  # and what they are converted to
SEMI_PLANAR = {"nv12": cv2.COLOR_YUV2BGR_NV12, "nv21": cv2.COLOR_YUV2BGR_NV21}  # brightness, then colours at a quarter
COLOURS_UNSAID = {"8UC3": "bgr8", "8UC4": "bgra8"}  # OpenCV's own order, as `cv_bridge` writes arrays without a name
NO_PICTURE = re.compile(r"(8S|16U|16S|32S|32F|64F)(C\d+)?|8UC([25-9]|\d\d+)")


def pixels_of(message: Any) -> NDArray:
    """(H, W) gray or (H, W, 3) BGR, uint8, of an Image or CompressedImage, as `cv_bridge` converts it.

    Raises:
        ValueError: the bytes are not what the encoding says, or the encoding is not one of a camera's picture.
    """
    if hasattr(message, "encoding"):
        return decode_raw(message)
    data = np.frombuffer(message.data, np.uint8)
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except cv2.error as error:
        raise ValueError(f"image cannot be decoded: {error}") from error
    if pixels is not None and pixels.dtype == np.uint16 and not message.format.startswith("16UC1"):
        pixels = (pixels * (255 / 65535)).astype(np.uint8)
    if pixels is not None and pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGRA2BGR)
    if pixels is None or pixels.dtype != np.uint8 or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise ValueError(f"compressed image of format {message.format!r} is not gray or colour")
    return pixels


def decode_raw(message: Any) -> NDArray:
    """Decode an Image. Raises ValueError."""
    encoding = message.encoding
    if NO_PICTURE.fullmatch(encoding):
        raise ValueError(
            f"encoding {encoding!r} does not say what its values mean: publish mono8, mono16, bgr8 or rgb8"
        )
    try:
        if encoding in SEMI_PLANAR:
            return cv2.cvtColor(semi_planar(message), SEMI_PLANAR[encoding])
        plain = unpadded(message)
        if encoding in COLOURS_UNSAID:
            warn_of_unsaid_colours(encoding)
            plain.encoding = COLOURS_UNSAID[encoding]
        return image_to_cvimage(plain, wanted_encoding(plain.encoding))
    except (ImageError, TypeError, ValueError, cv2.error) as error:
        raise ValueError(f"image cannot be decoded: {error}") from error


def is_known_to_cv_bridge(encoding: str) -> bool:
    """Whether `cv_bridge` makes gray or colour of it; `pixels_of` decodes some more, or refuses them with a word."""
    return not (encoding in SEMI_PLANAR or encoding in COLOURS_UNSAID or NO_PICTURE.fullmatch(encoding))


@cache
def warn_of_unsaid_colours(encoding: str) -> None:
    """Say once that the order of colours was assumed."""
    log.warning("images of encoding %r do not name their colours: taken for %s", encoding, COLOURS_UNSAID[encoding])


def semi_planar(message: Any) -> NDArray:
    """(3 H / 2, W) uint8: a row a line of brightness, below them those of colours. Raises ValueError: too few bytes."""
    rows, step = message.height * 3 // 2, max(message.step, message.width)
    if message.height % 2 or message.width % 2:
        raise ValueError(f"{message.encoding} of odd size, {message.width} x {message.height} px")
    data = np.frombuffer(message.data, np.uint8)
    if data.size < rows * step:
        raise ValueError(f"{data.size} bytes, {rows} rows of {step} expected")
    return np.ascontiguousarray(data[: rows * step].reshape(rows, step)[:, : message.width])


def wanted_encoding(encoding: str) -> str:
    """What a picture is converted to: gray stays gray, all else becomes BGR."""
    return GRAY_ENCODINGS.get(encoding, "bgr8")


def unpadded(message: Any) -> Any:
    """An Image without the bytes that a driver may add to each row. Raises ValueError: too few bytes."""
    _, _, dtype, channels = to_cvtype(message.encoding)
    row_bytes = message.width * channels * np.dtype(dtype).itemsize
    data = np.frombuffer(message.data, np.uint8)
    step = max(message.step, row_bytes)
    if data.size < message.height * step:
        raise ValueError(f"{data.size} bytes, {message.height} rows of {step} expected")
    rows = data[: message.height * step].reshape(message.height, step)[:, :row_bytes]
    return SimpleNamespace(
        encoding=message.encoding,
        height=message.height,
        width=message.width,
        is_bigendian=bool(message.is_bigendian),
        data=np.ascontiguousarray(rows).reshape(-1).data,
    )
