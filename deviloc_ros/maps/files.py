"""Write and read the files of a map, safetensors named by their content, as NumPy arrays.

`tensors.py` reads the same files as PyTorch tensors.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.numpy
from numpy.typing import NDArray

from deviloc_ros.maps.manifest import Manifest, MapError, StoredFile, name_in_errors
from deviloc_ros.types import Landmarks

Arrays = dict[str, NDArray]


def write_content(folder: Path, kind: str, data: bytes) -> StoredFile:
    """Write data under a name made of `kind` and the beginning of its SHA-256."""
    sha256 = hashlib.sha256(data).hexdigest()
    stored = StoredFile(f"{kind}{sha256[:20]}.safetensors", sha256)
    write_durably(folder / stored.file, data)
    return stored


def verify_file(folder: Path, stored: StoredFile) -> Path:
    """Return the path of a stored file after checking its hash.

    Raises:
        MapError: it is missing or damaged.
    """
    path = folder / stored.file
    if not path.is_file():
        raise MapError(f"{path}: missing")
    if hash_file(path) != stored.sha256:
        raise MapError(f"{path}: damaged: its content does not have the hash the manifest states")
    return path


def read_arrays(folder: Path, stored: StoredFile) -> Arrays:
    """Read a file's arrays by name.

    Raises:
        MapError: it is missing or damaged.
    """
    path = verify_file(folder, stored)
    with name_in_errors(path):
        return safetensors.numpy.load_file(path)


def write_durably(path: Path, data: bytes) -> None:
    """Write data and wait until it is on the disk, so that what is written later never stands there without it."""
    with path.open("wb") as file:
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


def find_unnamed_files(folder: Path, manifest: Manifest) -> list[Path]:
    """Return the tensor files that the manifest does not name: of an older map, or of a writer that was killed."""
    named = {folder / file for file in manifest.files}
    return [path for part in (".", "views") for path in (folder / part).glob("*.safetensors") if path not in named]


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
