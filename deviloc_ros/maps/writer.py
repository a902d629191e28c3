"""Writes a map, new or in place of the one that is there, so that whoever reads it finds the old map or the new one.

New files go to a folder beside the map. A new map is that folder, renamed. A map that is there gets the new files under
names that its manifest does not know, then the new manifest in one rename, and only then loses what is no longer named.
A process killed at any moment leaves the old map as it was, and files that the next writer clears away.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deviloc_ros.config import Config
from deviloc_ros.maps.files import sync_folder, unnamed_files, write_durably
from deviloc_ros.maps.manifest import MANIFEST, Manifest, MapError, StoredFile, ViewRecord, to_content
from deviloc_ros.maps.retrieval.index import Retrieval
from deviloc_ros.maps.tensors import Tensors, dense_tensors, view_tensors, write_tensors
from deviloc_ros.types import Features, Landmarks, ReferenceView


class MapWriter:
    """Writes a map beside its destination and moves it there when it is whole. Use it as a context.

    Args:
        folder: the map.
        config: what it is built with.
        overwrite: a map that is there may be replaced; records of its views can be kept.

    Raises:
        MapError: something is at `folder` that may not be replaced, nothing can be made there, or another process is
            writing this map.
    """

    def __init__(self, folder: Path, config: Config, *, overwrite: bool = False) -> None:
        self.destination = folder.resolve()
        self.folder = self.destination.with_name(f".{self.destination.name}.partial")
        self.config = config
        self.overwrite = overwrite
        self.records: list[ViewRecord] = []
        self._dense: dict[int, StoredFile] = {}
        self._names: set[str] = set()
        self._lock = -1
        self._check_destination()

    def _check_destination(self) -> None:
        if self.destination.exists() and not self.overwrite:
            raise MapError(f"{self.destination}: exists already")
        if self.destination.exists() and not (self.destination / MANIFEST).is_file():
            raise MapError(f"{self.destination}: exists and is not a map, so it is not overwritten")
        above = next(folder for folder in self.destination.parents if folder.exists())
        if not above.is_dir() or not os.access(above, os.W_OK):
            raise MapError(f"{self.destination}: cannot be made in {above}: no folder, or no permission to write there")

    def __enter__(self) -> MapWriter:
        self._lock = lock_folder(self.folder)
        try:
            for left_behind in self.folder.iterdir():
                shutil.rmtree(left_behind) if left_behind.is_dir() else left_behind.unlink()
            self._check_destination()  # again: another process may have made it
            (self.folder / "views").mkdir()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        if is_same(self._lock, self.folder):  # not after the folder has become the map
            shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)

    def keep(self, record: ViewRecord) -> None:
        """A view of the map that is there; its files are not touched."""
        if record.name in self._names:
            raise MapError(f"{self.destination}: two views are named {record.name!r}")
        self._names.add(record.name)
        self.records.append(record)

    def set_aside(self, number: int, features: Features, tower: Tensors) -> Features:
        """Write what is large of the view that will be the `number`-th; what is left stays in memory till then.

        Only matchers with a fine map have any: a map of a thousand such views would not fit into memory at once.
        """
        if features.fine is None:
            return features
        self._dense[number] = write_tensors(self.folder, "views/dense-", dense_tensors(features, tower))
        return replace(features, fine=None, descriptors=features.descriptors[:, :0])

    def add_view(self, view: ReferenceView, landmarks: Landmarks) -> None:
        """Write a view."""
        stored = write_tensors(self.folder, "views/", view_tensors(view, landmarks))
        dense = self._dense.get(len(self.records))
        self.keep(ViewRecord(view.name, stored, view.camera, view.cam_from_world, dense))

    def finish(self, landmarks: dict[int, NDArray], retrieval: Retrieval, provenance: dict[str, Any]) -> None:
        """Write what belongs to the whole map and move everything into place."""
        ids = sorted(landmarks)
        points = np.array([landmarks[i] for i in ids], np.float32).reshape(-1, 3)
        landmark_tensors = {"ids": torch.tensor(ids, dtype=torch.int64), "points_in_world": torch.from_numpy(points)}
        manifest = Manifest(
            self.config,
            self.records,
            write_tensors(self.folder, "landmarks-", landmark_tensors),
            write_tensors(self.folder, "retrieval-", retrieval.tensors()),
            write_tensors(self.folder, "index-", retrieval.index.tensors()) if retrieval.index else None,
            provenance,
        )
        write_durably(self.folder / MANIFEST, json.dumps(to_content(manifest), indent=1).encode())
        sync_folder(self.folder / "views")
        sync_folder(self.folder)
        if self.destination.exists():
            self._take_the_place(manifest)
        else:
            self.folder.rename(self.destination)
            sync_folder(self.destination.parent)

    def _take_the_place(self, manifest: Manifest) -> None:
        """Of the map that is there. The manifest goes last: until then the old one stands, and all it names."""
        (self.destination / "views").mkdir(exist_ok=True)
        for path in sorted(self.folder.rglob("*.safetensors")):
            path.replace(self.destination / path.relative_to(self.folder))
        sync_folder(self.destination / "views")
        sync_folder(self.destination)
        (self.folder / MANIFEST).replace(self.destination / MANIFEST)
        sync_folder(self.destination)
        for path in unnamed_files(self.destination, manifest):
            path.unlink()


def lock_folder(folder: Path) -> int:
    """A handle that keeps other writers out of the folder until it is closed or its process ends, however it ends.

    Raises:
        MapError: another process holds it.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:  # its writer has finished just now
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            raise MapError(f"{folder}: another process is writing this map ({error.strerror})") from error
        if is_same(handle, folder):
            return handle
        os.close(handle)


def is_same(handle: int, folder: Path) -> bool:
    """Whether an open folder is the one at that path."""
    try:
        return os.path.samestat(os.fstat(handle), folder.stat())
    except FileNotFoundError:
        return False
