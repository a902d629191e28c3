"""Pixels of image messages, raw and compressed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.image import ImageError, image_to_cvimage
from rosbags.image.image import to_cvtype

GRAY_ENCODINGS = {"mono8": "mono8", "mono16": "mono8", "8UC1": "8UC1"}  # and what they are converted to


def pixels_of(message: Any) -> NDArray:
    """(H, W) gray or (H, W, 3) BGR, uint8, of an Image or CompressedImage, as `cv_bridge` converts it.

    Raises:
        ValueError: the bytes are not what the encoding says, or the encoding is not one of a camera's picture.
    """
    try:
        if hasattr(message, "encoding"):
            return image_to_cvimage(unpadded(message), wanted_encoding(message.encoding))
        data = np.frombuffer(message.data, np.uint8)
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except (ImageError, TypeError, ValueError, cv2.error) as error:
        raise ValueError(f"image cannot be decoded: {error}") from error
    if pixels is None or pixels.dtype != np.uint8 or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise ValueError(f"compressed image of format {message.format!r} is not 8-bit gray or colour")
    return pixels


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
