"""Check COLMAP's files before COLMAP reads them.

COLMAP's readers do not check their input: missing data of a truncated binary file is read from uninitialized memory, a
quaternion of zeros becomes the identity, a name is cut at its first space. And their error messages name lines of C++.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pycolmap

from deviloc_ros.camera import Camera
from deviloc_ros.sources.base import SourceError

IMAGE_FIELDS = ("IMAGE_ID", "QW", "QX", "QY", "QZ", "TX", "TY", "TZ", "CAMERA_ID")
OBSERVATION = np.dtype([("xy", "<f8", 2), ("point", "<u8")])  # in a binary file
FRAME_FIELDS = ("FRAME_ID", "RIG_ID", "QW", "QX", "QY", "QZ", "TX", "TY", "TZ", "NUM_DATA_IDS")
POINT_FIELDS = ("POINT3D_ID", "X", "Y", "Z", "R", "G", "B")


def check_files(model: Path) -> None:
    """Check the files of a model; of binary and text files, those that COLMAP reads: the binary ones.

    Raises:
        SourceError: the message has file, line and field.
    """
    binary = all((model / f"{name}.bin").is_file() for name in ("cameras", "images", "points3D"))
    checks, suffix = (BINARY_CHECKS, "bin") if binary else (TEXT_CHECKS, "txt")
    there, missing = (
        [f"{name}.{suffix}" for name in ("frames", "rigs") if (model / f"{name}.{suffix}").is_file() is side]
        for side in (True, False)
    )
    if there and missing:
        raise SourceError(f"{there[0]} is there without {missing[0]}: they go together, give both or neither")
    for name, check in checks.items():
        if name in OPTIONAL and not (model / name).is_file():
            continue
        try:
            check((model / name).read_bytes())
        except (ValueError, struct.error) as error:
            raise SourceError(f"{name}: {error}") from error


def check_cameras_text(data: bytes) -> None:
    """Check `id MODEL width height params` lines."""
    for number, line in meaningful_lines(data):
        with_line = f"line {number}:"
        parts = line.split()
        if len(parts) < 5:
            raise SourceError(f"{with_line} expected CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS, got {line[:80]!r}")
        camera_id, width, height = parse_numbers([parts[0], *parts[2:4]], ("CAMERA_ID", "WIDTH", "HEIGHT"), with_line)
        try:
            Camera(parts[1], int(width), int(height), tuple(float(p) for p in parts[4:]))
        except ValueError as error:
            raise SourceError(f"{with_line} camera {camera_id:.0f}: {error}") from error


def check_images_text(data: bytes) -> None:
    """Check an images.txt with two lines per image; the second may be empty but not missing."""
    names: set[str] = set()
    lines = iter(enumerate(decode_text(data).splitlines(), 1))
    for number, line in lines:
        parts = line.split()
        if not parts or parts[0].startswith("#"):
            continue
        if len(parts) != 10:
            raise SourceError(
                f"line {number}: expected 10 fields, got {len(parts)} (no name may hold a space): {line[:80]!r}"
            )
        values = parse_numbers(parts[:9], IMAGE_FIELDS, f"line {number}:")
        check_quaternion(values[1:5], f"line {number}: QW QX QY QZ of {parts[9]!r}")
        if parts[9] in names:
            raise SourceError(f"line {number}: image name {parts[9]!r} occurs more than once")
        names.add(parts[9])
        number, observations = next(lines, (number, None))
        if observations is None:
            raise SourceError(
                f"ends after line {number}: image {parts[9]!r} has no line of POINTS2D, not even an empty one"
            )
        check_observations(observations.split(), f"line {number}: POINTS2D of {parts[9]!r}")


def check_quaternion(wxyz: Sequence[float], what: str) -> None:
    """Raise SourceError for a quaternion that COLMAP would replace by the identity."""
    if not any(wxyz):
        raise SourceError(f"{what} are all zero")


def check_frames_text(data: bytes) -> None:
    """Check a frames.txt: `FRAME_ID RIG_ID QW QX QY QZ TX TY TZ NUM_DATA_IDS` and the data of each."""
    for number, line in meaningful_lines(data):
        parts = line.split()
        values = parse_numbers(parts[: len(FRAME_FIELDS)], FRAME_FIELDS[: len(parts)], f"line {number}:")
        if len(values) < len(FRAME_FIELDS) or len(parts) != len(FRAME_FIELDS) + 3 * values[-1]:
            raise SourceError(
                f"line {number}: expected {' '.join(FRAME_FIELDS)} and three of each data, got {line[:80]!r}"
            )
        check_quaternion(values[2:6], f"line {number}: QW QX QY QZ of frame {parts[0]}")


def check_observations(parts: list[str], where: str) -> None:
    """Check that observations are triples of numbers."""
    if len(parts) % 3:
        raise SourceError(f"{where}: expected X, Y, POINT3D_ID of each, got {len(parts)} values")
    try:
        finite = np.isfinite(np.array(parts, float)).all()
    except ValueError as error:
        raise SourceError(f"{where}: {error}") from error
    if not finite:
        raise SourceError(f"{where}: a value is not finite")


def check_points_text(data: bytes) -> None:
    """Check a points3D.txt."""
    for number, line in meaningful_lines(data):
        parts = line.split()
        if len(parts) < 8 or len(parts) % 2:
            raise SourceError(f"line {number}: expected 8 fields and the TRACK in pairs, got {len(parts)} fields")
        parse_numbers(parts[:7], POINT_FIELDS, f"line {number}:")


def meaningful_lines(data: bytes) -> Iterator[tuple[int, str]]:
    """Yield numbered lines that are neither empty nor a comment."""
    for number, line in enumerate(decode_text(data).splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line


def decode_text(data: bytes) -> str:
    """Decode a file's bytes, whatever is no UTF-8 replaced. Raises SourceError: COLMAP reads no byte order mark."""
    if data.startswith(codecs.BOM_UTF8):
        raise SourceError("it begins with a byte order mark, which COLMAP does not read: save it as plain UTF-8")
    return data.decode(errors="replace")


def parse_numbers(parts: list[str], names: tuple[str, ...], where: str) -> list[float]:
    """Return finite values of the named fields."""
    values = []
    for part, name in zip(parts, names, strict=True):
        try:
            values.append(float(part))
        except ValueError:
            raise SourceError(f"{where} {name} is not a number: {part!r}") from None
        if not np.isfinite(values[-1]):
            raise SourceError(f"{where} {name} is not finite: {part!r}")
    return values


def check_cameras_binary(data: bytes) -> None:
    """Check a cameras.bin."""

    def skip_camera(offset: int) -> int:
        camera_id, model, _, _ = struct.unpack_from("<IiQQ", data, offset)
        if model not in PARAMETER_COUNTS:
            raise SourceError(f"camera {camera_id}: MODEL_ID {model} is unknown")
        return offset + 24 + 8 * PARAMETER_COUNTS[model]

    check_records(data, skip_camera)


def check_images_binary(data: bytes) -> None:
    """Check an images.bin."""

    def skip_image(offset: int) -> int:
        image_id, *wxyz = struct.unpack_from("<I4d", data, offset)
        check_quaternion(wxyz, f"QW QX QY QZ of image {image_id}")
        name_end = data.index(b"\0", offset + 64)
        (count,) = struct.unpack_from("<Q", data, name_end + 1)
        end = name_end + 9 + 24 * int(count)
        if end <= len(data) and not np.isfinite(np.frombuffer(data, OBSERVATION, count, name_end + 9)["xy"]).all():
            raise SourceError(f"POINTS2D of image {image_id}: a value is not finite")
        return end

    check_records(data, skip_image)


def check_points_binary(data: bytes) -> None:
    """Check a points3D.bin."""

    def skip_point(offset: int) -> int:
        point_id, *xyz = struct.unpack_from("<Q3d", data, offset)
        if not np.isfinite(xyz).all():
            raise SourceError(f"X Y Z of point {point_id} are not finite")
        return offset + 51 + 8 * int(struct.unpack_from("<Q", data, offset + 43)[0])

    check_records(data, skip_point)


def check_rigs_binary(data: bytes) -> None:
    """Check a rigs.bin: a sensor that the others refer to, then those, each with a pose or without."""

    def skip_rig(offset: int) -> int:
        _, sensors = struct.unpack_from("<II", data, offset)
        offset += 8 + (8 if sensors else 0)
        for _ in range(sensors - 1):
            (has_pose,) = struct.unpack_from("<B", data, offset + 8)
            offset += 9 + (56 if has_pose else 0)
        return offset

    check_records(data, skip_rig)


def check_frames_binary(data: bytes) -> None:
    """Check a frames.bin: COLMAP would read for hours where it states data without end."""

    def skip_frame(offset: int) -> int:
        frame_id, _, *pose, data_ids = struct.unpack_from("<II7dI", data, offset)
        check_quaternion(pose[:4], f"QW QX QY QZ of frame {frame_id}")
        return offset + 68 + 16 * int(data_ids)

    check_records(data, skip_frame)


def check_records(data: bytes, skip: Callable[[int], int]) -> None:
    """Check that the stated number of records ends at the end of the file."""
    try:
        (count,) = struct.unpack_from("<Q", data, 0)
        end = 8
        for _ in range(count):
            end = skip(end)
            if end > len(data):
                break
    except (struct.error, ValueError) as error:
        if isinstance(error, SourceError):
            raise
        end = len(data) + 1
    if end != len(data):
        raise SourceError("truncated" if end > len(data) else f"{len(data) - end} bytes too many")


def parameter_counts() -> dict[int, int]:
    """Return the number of parameters by COLMAP's model id."""
    models = [model for model in pycolmap.CameraModelId.__members__.values() if model.value >= 0]
    return {m.value: len(pycolmap.Camera.create_from_model_id(1, m, 1.0, 1, 1).params) for m in models}


OPTIONAL = {"rigs.bin", "frames.bin", "frames.txt"}  # models before COLMAP 3.12 have none
PARAMETER_COUNTS = parameter_counts()
TEXT_CHECKS = {
    "cameras.txt": check_cameras_text,
    "images.txt": check_images_text,
    "points3D.txt": check_points_text,
    "frames.txt": check_frames_text,
}
BINARY_CHECKS = {
    "cameras.bin": check_cameras_binary,
    "images.bin": check_images_binary,
    "points3D.bin": check_points_binary,
    "rigs.bin": check_rigs_binary,
    "frames.bin": check_frames_binary,
}
