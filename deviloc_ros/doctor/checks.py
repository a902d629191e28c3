"""Check machine and map for problems with localizing. `ros/tools/doctor.py` checks the running robot."""

from __future__ import annotations

import enum
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from deviloc_ros.camera import Camera
from deviloc_ros.maps.inspect import NO_METRES, TO_GET_METRES
from deviloc_ros.maps.manifest import find_maps
from deviloc_ros.maps.store import Map, MapError
from deviloc_ros.matching import create_matcher
from deviloc_ros.messages.cv_bridge_probe import BridgeProbe

FOCAL_FACTOR = 2.0  # if focal lengths per image width differ by more, cameras see things at too different scales


class Level(enum.Enum):
    """Rank the severity of a finding; with a FAIL there can be no pose."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """Hold one line of the report; `advice` says what to do."""

    level: Level
    what: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.level.value:<5} {self.what}" + (f"\n      -> {self.advice}" if self.advice else "")


def make_ok(what: str) -> Finding:
    """Return a finding of level OK."""
    return Finding(Level.OK, what)


def make_warning(what: str, advice: str) -> Finding:
    """Return a finding that costs accuracy or speed."""
    return Finding(Level.WARN, what, advice)


def make_failure(what: str, advice: str) -> Finding:
    """Return a finding that prevents poses."""
    return Finding(Level.FAIL, what, advice)


def examine_machine() -> Iterator[Finding]:
    """Yield findings about torch, GPU and cv_bridge."""
    if torch.cuda.is_available():
        free, total = (size / 2**30 for size in torch.cuda.mem_get_info())
        name = f"GPU {torch.cuda.get_device_name()}, {free:.1f} of {total:.1f} GiB free"
        yield (
            make_ok(name)
            if free > 1.0
            else make_warning(name, "end other programs on the GPU, or set matcher.device: cpu")
        )
    else:
        advice = "it goes without, as fast as docs/results.md says; where there is a GPU, install torch with CUDA"
        yield make_warning(f"torch {torch.__version__} sees no GPU", advice)
    yield examine_cv_bridge()


def examine_cv_bridge() -> Finding:
    """Check that cv_bridge converts an image: the binaries of older distributions break under numpy 2."""
    if importlib.util.find_spec("cv_bridge") is None:
        return make_ok("no cv_bridge here; the node does without")
    fault = BridgeProbe().wait_for_verdict()
    if fault:
        advice = "the node does without; for others: pip install ./underlay/cv_bridge in its place, or numpy below 2"
        return make_warning(f"cv_bridge does not work with numpy {np.__version__}: {fault}", advice)
    return make_ok(f"cv_bridge works with numpy {np.__version__}")


def examine_map(folder: Path | None, cameras: tuple[Camera, ...] = ()) -> Iterator[Finding]:
    """Yield findings about the files and network of a map, or of each of several, and whether cameras fit it."""
    if folder is None:
        yield make_warning("no map was examined", "give --map MAP")
        return
    for one in find_maps(folder.expanduser()):
        yield from examine_one_map(one, cameras)


def examine_one_map(folder: Path, cameras: tuple[Camera, ...]) -> Iterator[Finding]:
    """Yield the findings of `examine_map` for one map."""
    try:
        reference_map = Map.open(folder)
        for number in range(len(reference_map)):
            reference_map.view(number)
        landmarks, _ = len(reference_map.landmarks()), reference_map.georeference
    except MapError as error:
        yield make_failure(f"map: {error}", "copy the map again, or make it with `deviloc build-map`")
        return
    about = f"{len(reference_map)} views, {landmarks} landmarks, id {reference_map.identity[:16]}"
    if place := reference_map.georeference:
        about += f", at latitude {place.latitude:.5f}, longitude {place.longitude:.5f}"
    yield make_ok(f"map {folder}: {about}; all hashes agree")
    if not reference_map.manifest.provenance.is_metric:
        yield make_failure(f"map {folder}: {NO_METRES}; the node refuses it", TO_GET_METRES)
    yield examine_matcher(reference_map)
    for camera in cameras:
        yield examine_camera(camera, {record.camera for record in reference_map.records})


def examine_matcher(reference_map: Map) -> Finding:
    """Check that the network that the map was made with can be loaded."""
    name = reference_map.matcher_name
    if reference_map.has_foreign_matcher:
        return make_warning(
            f"matcher {name} is not in the package, so that only a program of your own can use the map",
            "pass it, Localizer(map, matcher=...); for the node, build the map with a matcher of the package",
        )
    try:
        matcher = create_matcher(reference_map.config.matcher)
    except Exception as error:  # whatever a missing or damaged file leads to
        return make_failure(
            f"matcher {name} cannot be loaded: {error}", "install the package again: its weights are part"
        )
    return make_ok(f"matcher {name} is loaded on {matcher.device}")


def examine_camera(camera: Camera, mapped: set[Camera]) -> Finding:
    """Check that a camera sees things at about the scale of one of the map's cameras."""
    wide = camera.focal_px / camera.width
    factor = min(max(wide / (m.focal_px / m.width), m.focal_px / m.width / wide) for m in mapped)
    what = f"camera {camera.width} x {camera.height}, focal length {camera.focal_px:.0f} px"
    if factor > FOCAL_FACTOR:
        advice = "check the calibration; if it is right, map the place with this camera"
        return make_warning(f"{what}, is {factor:.1f} times wider or narrower than any of the map", advice)
    return make_ok(f"{what}, is like those of the map")
