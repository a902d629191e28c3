"""Write and read the files of a map, safetensors named by their content, as NumPy arrays.

`tensors.py` reads the same files as PyTorch tensors.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.numpy
from numpy.typing import NDArray

from deviloc_ros.io.atomic import name_file_in_errors
from deviloc_ros.io.plain_files import is_ordinary_file
from deviloc_ros.maps.manifest import Manifest, MapError, StoredFile, name_in_errors
from deviloc_ros.types import Landmarks

Arrays = dict[str, NDArray]
MAX_FILE_BYTES = 1 << 33  # global descriptors of a million views
OWN_NAME = re.compile(r"(landmarks-|retrieval-|index-|views/|views/dense-)[0-9a-f]{20}\.safetensors")


def write_content(folder: Path, kind: str, data: bytes) -> StoredFile:
    """Write data under a name made of `kind` and the beginning of its SHA-256."""
    sha256 = hashlib.sha256(data).hexdigest()
    stored = StoredFile(f"{kind}{sha256[:20]}.safetensors", sha256)
    write_durably(folder / stored.file, data)
    return stored


def read_content(folder: Path, stored: StoredFile) -> bytes:
    """Read a stored file as a whole, and check its hash.

    It is not mapped into memory: truncating or overwriting a mapped file would kill the process.

    Raises:
        MapError: it is missing, damaged, or larger than a map's file can be.
    """
    path = folder / stored.file
    try:
        if not is_ordinary_file(path):
            raise MapError(f"{path}: missing")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise MapError(f"{path}: damaged: {path.stat().st_size} bytes, a map's file has at most {MAX_FILE_BYTES}")
        data = path.read_bytes()
    except OSError as error:
        raise MapError(f"{path}: {error.strerror or error}") from error
    if hashlib.sha256(data).hexdigest() != stored.sha256:
        raise MapError(f"{path}: damaged: its content does not have the hash the manifest states")
    return data


def read_arrays(folder: Path, stored: StoredFile) -> Arrays:
    """Read a file's arrays by name, and check its hash.

    Raises:
        MapError: it is missing or damaged.
    """
    data = read_content(folder, stored)
    with name_in_errors(folder / stored.file):
        return safetensors.numpy.load(data)


def write_durably(path: Path, data: bytes) -> None:
    """Write data and wait until it is on the disk, so that what is written later never stands there without it."""
    with name_file_in_errors(path), path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the folder's entries are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's content, read block by block."""
    state = hashlib.sha256()  # hashlib.file_digest is not in Python 3.10
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()


def find_unnamed_files(folder: Path, manifest: Manifest, before: Manifest | None = None) -> list[Path]:
    """Return the map's own files that the manifest does not name: those of an earlier map or of a killed writer.

    Only files with names that this program gives, or that the manifest `before` names: users may keep other files
    there. Links are ignored.
    """
    named, earlier = set(manifest.files), set(before.files) if before else set()
    places = [folder] if (folder / "views").is_symlink() else [folder, folder / "views"]
    there = {path.relative_to(folder).as_posix(): path for place in places for path in place.glob("*.safetensors")}
    return [
        path
        for name, path in there.items()
        if name not in named and (OWN_NAME.fullmatch(name) or name in earlier) and not path.is_symlink()
    ]


def check_shape(tensors: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> None:
    """Raise ValueError if a tensor has another shape."""
    if tuple(tensors[name].shape) != shape:
        raise ValueError(f"{name} is of shape {tuple(tensors[name].shape)}, not {shape}")


def read_landmarks(arrays: Arrays) -> Landmarks:
    """Return the landmarks that a view observes, from the arrays of its file."""
    ids, keypoints, points = (arrays[f"landmark_{name}"] for name in ("ids", "keypoints", "points_in_world"))
    if "landmark_depth_stds" not in arrays:  # maps of earlier releases
        return Landmarks.without_stds(ids, keypoints, points)
    return Landmarks(ids, keypoints, points, arrays["landmark_depth_stds"])
