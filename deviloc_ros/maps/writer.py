"""Write a map atomically, new or in place of an existing one: readers find the old map or the new one.

New files go to a folder beside the map. For a new map that folder is renamed. An existing map gets the new files, whose
names its manifest does not contain, then the new manifest in one rename; only then files that are no longer named are
deleted. A process killed at any moment leaves the old map intact, and files that the next writer deletes.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from deviloc_ros.config import Config
from deviloc_ros.io.outputs import refuse_folder
from deviloc_ros.maps.files import OWN_NAME, find_unnamed_files, sync_folder, write_durably
from deviloc_ros.maps.manifest import (
    MANIFEST,
    Manifest,
    MapError,
    StoredFile,
    ViewRecord,
    manifest_to_dict,
    name_in_errors,
    parse_manifest,
    read_manifest,
)
from deviloc_ros.maps.provenance import Provenance
from deviloc_ros.maps.retrieval.index import Retrieval
from deviloc_ros.maps.tensors import Tensors, dense_to_tensors, view_to_tensors, write_tensors
from deviloc_ros.types import Features, Landmarks, ReferenceView


class MapWriter:
    """Write a map beside its destination and move it there when it is complete; use it as a context manager.

    Args:
        folder: the map's folder.
        config: the config it is built with.
        overwrite: an existing map may be replaced; records of its views can be kept.

    Raises:
        MapError: something at `folder` may not be replaced, nothing can be created there, or another process is writing
            this map.
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
        check_destination(folder, overwrite=overwrite)

    def __enter__(self) -> MapWriter:
        self._lock = lock_folder(self.folder)
        try:
            clear_own_files(self.folder)
        except BaseException:
            os.close(self._lock)
            raise
        try:
            check_destination(self.destination, overwrite=self.overwrite)  # again: another process may have made it
            (self.folder / "views").mkdir()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        if is_folder_at(self._lock, self.folder):  # not after the folder has become the map
            with suppress(MapError, OSError):  # something else that was put there meanwhile stays
                clear_own_files(self.folder)
                self.folder.rmdir()
        os.close(self._lock)

    def keep_view(self, record: ViewRecord) -> None:
        """Keep a view of the existing map; its files are not touched.

        Raises:
            MapError: another view has its name.
        """
        if record.name in self._names:
            raise MapError(f"{self.destination}: two views are named {record.name!r}")
        self._names.add(record.name)
        self.records.append(record)

    def write_dense(self, number: int, features: Features, tower: Tensors) -> Features:
        """Write the dense tensors of view `number` now and return its features without them, to bound memory.

        Only matchers with a fine map have any: a thousand such views would not fit into memory at once.
        """
        if features.fine is None:
            return features
        self._dense[number] = write_tensors(self.folder, "views/dense-", dense_to_tensors(features, tower))
        return replace(features, fine=None, descriptors=features.descriptors[:, :0])

    def add_view(self, view: ReferenceView, landmarks: Landmarks, session: str = "") -> None:
        """Write the next view in the map's order, with the landmarks it observes and its session."""
        stored = write_tensors(self.folder, "views/", view_to_tensors(view, landmarks))
        dense = self._dense.get(len(self.records))
        self.keep_view(ViewRecord(view.name, stored, view.camera, view.cam_from_world, dense, session))

    def finish(self, landmarks: dict[int, NDArray], retrieval: Retrieval, provenance: Provenance) -> None:
        """Write the files of the whole map and move everything into place.

        Args:
            landmarks: positions [m, world] by id.

        Raises:
            MapError: the map could not be opened, for example since a position is out of range.
        """
        ids = sorted(landmarks)
        points = np.array([landmarks[i] for i in ids], np.float32).reshape(-1, 3)
        landmark_tensors = {"ids": torch.tensor(ids, dtype=torch.int64), "points_in_world": torch.from_numpy(points)}
        manifest = Manifest(
            self.config,
            self.records,
            write_tensors(self.folder, "landmarks-", landmark_tensors),
            write_tensors(self.folder, "retrieval-", retrieval.to_tensors()),
            write_tensors(self.folder, "index-", retrieval.index.to_tensors()) if retrieval.index else None,
            provenance,
        )
        content = manifest_to_dict(manifest)
        with name_in_errors(self.destination):
            parse_manifest(content)  # a map that cannot be opened must not replace another
        write_durably(self.folder / MANIFEST, json.dumps(content, indent=1).encode())
        sync_folder(self.folder / "views")
        sync_folder(self.folder)
        if self.destination.exists():
            self._replace_map(manifest)
        else:
            self.folder.rename(self.destination)
            sync_folder(self.destination.parent)

    def _replace_map(self, manifest: Manifest) -> None:
        """Move the new files into the existing map, the manifest last: until then the old map is complete."""
        before = manifest_if_whole(self.destination)
        (self.destination / "views").mkdir(exist_ok=True)
        for path in sorted(self.folder.rglob("*.safetensors")):
            path.replace(self.destination / path.relative_to(self.folder))
        sync_folder(self.destination / "views")
        sync_folder(self.destination)
        (self.folder / MANIFEST).replace(self.destination / MANIFEST)
        sync_folder(self.destination)
        for path in find_unnamed_files(self.destination, manifest, before):
            path.unlink()


def check_destination(folder: Path, *, overwrite: bool) -> None:
    """Raise MapError if a map may not be written to a folder."""
    destination = folder.resolve()
    try:
        refuse_folder(folder, overwrite=overwrite)
    except OSError as error:
        raise MapError(str(error)) from None
    if destination.is_dir() and any(destination.iterdir()) and not (destination / MANIFEST).is_file():
        raise MapError(f"{destination}: exists and is not a map, so it is not overwritten")
    if (destination / "views").is_symlink():
        raise MapError(f"{destination}: its views are a link to other files, so it is not changed")

    above = next(parent for parent in destination.parents if parent.exists())
    if not os.access(above, os.W_OK):  # also for an existing map: the new one is written beside it
        raise MapError(f"{destination}: cannot be made in {above}: no permission to write there")


def clear_own_files(folder: Path) -> None:
    """Delete the files that a killed writer left in its folder.

    Raises:
        MapError: there are other files.
    """
    left = sorted(path for path in folder.rglob("*") if path != folder / "views" or path.is_symlink())
    for path in left:
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (OWN_NAME.fullmatch(name) or name == MANIFEST):
            raise MapError(f"{path}: not part of a map; a map is written to {folder}, so move this elsewhere")
    for path in left:
        path.unlink()
    if (folder / "views").exists():
        (folder / "views").rmdir()


def manifest_if_whole(folder: Path) -> Manifest | None:
    """Return the manifest of a map, None if it is damaged."""
    try:
        return read_manifest(folder)
    except MapError:
        return None


def lock_folder(folder: Path) -> int:
    """Lock a folder against other writers; return a handle that holds the lock until it is closed.

    Raises:
        MapError: another process holds the lock.
    """
    while True:
        if folder.is_symlink():
            raise MapError(f"{folder}: a link; a map must be written to a folder")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:  # another writer has just finished and removed it
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            raise MapError(f"{folder}: another process is writing this map ({error.strerror})") from error
        if is_folder_at(handle, folder):
            return handle
        os.close(handle)


def is_folder_at(handle: int, folder: Path) -> bool:
    """Return whether an open folder is the one at a path."""
    try:
        return os.path.samestat(os.fstat(handle), folder.stat())
    except FileNotFoundError:
        return False
