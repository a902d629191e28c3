"""Read depth from ROS messages (REP 118): Image with 16UC1 [mm] or 32FC1 [m], and compressedDepth of both."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deviloc_ros.io.encoded_images import decode_image
from deviloc_ros.messages.images import values_of

MILLIMETRE = 0.001
ENCODINGS = {"16UC1": "u2", "mono16": "u2", "32FC1": "f4"}  # and the types of their values
CONFIG_HEADER = struct.Struct("<iff")  # of compressed_depth_image_transport: format, then two parameters


def read_depth_message(message: Any) -> NDArray:
    """Return (H, W) m, float32, 0 for no depth.

    Raises:
        ValueError: not depth, or the bytes do not match the encoding.
    """
    try:
        depth = read_raw_depth(message) if hasattr(message, "encoding") else read_compressed_depth(message)
    except (TypeError, ValueError, struct.error) as error:
        raise ValueError(f"depth image cannot be decoded: {error}") from error
    return np.where(np.isfinite(depth) & (depth > 0), depth, 0).astype(np.float32)


def read_raw_depth(message: Any) -> NDArray:
    """Return the depth of an Image."""
    if message.encoding not in ENCODINGS:
        raise ValueError(f"depth image of encoding {message.encoding!r}; known are {', '.join(ENCODINGS)}")
    values = values_of(message, ENCODINGS[message.encoding], 1)
    return values * MILLIMETRE if values.dtype == np.uint16 else values


def read_compressed_depth(message: Any) -> NDArray:
    """Decode a header, then a PNG with millimetres, or for float depth with a / depth + b."""
    encoding = message.format.partition(";")[0].strip()
    data = bytes(message.data)
    _, a, b = CONFIG_HEADER.unpack_from(data)
    values = decode_image(data[CONFIG_HEADER.size :])
    if values.dtype != np.uint16 or encoding not in ENCODINGS:
        raise ValueError(f"compressed image of format {message.format!r} is not compressedDepth in PNG")
    if encoding != "32FC1":
        return values * MILLIMETRE
    with np.errstate(divide="ignore"):
        return np.where(values > 0, a / (values - np.float32(b)), 0)
