"""The files of a map: safetensors named by their content, read as arrays. For tensors, and PyTorch: `tensors.py`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.numpy
from numpy.typing import NDArray

from deviloc_ros.maps.manifest import Manifest, MapError, StoredFile, naming
from deviloc_ros.types import Landmarks

Arrays = dict[str, NDArray]


def write_content(folder: Path, kind: str, data: bytes) -> StoredFile:
    """Write `kind` and the beginning of the content's hash as a file name."""
    sha256 = hashlib.sha256(data).hexdigest()
    stored = StoredFile(f"{kind}{sha256[:20]}.safetensors", sha256)
    write_durably(folder / stored.file, data)
    return stored


def checked_path(folder: Path, stored: StoredFile) -> Path:
    """Where the file is. Raises MapError if it is missing or damaged."""
    path = folder / stored.file
    if not path.is_file():
        raise MapError(f"{path}: missing")
    if file_hash(path) != stored.sha256:
        raise MapError(f"{path}: damaged: its content does not have the hash the manifest states")
    return path


def read_arrays(folder: Path, stored: StoredFile) -> Arrays:
    """Raises MapError if the file is missing or damaged."""
    path = checked_path(folder, stored)
    with naming(path):
        return safetensors.numpy.load_file(path)


def write_durably(path: Path, data: bytes) -> None:
    """On the disk when this returns, so that what is written later never stands there without it."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """The folder's entries are on the disk when this returns."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_hash(path: Path) -> str:
    state = hashlib.sha256()  # hashlib.file_digest is not in Python 3.10
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()


def unnamed_files(folder: Path, manifest: Manifest) -> list[Path]:
    """Files of views and tensors that the manifest does not name: of an older map, or of a writer that was killed."""
    named = {folder / file for file in manifest.files}
    return [path for part in (".", "views") for path in (folder / part).glob("*.safetensors") if path not in named]


def check_shape(tensors: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> None:
    """Raises ValueError if a tensor has another shape."""
    if tuple(tensors[name].shape) != shape:
        raise ValueError(f"{name} is of shape {tuple(tensors[name].shape)}, not {shape}")


def landmarks_of(arrays: Arrays) -> Landmarks:
    """Those that a view observes."""
    names = ("landmark_ids", "landmark_keypoints", "landmark_points_in_world", "landmark_depth_stds")
    return Landmarks(*(arrays[name] for name in names if name in arrays))  # maps of earlier releases lack the last
