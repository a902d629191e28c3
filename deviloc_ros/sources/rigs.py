"""Read a rig: the cameras of a robot with their mounts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pycolmap

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import rigid_from_quaternion
from deviloc_ros.io.plain_files import read_json
from deviloc_ros.masks import Mask
from deviloc_ros.sources.base import SourceError
from deviloc_ros.sources.image_files import suggest_nearest

FIELDS = {"name", "camera", "rig_from_cam", "mask"}


@dataclass(frozen=True, slots=True, eq=False)
class RigCamera:
    """Hold one camera of a rig. mask: None: all of its images are used."""

    name: str
    camera: Camera
    rig_from_cam: pycolmap.Rigid3d
    mask: Mask | None = None


def read_rig(path: Path) -> list[RigCamera]:
    """Read a rig from JSON, a list `cameras` of `name`, `camera`, `rig_from_cam` and perhaps `mask`; see docs/rigs.md.

    Raises:
        SourceError: the message names file, camera and field.
    """
    if not path.is_file():
        raise SourceError(f"{path}: no such file{suggest_nearest(path)}")
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: {error}") from error
    listed = content.get("cameras") if isinstance(content, dict) else None
    if not isinstance(listed, list) or not listed:
        raise SourceError(f"{path}: field 'cameras' must be a list of cameras")
    cameras = [read_camera(path, number, entry) for number, entry in enumerate(listed)]
    if len({camera.name for camera in cameras}) < len(cameras):
        raise SourceError(f"{path}: two cameras have the same name")
    return cameras


def read_camera(path: Path, number: int, entry: Any) -> RigCamera:
    """Read the camera of a rig at a place of its list. A mask's file is relative to the rig's."""
    name = entry.get("name", str(number)) if isinstance(entry, dict) else str(number)
    where = f"{path}: camera {name!r}"
    if not isinstance(entry, dict):
        raise SourceError(f"{where}: expected fields by name, got {entry!r}")
    if unknown := sorted(set(entry) - FIELDS):
        raise SourceError(f"{where}: unknown field {unknown[0]!r}; known: {', '.join(sorted(FIELDS))}")
    try:
        lens, mount = entry["camera"], entry["rig_from_cam"]
        camera = Camera(lens["model"], lens["width"], lens["height"], tuple(map(float, lens["params"])))
        rig_from_cam = rigid_from_quaternion(mount["rotation_xyzw"], mount["translation_m"])
    except KeyError as error:
        raise SourceError(f"{where}: field {error} is missing") from error
    except (TypeError, ValueError) as error:
        raise SourceError(f"{where}: {error}") from error
    mask = None
    if "mask" in entry:
        mask = Mask(path.parent / str(entry["mask"]))
        mask.read((camera.width, camera.height))
    return RigCamera(str(name), camera, rig_from_cam, mask)
