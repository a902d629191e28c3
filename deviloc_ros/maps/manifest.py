"""Read and write the manifest, which lists the views and files of a map.

Files are named by their content and never changed, and the manifest is replaced by a rename: a reader always sees
either the old map or the new one, complete.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pycolmap
import safetensors

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config
from deviloc_ros.config_fields import change_config, from_dict, to_dict
from deviloc_ros.geometry import rigid_from_quaternion
from deviloc_ros.io.plain_files import is_ordinary_file
from deviloc_ros.io.suggestions import suggest
from deviloc_ros.maps.checks import MAX_LENGTH_M
from deviloc_ros.maps.provenance import Provenance

METRIC_GATE = "max_position_std_m"  # a parameter of maps made before gates were relative
KEPT_OF_METRIC_GATES = {
    *("confidence", "max_trials", "random_seed", "min_inliers", "min_inlier_ratio", "min_coverage"),
    *("estimate_focal", "max_focal_error"),
}
FORMAT, VERSION = "deviloc-map", 2
MANIFEST = "manifest.json"
LOST_AND_FOUND = "lost+found"  # root's alone, on each disk
MAX_MANIFEST_BYTES = 1 << 29  # a view takes about 400 bytes
FILE_NAME = re.compile(r"(views/)?[\w.-]+\.safetensors")


# What numpy, PyTorch, FAISS, pycolmap and safetensors raise for data that they cannot read.
PARSING_ERRORS = (
    ValueError,
    TypeError,
    IndexError,
    AttributeError,
    OverflowError,
    RuntimeError,
    safetensors.SafetensorError,
)


class MapError(ValueError):
    """Raise when a map cannot be used; the message names file and field."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Name a file relative to the map's folder, with the SHA-256 of its content."""

    file: str
    sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class ViewRecord:
    """Hold a view's entry in the manifest.

    dense: file of the dense tensors, for matchers with a fine map. session: name for when, or in which light, it was
    taken; may be empty.
    """

    name: str
    stored: StoredFile
    camera: Camera
    cam_from_world: pycolmap.Rigid3d
    dense: StoredFile | None = None
    session: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Manifest:
    """Hold the content of a map's manifest; `identity`, a hash of all of it, is known once it is written or read."""

    config: Config
    views: list[ViewRecord]
    landmarks: StoredFile
    retrieval: StoredFile
    index: StoredFile | None = None
    provenance: Provenance = field(default_factory=Provenance)
    identity: str = ""

    @property
    def files(self) -> dict[str, str]:
        """Return the SHA-256 of each file by name."""
        stored = [self.landmarks, self.retrieval]
        stored += [] if self.index is None else [self.index]
        for view in self.views:
            stored += [view.stored] if view.dense is None else [view.stored, view.dense]
        return {file.file: file.sha256 for file in stored}


@contextmanager
def name_in_errors(path: Path) -> Iterator[None]:
    """Turn errors in the block into a MapError that names the file."""
    try:
        yield
    except MapError:
        raise
    except KeyError as error:
        raise MapError(f"{path}: field {error} is missing") from error
    except PARSING_ERRORS as error:
        raise MapError(f"{path}: {error}") from error


def find_maps(path: Path) -> list[Path]:
    """Return the map at a path, or those right below it, by name; the path itself where there is none.

    Opening that says what is wrong.

    Raises:
        MapError: of several maps there may be one more that cannot be looked at; without it a robot might be taken to
            be in another.
    """
    closed: list[OSError] = []
    found = [] if holds_manifest(path, closed) else list(list_maps_below(path, closed))
    if found and closed:
        raise MapError(f"{closed[0].filename}: {closed[0].strerror}, so whether it is a map is not known")
    return found or [path]


def list_maps_below(folder: Path, closed: list[OSError] | None = None) -> Iterator[Path]:
    """Yield the maps right below a folder.

    Not what a writer is at work on, whose name begins with a dot, nor what the system keeps on each disk.

    closed: takes what cannot be looked at, as without permission.
    """
    closed = [] if closed is None else closed
    try:
        below = sorted(folder.iterdir())
    except ValueError:  # a name with a zero byte
        return
    except OSError as error:
        closed.append(error)
        return
    for one in below:
        if not one.name.startswith(".") and one.name != LOST_AND_FOUND and holds_manifest(one, closed):
            yield one


def holds_manifest(folder: Path, closed: list[OSError]) -> bool:
    """Return whether a map's manifest is in a folder. closed: takes the error where that cannot be seen."""
    try:
        return is_ordinary_file(folder / MANIFEST)
    except OSError as error:
        closed.append(error)
        return False


def describe_no_map(folder: Path) -> str:
    """Return that a path leads to no map, and which one may have been meant."""
    try:
        if is_ordinary_file(folder):
            return f"{folder}: a file; a map is a folder"
        is_folder = folder.is_dir()
    except OSError as error:
        return f"{folder}: {error.strerror or error}"
    if is_folder:
        several = ", ".join(below.name for below in list_maps_below(folder))
        hint = f", but a folder of maps; give one of them: {several}" if several else f", {MANIFEST} not found"
        return f"{folder}: not a map{hint}"
    return f"{folder}: no such map{suggest(folder.name, [other.name for other in list_maps_below(folder.parent)])}"


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a map of any supported format version.

    Raises:
        MapError: there is no map, its version is not supported, or its manifest is damaged.
    """
    path = folder / MANIFEST
    try:
        if not is_ordinary_file(path):
            raise MapError(describe_no_map(folder))
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise MapError(f"{path}: damaged: {path.stat().st_size} bytes, a manifest has at most {MAX_MANIFEST_BYTES}")
        data = path.read_bytes()
    except OSError as error:
        raise MapError(f"{path}: {error.strerror or error}") from error
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:  # not JSON, not text, or nested without end
        raise MapError(f"{path}: damaged: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise MapError(f"{path}: field 'format' is not {FORMAT!r}")
    version = content.get("version")
    if version not in (1, VERSION):
        raise MapError(f"{path}: field 'version' is {version!r}, this program reads 1 to {VERSION}; build it again")
    if content.get("sha256") != hash_manifest(content):
        raise MapError(f"{path}: damaged: its content does not have the hash it states")
    with name_in_errors(path):
        return parse_manifest(content if version == VERSION else upgrade_from_v1(content))


def parse_manifest(content: dict[str, Any]) -> Manifest:
    """Parse the content of a manifest of the newest version.

    Raises:
        KeyError, ValueError, TypeError: a field is missing or invalid; the message names it.
    """
    cameras = [Camera(c["model"], c["width"], c["height"], tuple(c["params"])) for c in content["cameras"]]
    views = [parse_view(view, cameras) for view in content["views"]]
    if len({view.name for view in views}) != len(views):
        raise ValueError("field 'views': two views have the same name")
    return Manifest(
        strip_programs(from_dict(Config(), upgrade_config(content["config"]))),
        views,
        parse_file(content["landmarks"]),
        parse_file(content["retrieval"]),
        parse_file(content["index"]) if "index" in content else None,
        Provenance.from_dict(content["provenance"]),
        content["sha256"],
    )


def strip_programs(config: Config) -> Config:
    """Return the config without files that are programs: a map must not name any; its user does."""
    return change_config(config, retrieval={"descriptor_file": ""})


def parse_view(view: dict[str, Any], cameras: list[Camera]) -> ViewRecord:
    """Parse a view's record. Raises ValueError naming the view."""
    name, camera, session = view["name"], view["camera"], view.get("session", "")
    if not isinstance(name, str):
        raise ValueError(f"view {name!r}: its name is not text")
    if not isinstance(session, str):
        raise ValueError(f"view {name!r}: field 'session' is {session!r}, not text")
    if type(camera) is not int or not 0 <= camera < len(cameras):
        raise ValueError(f"view {name!r}: field 'camera' is {camera!r}, there are {len(cameras)} cameras")
    try:
        cam_from_world = rigid_from_quaternion(view["rotation_xyzw"], view["translation_m"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"view {name!r}: {error}") from error
    if abs(cam_from_world.translation).max() > MAX_LENGTH_M:
        raise ValueError(f"view {name!r}: field 'translation_m' is beyond {MAX_LENGTH_M:g} m")
    dense = parse_file(view["dense"]) if "dense" in view else None
    return ViewRecord(name, parse_file(view), cameras[camera], cam_from_world, dense, session)


def parse_file(stored: dict[str, Any]) -> StoredFile:
    """Parse a file's record. Raises ValueError if its name leads out of the map."""
    file, sha256 = stored["file"], stored["sha256"]
    if not isinstance(file, str) or not FILE_NAME.fullmatch(file):
        raise ValueError(f"field 'file' is {file!r}, which is not a file of a map")
    if not isinstance(sha256, str):
        raise ValueError(f"{file}: field 'sha256' is {sha256!r}")
    return StoredFile(file, sha256)


def upgrade_config(config: dict[str, Any]) -> dict[str, Any]:
    """Convert a map's config to the parameters of this release.

    In maps with the parameter METRIC_GATE, gates were in metres and weights and covariances were different: parameters
    that depend on these get their defaults. Before `min_image_side_px`, small images were not scaled up.
    """
    if not isinstance(config, dict):
        return config
    if isinstance(matcher := config.get("matcher"), dict):
        config = {**config, "matcher": {"min_image_side_px": 0} | matcher}
    pose = config.get("pose")
    if not isinstance(pose, dict) or METRIC_GATE not in pose:
        return config
    kept = {key: value for key, value in pose.items() if key in KEPT_OF_METRIC_GATES}
    return {**config, "pose": kept | {"required_position_std_m": pose[METRIC_GATE]}}


def upgrade_from_v1(content: dict[str, Any]) -> dict[str, Any]:
    """Convert the content of a manifest of version 1, in which files had fixed names, to version 2."""
    files = content["files"]

    def stored(file: str) -> dict[str, str]:
        return {"file": file, "sha256": files[file]}

    views = []
    for view in content["views"]:
        dense = view["file"].removesuffix(".safetensors") + ".dense.safetensors"
        views.append(view | {"dense": stored(dense)} if dense in files else view)
    shared = {name: stored(f"{name}.safetensors") for name in ("landmarks", "retrieval")}
    return content | shared | {"views": views}


def manifest_to_dict(manifest: Manifest) -> dict[str, Any]:
    """Return the content of the manifest's file, with its own hash."""
    cameras: dict[Camera, int] = {}
    for view in manifest.views:
        cameras.setdefault(view.camera, len(cameras))
    content = {
        "format": FORMAT,
        "version": VERSION,
        "config": to_dict(strip_programs(manifest.config)),
        "cameras": [
            {"model": c.model, "width": c.width, "height": c.height, "params": list(c.params)} for c in cameras
        ],
        "views": [view_to_dict(view, cameras[view.camera]) for view in manifest.views],
        "landmarks": file_to_dict(manifest.landmarks),
        "retrieval": file_to_dict(manifest.retrieval),
        "provenance": manifest.provenance.to_dict(),
    }
    if manifest.index is not None:
        content["index"] = file_to_dict(manifest.index)
    return content | {"sha256": hash_manifest(content)}


def view_to_dict(view: ViewRecord, camera: int) -> dict[str, Any]:
    """Return a view's entry; `camera` is its number in the list of cameras."""
    content = {
        "name": view.name,
        **file_to_dict(view.stored),
        "camera": camera,
        "rotation_xyzw": view.cam_from_world.rotation.quat.tolist(),
        "translation_m": view.cam_from_world.translation.tolist(),
    }
    content |= {} if view.dense is None else {"dense": file_to_dict(view.dense)}
    return content | ({"session": view.session} if view.session else {})


def file_to_dict(stored: StoredFile) -> dict[str, str]:
    """Return a file's entry, the same for every kind of file."""
    return {"file": stored.file, "sha256": stored.sha256}


def hash_manifest(content: dict[str, Any]) -> str:
    """Return the hash of a manifest without its own hash; through the files' hashes it stands for the whole map."""
    unsigned = {key: value for key, value in content.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(unsigned, sort_keys=True).encode()).hexdigest()
