"""Encode and decode images. The size is checked before decoding, since a megabyte may become a gigabyte.

Images in messages are decoded by OpenCV. Files may also be AVIF, or HEIC if pillow-heif is installed (the extra
`heic`), as from phones; these are decoded by Pillow.
"""

from __future__ import annotations

import base64
import importlib
import io
import math
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from deviloc_ros.io.atomic import write_whole

MAX_PIXELS = 160_000_000  # the largest sensors on sale have 151 million
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000")  # that OpenCV decodes
HEIC_SUFFIXES, AVIF_SUFFIXES = (".heic", ".heif"), (".avif",)
FORMAT_BY_SUFFIX = dict.fromkeys(HEIC_SUFFIXES, "HEIF") | dict.fromkeys(AVIF_SUFFIXES, "AVIF")


def can_decode(suffix: str) -> bool:
    """Return whether files with this lower-case suffix, one of FORMAT_BY_SUFFIX, can be decoded here."""
    if suffix in AVIF_SUFFIXES:
        return bool(features.check("avif"))
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError:
        return False
    return True


def read_picture_file(path: Path, flags: int = cv2.IMREAD_UNCHANGED) -> NDArray:
    """Read the pixels of an image file, as cv2.imread does.

    Args:
        flags: of cv2.imdecode.

    Raises:
        OSError: the file cannot be read.
        ValueError: not an image, of a format that no installed library decodes, or too large.
    """
    data = np.fromfile(path, np.uint8)
    kind = FORMAT_BY_SUFFIX.get(path.suffix.lower())
    if kind is None:
        return decode_image(data, flags)
    if not can_decode(path.suffix.lower()):
        raise ValueError(f"no installed package decodes {path.suffix}")
    read_encoded_size(data, (kind,))
    try:
        with Image.open(path, formats=(kind,)) as picture:
            rgb = np.asarray(picture.convert("RGB"))
    except Exception as error:  # any kind, as above
        raise ValueError("not an image, or truncated") from error
    is_gray = flags != cv2.IMREAD_UNCHANGED and not flags & cv2.IMREAD_COLOR
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY if is_gray else cv2.COLOR_RGB2BGR)


def write_picture(path: Path, pixels: NDArray) -> None:
    """Write an image in the format of the suffix; unlike cv2.imwrite, it notices a full disk.

    Raises:
        OSError: it cannot be written; the message names it.
    """
    write_whole(path, cv2.imencode(path.suffix, pixels)[1].tobytes())


def read_encoded_size(data: Any, formats: tuple[str, ...] = FORMATS) -> tuple[int, int]:
    """Return the width and height [px] in the header of an encoded image, without decoding it.

    Args:
        formats: by Pillow's names.

    Raises:
        ValueError: not an image of a known format, or larger than any camera's.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes, which MAX_PIXELS decides, and of damage
        try:
            with Image.open(io.BytesIO(memoryview(data)), formats=formats) as picture:
                width, height = picture.size
        except Image.DecompressionBombError as error:
            raise ValueError(f"too large: {error}") from error
        except Exception as error:  # any kind: Pillow reads the header by offsets that the header itself states
            raise ValueError("not an image, or truncated") from error
    if width * height > MAX_PIXELS:
        raise ValueError(f"too large: {width} x {height} px, a camera has at most {MAX_PIXELS // 10**6} million")
    return width, height


def decode_image(data: Any, flags: int = cv2.IMREAD_UNCHANGED, size: tuple[int, int] | None = None) -> NDArray:
    """Decode an image, as cv2.imdecode does.

    Args:
        data: content of an image file.
        flags: of cv2.imdecode.
        size: width and height [px] that it must have; they may be swapped by EXIF's orientation.

    Raises:
        ValueError: not an image, not of that size, or too large.
    """
    width, height = read_encoded_size(data)
    check_png_chunks(memoryview(data).cast("B"))
    if size is not None and (width, height) not in (size, size[::-1]):
        raise ValueError(f"image of {width} x {height} px, {size[0]} x {size[1]} expected")
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ValueError(f"cannot decode: {error.err}") from error
    if pixels is None:
        raise ValueError("not an image, or truncated")
    return pixels


def check_png_chunks(data: memoryview) -> None:
    """Raise ValueError if a chunk of a PNG states more bytes than are left: OpenCV allocates them, up to 4 GB.

    Chunks: length, type, content, checksum (PNG specification, section 5.3). Other formats pass.
    """
    if data[: len(PNG_SIGNATURE)] != PNG_SIGNATURE:
        return
    begin = len(PNG_SIGNATURE)
    while begin + 8 <= len(data) and data[begin + 4 : begin + 8] != b"IEND":
        begin += 12 + int.from_bytes(data[begin : begin + 4], "big")
        if begin > len(data):
            raise ValueError("not an image, or truncated")


def encode_jpeg(pixels: NDArray, quality: int, longest_side_px: int | None = None) -> bytes:
    """Encode an image as JPEG, scaled down if a side is longer than `longest_side_px`."""
    shrink = (longest_side_px or math.inf) / max(pixels.shape[:2])
    if shrink < 1:
        pixels = cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def to_data_uri(encoded: bytes, kind: str = "jpeg") -> str:
    """Return an image file of this type as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"
