"""What keeps a machine or a map from localizing. `ros/tools/doctor.py` looks at the running robot."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from deviloc_ros.camera import Camera
from deviloc_ros.maps.store import Map, MapError
from deviloc_ros.matching import create_matcher
from deviloc_ros.messages.bridge_probe import BridgeProbe

FOCAL_FACTOR = 2.0  # a camera whose focal length (per image width) differs more than this sees things at another scale


class Level(enum.Enum):
    """How bad a finding is; with a FAIL there can be no pose."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. advice: what to do."""

    level: Level
    what: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.level.value:<5} {self.what}" + (f"\n      -> {self.advice}" if self.advice else "")


def ok(what: str) -> Finding:
    return Finding(Level.OK, what)


def warn(what: str, advice: str) -> Finding:
    return Finding(Level.WARN, what, advice)


def fail(what: str, advice: str) -> Finding:
    return Finding(Level.FAIL, what, advice)


def examine_machine() -> Iterator[Finding]:
    """Torch, GPU, cv_bridge."""
    if torch.cuda.is_available():
        free, total = (size / 2**30 for size in torch.cuda.mem_get_info())
        name = f"GPU {torch.cuda.get_device_name()}, {free:.1f} of {total:.1f} GiB free"
        yield ok(name) if free > 1.0 else warn(name, "end other programs on the GPU, or set matcher.device: cpu")
    else:
        advice = "a few images per second are localized; for more, install torch with CUDA where there is a GPU"
        yield warn(f"torch {torch.__version__} sees no GPU", advice)
    yield examine_cv_bridge()


def examine_cv_bridge() -> Finding:
    """The binaries of older distributions break under numpy 2, or crash; the node then does without."""
    fault = BridgeProbe().wait()
    if fault:
        advice = "the node does without; for others: pip install ./underlay/cv_bridge in its place, or numpy below 2"
        return warn(f"cv_bridge does not work with numpy {np.__version__}: {fault}", advice)
    return ok(f"cv_bridge works with numpy {np.__version__}")


def examine_map(folder: Path | None, cameras: tuple[Camera, ...] = ()) -> Iterator[Finding]:
    """The map's files and its network, and whether cameras fit it."""
    if folder is None:
        yield warn("no map was examined", "give --map MAP")
        return
    try:
        reference_map = Map.open(folder.expanduser())
        for number in range(len(reference_map)):
            reference_map.view(number)
        landmarks = len(reference_map.landmarks())
    except MapError as error:
        yield fail(f"map: {error}", "copy the map again, or make it with `python -m deviloc_ros build-map`")
        return
    about = f"{len(reference_map)} views, {landmarks} landmarks, id {reference_map.identity[:16]}"
    yield ok(f"map {folder}: {about}; all hashes agree")
    yield examine_matcher(reference_map)
    for camera in cameras:
        yield examine_camera(camera, {record.camera for record in reference_map.records})


def examine_matcher(reference_map: Map) -> Finding:
    """Whether the network that the map was made with can be loaded."""
    name = reference_map.config.matcher.name
    try:
        matcher = create_matcher(reference_map.config.matcher)
    except Exception as error:  # whatever a missing or damaged file leads to
        return fail(f"matcher {name} cannot be loaded: {error}", "install the package again: its weights are part")
    return ok(f"matcher {name} is loaded on {matcher.device}")


def examine_camera(camera: Camera, mapped: set[Camera]) -> Finding:
    """Whether a camera sees things about as large as a camera of the map does."""
    wide = camera.focal_px / camera.width
    factor = min(max(wide / (m.focal_px / m.width), m.focal_px / m.width / wide) for m in mapped)
    what = f"camera {camera.width} x {camera.height}, focal length {camera.focal_px:.0f} px"
    if factor > FOCAL_FACTOR:
        advice = "check the calibration; if it is right, map the place with this camera"
        return warn(f"{what}, is {factor:.1f} times wider or narrower than any of the map", advice)
    return ok(f"{what}, is like those of the map")
