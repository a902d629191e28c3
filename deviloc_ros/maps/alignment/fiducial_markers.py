"""Fit a map to printed markers (AprilTag, ArUco) whose places were surveyed: they are seen in the map's own images."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray
from tqdm import tqdm

from deviloc_ros.geometry import FARTHEST_M, rigid_from_quaternion, transform_points
from deviloc_ros.imaging import ImageError, read_gray
from deviloc_ros.io.plain_files import read_yaml
from deviloc_ros.maps.alignment.known_positions import describe_fit
from deviloc_ros.maps.alignment.similarity import align_positions, move_points
from deviloc_ros.maps.store import Map
from deviloc_ros.sources.base import SourceError

log = logging.getLogger(__name__)
# Corners as cv2.aruco lists them, in halves of the side: x to the right, y up, z out of the marker.
CORNERS = np.array([[-1, 1, 0], [1, 1, 0], [1, -1, 0], [-1, -1, 0]]) / 2
MIN_TRIANGULATION_DEG = 2.0  # rays that meet at a smaller angle tell no depth
MAX_CORNER_ERROR_DEG = 0.3  # 2.7 px at a focal length of 525 px: more than a blurred corner is off
MAX_OFF_SIDES = 0.5  # a marker farther than half its side from where it should be was taken for another
MAX_SEEDS = 2000  # sets of markers that a fit is tried from


@dataclass(frozen=True, slots=True, eq=False)
class Marker:
    """Hold a surveyed marker.

    corners: (4, 3) m in the wanted frame where its orientation is known, else (1, 3), its centre.
    """

    corners: NDArray
    side_m: float


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """Hold the markers of a file, by id, and the name of their family as cv2.aruco has it."""

    dictionary: str
    markers: Mapping[int, Marker]


def read_survey(path: Path) -> Survey:
    """Read a YAML file of surveyed markers; docs/maps.md has an example.

    Raises:
        SourceError: naming file and field.
    """
    if not path.is_file():
        raise SourceError(f"{path}: not found")
    try:
        content = take_fields(read_yaml(path, aliases=True), "dictionary, size_m and tags")
        dictionary, side_m, tags = content["dictionary"], content["size_m"], content["tags"]
        if not isinstance(dictionary, str) or not hasattr(cv2.aruco, f"DICT_{dictionary}"):
            raise ValueError(f"dictionary {describe_plainly(dictionary)} is not one of cv2.aruco; try APRILTAG_36h11")
        markers: dict[int, Marker] = {}
        for name, values in take_fields(tags, "tags by their number").items():
            number = parse_id(name, dictionary)
            if number in markers:
                raise ValueError(f"tag {number} stands there twice")
            try:
                markers[number] = parse_marker(take_fields(values, "a position"), side_m)
            except KeyError as error:
                raise ValueError(f"tag {number}: {error.args[0]!r} is missing") from error
            except ValueError as error:
                raise ValueError(f"tag {number}: {error}") from error
    except KeyError as error:
        raise SourceError(f"{path}: {error.args[0]!r} is missing") from error
    except ValueError as error:
        raise SourceError(f"{path}: {error}") from error
    if not markers:
        raise SourceError(f"{path}: no tags")
    return Survey(dictionary, markers)


def take_fields(given: Any, meaning: str) -> Mapping[Any, Any]:
    """Return what a file says by name. Raises ValueError if it is something else."""
    if not isinstance(given, dict):
        raise ValueError(f"expected {meaning}, got {describe_plainly(given)}")
    return given


def parse_id(name: Any, dictionary: str) -> int:
    """Return the number of a marker. Raises ValueError for one that the dictionary does not have."""
    count = len(cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{dictionary}")).bytesList)
    text = str(name)  # YAML has numbers as such or as text
    if not (text.isdecimal() and len(text) < 10 and int(text) < count):
        raise ValueError(f"tag {text[:80]!r}: {dictionary} has tags 0 to {count - 1}")
    return int(text)


def parse_marker(values: Mapping[str, Any], default_side_m: Any) -> Marker:
    """Return the marker of one entry. Raises KeyError or ValueError."""
    position = parse_numbers("position", values["position"], "X, Y, Z [m]")
    (side_m,) = parse_numbers("size_m", [values.get("size_m", default_side_m)], "metres above 0")
    if side_m <= 0:
        raise ValueError(f"size_m {side_m}: expected metres above 0")
    if "orientation" not in values:
        return Marker(position[None], float(side_m))
    quaternion = parse_numbers("orientation", values["orientation"], "X, Y, Z, W")
    return Marker(transform_points(rigid_from_quaternion(quaternion, position), side_m * CORNERS), float(side_m))


def parse_numbers(name: str, given: Any, meaning: str) -> NDArray:
    """Return the numbers of a field, as many as its meaning says. Raises ValueError naming the field."""
    is_plain = isinstance(given, list) and len(given) == meaning.count(",") + 1
    if not is_plain or any(isinstance(v, bool) or not isinstance(v, (int, float, str)) for v in given):
        raise ValueError(f"{name} {describe_plainly(given)}: expected {meaning}")
    try:
        numbers = np.array([float(v) for v in given])
    except (ValueError, OverflowError):
        numbers = np.array([np.nan])
    if not (np.abs(numbers) <= FARTHEST_M).all():
        raise ValueError(f"{name} {describe_plainly(given)}: expected {meaning}")
    return numbers


def describe_plainly(value: Any) -> str:
    """Return a short text of a value of a file, of which aliases may have made more than memory holds."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    is_plain = len(inner) < 20 and not any(isinstance(v, (list, dict)) for v in inner)
    return repr(value)[:80] if is_plain else f"of {len(inner)} entries"


def fit_markers(
    reference_map: Map, images: Path, survey: Survey, *, rigid: bool = False, quiet: bool = False
) -> tuple[pycolmap.Sim3d, str]:
    """Estimate wanted_from_world from markers in the images of a map's views, and say in words how well it fits.

    Args:
        images: folder in which the names of views begin.
        rigid: keep the scale at 1.

    Raises:
        SourceError: no image is there, too few surveyed markers are seen by two views, or most contradict each other.
    """
    seen = find_markers(reference_map, images, survey.dictionary, quiet)
    here = {number: triangulate_corners(reference_map, views) for number, views in seen.items()}
    found = {number: corners for number, corners in here.items() if corners is not None and number in survey.markers}
    if not found:
        listed = f"seen: {sorted(seen) or 'none'}; surveyed: {sorted(survey.markers)}"
        raise SourceError(f"no surveyed marker is seen by two views far enough apart ({listed})")
    pairs = {number: pair_points(corners, survey.markers[number]) for number, corners in found.items()}
    wanted_from_world, agreeing = fit_agreeing(pairs, survey, rigid)
    refused = sorted(set(pairs) - set(agreeing))
    off_m = np.array([largest_offset_m(wanted_from_world, pairs[number]) for number in agreeing])
    words = f"as {len(agreeing)} markers have it; {describe_fit(wanted_from_world, off_m, [str(n) for n in agreeing])}"
    if refused:
        offsets = ", ".join(f"{n} ({largest_offset_m(wanted_from_world, pairs[n]):.2f} m)" for n in refused)
        words += f"; left out, another id or a wrong survey: {offsets}"
    return wanted_from_world, words


def find_markers(
    reference_map: Map, images: Path, dictionary: str, quiet: bool
) -> dict[int, list[tuple[int, NDArray]]]:
    """Return the views [number] in which each marker is seen, with its (4, 2) corners [px].

    Raises:
        SourceError: not one image of the map can be read.
    """
    detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{dictionary}")))
    parameters = detector.getDetectorParameters()
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    detector.setDetectorParameters(parameters)
    seen: dict[int, list[tuple[int, NDArray]]] = {}
    missing: list[str] = []
    for number, record in enumerate(tqdm(reference_map.records, desc="markers", unit="view", disable=quiet)):
        try:
            gray = read_gray(images / record.name)
        except (ImageError, OSError) as error:
            missing.append(f"{record.name}: {error}")
            continue
        if (gray.shape[1], gray.shape[0]) != (record.camera.width, record.camera.height):
            missing.append(f"{record.name}: {gray.shape[1]} x {gray.shape[0]} px, its camera has other ones")
            continue
        corners, ids, _ = detector.detectMarkers(gray)
        for marker, corner in zip([] if ids is None else ids.ravel().tolist(), corners, strict=True):
            seen.setdefault(int(marker), []).append((number, corner.reshape(4, 2).astype(float)))
    if len(missing) == len(reference_map.records):
        raise SourceError(f"{images}: no image of the map is there; {missing[0]}")
    if missing:
        log.warning("%d of %d images of the map are not used: %s", len(missing), len(reference_map.records), missing[0])
    return seen


def triangulate_corners(reference_map: Map, views: list[tuple[int, NDArray]]) -> NDArray | None:
    """Return the (4, 3) corners of a marker in the map's frame, None where its views do not determine them."""
    records = [reference_map.records[number] for number, _ in views]
    options = pycolmap.EstimateTriangulationOptions()
    options.min_tri_angle = np.deg2rad(MIN_TRIANGULATION_DEG)
    options.residual_type = pycolmap.TriangulationResidualType.ANGULAR_ERROR
    options.ransac.max_error = np.deg2rad(MAX_CORNER_ERROR_DEG)
    options.ransac.random_seed = 0
    corners = []
    for corner in range(len(CORNERS)):
        result = pycolmap.estimate_triangulation(
            np.stack([pixels[corner] for _, pixels in views]),
            [record.cam_from_world for record in records],
            [record.camera.colmap for record in records],
            options,
        )
        if result is None:
            return None
        corners.append(result["xyz"])
    return np.stack(corners)


Pair = tuple[NDArray, NDArray]
"""(N, 3) points of a marker in the map's frame, and the same points in the wanted frame."""


def pair_points(corners: NDArray, marker: Marker) -> Pair:
    """Return what is compared of a marker: its corners, or its centre where that is all that is known."""
    return (corners if len(marker.corners) == len(CORNERS) else corners.mean(0, keepdims=True)), marker.corners


def largest_offset_m(wanted_from_world: pycolmap.Sim3d, pair: Pair) -> float:
    """Return how far [m] the worst point of a marker is from where it should be."""
    return float(np.linalg.norm(move_points(wanted_from_world, pair[0]) - pair[1], axis=1).max())


def fit_agreeing(pairs: Mapping[int, Pair], survey: Survey, rigid: bool) -> tuple[pycolmap.Sim3d, list[int]]:
    """Fit to the largest set of markers that agree. Raises SourceError unless that is more than half of them."""
    best: list[int] = []
    for seed in choose_seeds(pairs):
        try:
            wanted_from_world = fit_to(pairs, seed, rigid)
        except ValueError:  # they lie on a line
            continue
        off_sides = {
            n: largest_offset_m(wanted_from_world, pair) / survey.markers[n].side_m for n, pair in pairs.items()
        }
        agreeing = [n for n, off in off_sides.items() if off < MAX_OFF_SIDES]
        best = max(best, agreeing, key=len)
    if 2 * len(best) <= len(pairs):
        known = "with an orientation, or three without that are not on one line" if not best else "that agree"
        raise SourceError(f"{len(pairs)} markers, {sorted(pairs)}, do not determine a frame: give more {known}")
    return fit_to(pairs, best, rigid), best


def choose_seeds(pairs: Mapping[int, Pair]) -> Iterator[list[int]]:
    """Yield small sets of markers that determine a frame: one with corners, or three centres."""
    with_corners = [number for number, (points, _) in pairs.items() if len(points) == len(CORNERS)]
    yield from ([number] for number in with_corners)
    for count, few in enumerate(combinations(pairs, 3)):
        if count < MAX_SEEDS:
            yield list(few)


def fit_to(pairs: Mapping[int, Pair], numbers: list[int], rigid: bool) -> pycolmap.Sim3d:
    """Fit wanted_from_world to some markers. Raises ValueError where they determine none."""
    here, there = (np.concatenate([pairs[number][side] for number in numbers]) for side in (0, 1))
    return align_positions(here, there, rigid=rigid)
