"""A map on disk: a manifest, one safetensors file per view, opened by memory map when the view is first needed.

    kitchen.map/
      manifest.json           version, config it was built with, views (name, camera, pose, file, hash), provenance
      landmarks.safetensors   ids, points_in_world
      retrieval.safetensors   centroids, descriptors
      views/000000.safetensors …
      views/000000.dense.safetensors …   only of matchers with a fine map

Every file's SHA-256 is in the manifest and checked before the file is used. Nothing in a map is executed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
import safetensors.torch
import torch
from numpy.typing import NDArray

from deviloc_ros.config import Config, MatcherConfig, RetrievalConfig, from_dict, to_dict
from deviloc_ros.geometry import is_finite
from deviloc_ros.maps.retrieval import Vlad, centres_and_axes, nearest_by_descriptor, nearest_by_pose
from deviloc_ros.types import Camera, Features, Landmarks, Lifted, Prior, ReferenceView

FORMAT, VERSION = "deviloc-map", 1
VIEWS_IN_MEMORY, BYTES_IN_MEMORY = 512, 2 << 30
TOWER = "tower."


class MapError(ValueError):
    """A map that cannot be used; the message names file and field."""


@dataclass(frozen=True, slots=True, eq=False)
class ViewRecord:
    """A view's line in the manifest."""

    name: str
    file: str
    sha256: str
    camera: Camera
    cam_from_world: pycolmap.Rigid3d


class Map:
    """Reference views of one place. Views are read when first needed and the most recent ones kept."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        with naming(folder / "manifest.json"):
            self.config = from_dict(Config(), manifest["config"])
            self.records = [read_record(view, manifest["cameras"]) for view in manifest["views"]]
            self.file_hashes: dict[str, str] = dict(manifest["files"])
        self._numbers = {record.name: number for number, record in enumerate(self.records)}
        self.centres, self.axes = centres_and_axes([record.cam_from_world for record in self.records])
        self._views: OrderedDict[int, ReferenceView] = OrderedDict()
        self._view_bytes: dict[int, int] = {}
        self._retrieval: tuple[Vlad, NDArray] | None = None

    @staticmethod
    def open(folder: Path | str) -> Map:
        """Raises MapError if there is no map, it is of another version, or its manifest is damaged."""
        folder = Path(folder)
        path = folder / "manifest.json"
        if not path.is_file():
            raise MapError(f"{folder}: not a map, manifest.json not found")
        try:
            manifest = json.loads(path.read_text())
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise MapError(f"{path}: damaged: {error}") from error
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise MapError(f"{path}: field 'format' is not {FORMAT!r}")
        if manifest.get("version") != VERSION:
            raise MapError(
                f"{path}: field 'version' is {manifest.get('version')!r}, this program reads {VERSION}; build it again"
            )
        if manifest.get("sha256") != manifest_hash(manifest):
            raise MapError(f"{path}: damaged: its content does not have the hash it states")
        return Map(folder, manifest)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def identity(self) -> str:
        """Hash of everything in the map."""
        return str(self.manifest["sha256"])

    @property
    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def check_matcher(self, matcher: MatcherConfig, weights_id: str = "") -> None:
        """Raises MapError if the map's descriptors are another matcher's, or come from other weights."""
        if matcher.name != self.config.matcher.name:
            raise MapError(
                f"{self.folder}: built with matcher {self.config.matcher.name!r}, asked to match with {matcher.name!r}"
            )
        built_with = self.manifest.get("provenance", {}).get("weights_id", "")
        if weights_id != built_with:
            raise MapError(f"{self.folder}: built with other weights than those it is used with; build it again")

    def view(self, number: int) -> ReferenceView:
        """Raises MapError if the view's file is missing or damaged."""
        if number in self._views:
            self._views.move_to_end(number)
            return self._views[number]
        record = self.records[number]
        tensors = self._read(record.file, record.sha256)
        if dense_file(record.file) in self.file_hashes:
            tensors |= self._read(dense_file(record.file))
        with naming(self.folder / record.file):
            view = ReferenceView(
                record.name,
                record.camera,
                record.cam_from_world,
                features_of(tensors, record.camera),
                lifted_of(tensors),
                landmarks_of(tensors),
                {key.removeprefix(TOWER): tensor for key, tensor in tensors.items() if key.startswith(TOWER)},
            )
        self._views[number] = view
        self._view_bytes[number] = sum(tensor.nbytes for tensor in tensors.values())
        self._forget_views()
        return view

    def _forget_views(self) -> None:
        """Keep the most recent views, and at least one, within the limits."""
        while len(self._views) > 1 and (
            len(self._views) > VIEWS_IN_MEMORY or sum(self._view_bytes.values()) > BYTES_IN_MEMORY
        ):
            del self._view_bytes[self._views.popitem(last=False)[0]]

    def nearby_views(self, query: Features, prior: Prior | None, config: RetrievalConfig) -> list[ReferenceView]:
        """The views to match a query with, best first: near the prior, or else those that look alike."""
        if prior is not None:
            rows = nearest_by_pose(self.centres, self.axes, prior, config.references, config.meters_per_radian)
        else:
            vlad, descriptors = self._retrieval_index()
            rows = nearest_by_descriptor(descriptors, vlad.describe(query).numpy(), config.references)
        return [self.view(int(row)) for row in rows]

    def views_named(self, names: Iterable[str], count: int) -> list[ReferenceView]:
        """The first `count` of the named views that the map has; names it lacks are passed over."""
        numbers = [self._numbers[name] for name in names if name in self._numbers]
        return [self.view(number) for number in numbers[:count]]

    def landmarks(self) -> NDArray:
        """(L, 3) all landmarks [m]."""
        return self._read("landmarks.safetensors")["points_in_world"].numpy()

    def landmarks_of(self, number: int) -> Landmarks:
        """The landmarks that one view observes."""
        record = self.records[number]
        return landmarks_of(self._read(record.file, record.sha256))

    def _retrieval_index(self) -> tuple[Vlad, NDArray]:
        if self._retrieval is None:
            tensors = self._read("retrieval.safetensors")
            self._retrieval = Vlad(tensors["centroids"]), tensors["descriptors"].float().numpy()
        return self._retrieval

    def _read(self, file: str, sha256: str = "") -> dict[str, torch.Tensor]:
        path = self.folder / file
        expected = sha256 or self.file_hashes.get(file)
        if not path.is_file():
            raise MapError(f"{path}: missing")
        if file_hash(path) != expected:
            raise MapError(f"{path}: damaged: its content does not have the hash the manifest states")
        with naming(path):
            return safetensors.torch.load_file(path)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Errors in the block become a MapError that names the file."""
    try:
        yield
    except KeyError as error:
        raise MapError(f"{path}: field {error} is missing") from error
    except (ValueError, TypeError, IndexError, safetensors.SafetensorError) as error:
        raise MapError(f"{path}: {error}") from error


def read_record(view: dict[str, Any], cameras: list[dict[str, Any]]) -> ViewRecord:
    camera = cameras[view["camera"]]
    rotation = pycolmap.Rotation3d(np.array(view["rotation_xyzw"], float))
    cam_from_world = pycolmap.Rigid3d(rotation, np.array(view["translation_m"], float))
    if not is_finite(cam_from_world):
        raise ValueError(f"view {view['name']!r}: its pose is not finite")
    return ViewRecord(
        view["name"],
        view["file"],
        view["sha256"],
        Camera(camera["model"], camera["width"], camera["height"], tuple(camera["params"])),
        cam_from_world,
    )


def landmarks_of(tensors: dict[str, torch.Tensor]) -> Landmarks:
    return Landmarks(
        tensors["landmark_ids"].numpy(),
        tensors["landmark_keypoints"].numpy(),
        tensors["landmark_points_in_world"].numpy(),
    )


def features_of(tensors: dict[str, torch.Tensor], camera: Camera) -> Features:
    fine = tensors.get("fine")
    return Features(
        tensors["keypoints"],
        tensors["descriptors"] if fine is not None else tensors["descriptors"].float(),  # large: stays in half
        tensors["scores"],
        tensors["scales"],
        (camera.width, camera.height),
        fine=fine,
    )


def lifted_of(tensors: dict[str, torch.Tensor]) -> Lifted:
    return Lifted(tensors["points_in_world"].numpy(), tensors["confidence"].numpy(), tensors["depths"].numpy())


class MapWriter:
    """Writes a map beside its destination and moves it there when it is whole; on an error nothing is left."""

    def __init__(self, folder: Path, config: Config, *, overwrite: bool = False) -> None:
        self.destination = folder.absolute()
        if self.destination.exists() and not overwrite:
            raise MapError(f"{folder}: exists already")
        if self.destination.exists() and not (self.destination / "manifest.json").is_file():
            raise MapError(f"{folder}: exists and is not a map, so it is not overwritten")
        self.folder = self.destination.with_name(f".{self.destination.name}.{os.getpid()}.partial")
        self.config = config
        self.cameras: dict[Camera, int] = {}
        self.views: list[dict[str, Any]] = []
        self.files: dict[str, str] = {}

    def __enter__(self) -> MapWriter:
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "views").mkdir(parents=True)
        return self

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def set_aside(self, number: int, features: Features, tower: dict[str, torch.Tensor]) -> Features:
        """Write what is large of the view that will be the `number`-th added; what is left stays in memory till then.

        Only matchers with a fine map have any: a map of a thousand such views would not fit into memory at once.
        """
        if features.fine is None:
            return features
        tensors = {TOWER + name: stored(tensor) for name, tensor in tower.items()}
        tensors |= {"fine": stored(features.fine), "descriptors": stored(features.descriptors)}
        file = dense_file(f"views/{number:06d}.safetensors")
        self.files[file] = self._write(file, tensors)
        return replace(features, fine=None, descriptors=features.descriptors[:, :0])

    def add_view(self, view: ReferenceView, landmarks: Landmarks) -> None:
        file = f"views/{len(self.views):06d}.safetensors"
        sha256 = self._write(
            file,
            {
                "keypoints": view.features.keypoints.float().cpu(),
                "descriptors": view.features.descriptors.half().cpu(),
                "scores": view.features.scores.float().cpu(),
                "scales": view.features.scales.float().cpu(),
                "points_in_world": torch.from_numpy(view.lifted.points_in_world.astype(np.float32)),
                "confidence": torch.from_numpy(view.lifted.confidence.astype(np.float32)),
                "depths": torch.from_numpy(view.lifted.depths.astype(np.float32)),
                "landmark_ids": torch.from_numpy(landmarks.ids.astype(np.int64)),
                "landmark_keypoints": torch.from_numpy(landmarks.keypoints.astype(np.float32)),
                "landmark_points_in_world": torch.from_numpy(landmarks.points_in_world.astype(np.float32)),
            },
        )
        self.views.append(
            {
                "name": view.name,
                "file": file,
                "sha256": sha256,
                "camera": self.cameras.setdefault(view.camera, len(self.cameras)),
                "rotation_xyzw": view.cam_from_world.rotation.quat.tolist(),
                "translation_m": view.cam_from_world.translation.tolist(),
            }
        )

    def finish(
        self, landmarks: dict[int, NDArray], vlad: Vlad, descriptors: torch.Tensor, provenance: dict[str, Any]
    ) -> None:
        """Write what belongs to the whole map and move the folder into place."""
        ids = sorted(landmarks)
        points = np.array([landmarks[i] for i in ids], np.float32).reshape(-1, 3)
        shared = {
            "landmarks.safetensors": {"ids": torch.tensor(ids), "points_in_world": torch.from_numpy(points)},
            "retrieval.safetensors": {"centroids": vlad.centroids, "descriptors": descriptors.half()},
        }
        files = self.files | {file: self._write(file, tensors) for file, tensors in shared.items()}
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "config": to_dict(self.config),
            "cameras": [
                {"model": c.model, "width": c.width, "height": c.height, "params": list(c.params)} for c in self.cameras
            ],
            "views": self.views,
            "files": files,
            "provenance": provenance,
        }
        manifest["sha256"] = manifest_hash(manifest)
        (self.folder / "manifest.json").write_text(json.dumps(manifest, indent=1))
        if self.destination.exists():
            shutil.rmtree(self.destination)
        self.folder.rename(self.destination)

    def _write(self, file: str, tensors: dict[str, torch.Tensor]) -> str:
        path = self.folder / file
        safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
        return file_hash(path)


def dense_file(file: str) -> str:
    """Of the large tensors of a view."""
    return file.removesuffix(".safetensors") + ".dense.safetensors"


def stored(tensor: torch.Tensor) -> torch.Tensor:
    """Features in half precision; single numbers, which may be small, as they are."""
    return tensor.cpu().half() if tensor.numel() > 1 else tensor.cpu()


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest_hash(manifest: dict[str, Any]) -> str:
    """Hash of the manifest without its own hash; through the views' hashes it stands for the whole map."""
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
