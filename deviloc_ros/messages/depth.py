"""Depth in ROS messages (REP 118): Image of 16UC1 [mm] or 32FC1 [m], and compressedDepth of both."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.image import ImageError, image_to_cvimage

from deviloc_ros.messages.images import unpadded

MILLIMETRE = 0.001
ENCODINGS = ("16UC1", "mono16", "32FC1")
CONFIG_HEADER = struct.Struct("<iff")  # of compressed_depth_image_transport: format, then two parameters


def depth_of(message: Any) -> NDArray:
    """(H, W) m, float32, 0 where there is none.

    Raises:
        ValueError: not depth, or the bytes are not what the encoding says.
    """
    try:
        depth = of_image(message) if hasattr(message, "encoding") else of_compressed(message)
    except (ImageError, TypeError, cv2.error, struct.error) as error:
        raise ValueError(f"depth image cannot be decoded: {error}") from error
    return np.where(np.isfinite(depth) & (depth > 0), depth, 0).astype(np.float32)


def of_image(message: Any) -> NDArray:
    if message.encoding not in ENCODINGS:
        raise ValueError(f"depth image of encoding {message.encoding!r}; known are {', '.join(ENCODINGS)}")
    values = image_to_cvimage(unpadded(message))
    return values * MILLIMETRE if values.dtype == np.uint16 else values


def of_compressed(message: Any) -> NDArray:
    """A header, then a PNG of millimetres, or of a / depth + b where the depth was in floats."""
    encoding = message.format.partition(";")[0].strip()
    data = bytes(message.data)
    _, a, b = CONFIG_HEADER.unpack_from(data)
    values = cv2.imdecode(np.frombuffer(data, np.uint8, offset=CONFIG_HEADER.size), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or encoding not in ENCODINGS:
        raise ValueError(f"compressed image of format {message.format!r} is not compressedDepth in PNG")
    if encoding != "32FC1":
        return values * MILLIMETRE
    with np.errstate(divide="ignore"):
        return np.where(values > 0, a / (values - np.float32(b)), 0)
