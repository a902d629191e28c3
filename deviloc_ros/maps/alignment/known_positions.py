"""Fit a map to positions or poses of its cameras that are known in another frame."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.geometry import FARTHEST_M, rotation_distance_deg
from deviloc_ros.io.plain_files import read_named_lines
from deviloc_ros.maps.alignment.similarity import align_poses, align_positions, camera_centres, move_points, move_pose
from deviloc_ros.maps.georeference import Georeference, check_coordinates, to_enu
from deviloc_ros.sources.base import SourceError

T = TypeVar("T")
Poses = Mapping[str, pycolmap.Rigid3d]
MIRROR_SHARE = 0.2  # of errors, and of the spread of positions, by which a mirror is told from noise
MAX_OFF_SHARE = 0.5  # of the spread of known positions: beyond it they are of other places than the map


def read_positions(path: Path) -> dict[str, NDArray]:
    """Read a text file of `NAME X Y Z` lines [m], as COLMAP's model_aligner does; `#` begins a comment.

    Raises:
        SourceError: naming file and line.
    """
    return read_known(path, parse_position)


def parse_position(line: str) -> tuple[str, NDArray]:
    """Return name and (3,) position of a line. Raises ValueError."""
    name, *values = line.strip().rsplit(maxsplit=3)  # a name may have spaces
    position = np.array(values, float)
    if position.shape != (3,) or not (np.abs(position) <= FARTHEST_M).all():
        raise ValueError(f"expected NAME X Y Z, got {line[:80]!r}")
    return name, position


def read_known(path: Path, parse: Callable[[str], tuple[str, T]]) -> dict[str, T]:
    """Read what the lines of a file say of the position of each name.

    Args:
        parse: returns name and value of a line; raises ValueError.

    Raises:
        SourceError: naming file and line.
    """
    if not path.is_file():
        raise SourceError(f"{path}: not found")
    try:
        return read_named_lines(path, parse, "position")
    except ValueError as error:
        raise SourceError(str(error)) from error


def read_geographic_positions(path: Path) -> tuple[dict[str, NDArray], Georeference]:
    """Read lines `NAME LATITUDE LONGITUDE [ALTITUDE]`; return metres east, north and up of the first, and it as origin.

    Without altitudes all are at one height.

    Raises:
        SourceError: naming file and line.
    """
    found = read_known(path, parse_coordinates)
    if not found:
        raise SourceError(f"{path}: has no line NAME LATITUDE LONGITUDE [ALTITUDE]")
    if len({count for _, count in found.values()}) > 1:
        raise SourceError(f"{path}: some lines have an altitude, others do not")
    coordinates = np.stack([values for values, _ in found.values()])
    latitude, longitude, altitude = coordinates[0].tolist()
    origin = Georeference(latitude, longitude, altitude, pycolmap.Rigid3d())
    return dict(zip(found, to_enu(origin, coordinates), strict=True)), origin


def parse_coordinates(line: str) -> tuple[str, tuple[NDArray, int]]:
    """Return name, (3,) coordinates and how many of them were given. Raises ValueError: a name may have spaces."""
    words = line.split()
    numbers = [value for word in words[-3:] if (value := to_number(word)) is not None]
    count = 3 if len(words) > 3 and len(numbers) == 3 else 2
    if len(words) <= count or to_number(words[-1]) is None or to_number(words[-2]) is None:
        raise ValueError(f"expected NAME LATITUDE LONGITUDE [ALTITUDE], got {line[:80]!r}")
    coordinates = np.array([*map(float, words[-count:]), 0.0][:3])
    check_coordinates(coordinates)
    return line.strip().rsplit(maxsplit=count)[0], (coordinates, count)


def to_number(word: str) -> float | None:
    """Return a word's number, None if it is none."""
    try:
        return float(word)
    except ValueError:
        return None


def check_positions(names: Collection[str], positions: Mapping[str, NDArray]) -> None:
    """Raise SourceError unless positions are known of three of the named images that are not on one line."""
    there = np.stack([positions[name] for name in select_known(names, positions)])
    try:
        align_positions(there, there)
    except ValueError as error:
        raise SourceError(f"{error} (of {len(names)} images)") from error


def fit_positions(poses: Poses, positions: Mapping[str, NDArray], *, rigid: bool = False) -> tuple[pycolmap.Sim3d, str]:
    """Estimate wanted_from_world of poses cam_from_world by view, and say in words how well it fits.

    Args:
        rigid: keep the scale at 1.

    Raises:
        SourceError: too few views have a known position, or the known positions do not fit the views.
    """
    names = select_known(poses, positions)
    here, there = camera_centres([poses[name] for name in names]), np.stack([positions[name] for name in names])
    try:
        wanted_from_world = align_positions(here, there, rigid=rigid)
    except ValueError as error:
        raise SourceError(f"{error} (of {len(poses)} views)") from error
    off_m = np.linalg.norm(move_points(wanted_from_world, here) - there, axis=1)
    words = f"as {len(names)} known positions have it; {describe_fit(wanted_from_world, off_m, names)}"
    words += describe_unknown(poses, positions)
    spread_m = np.linalg.norm(there - there.mean(0), axis=1)
    if is_mirrored(here, there, rigid):
        raise SourceError(
            f"the views lie to each other as in a mirror {words}: look whether two numbers of a line are swapped, or "
            "one has the other sign"
        )
    if np.linalg.norm(off_m) > MAX_OFF_SHARE * np.linalg.norm(spread_m):
        raise SourceError(f"the views are not placed relative to each other {words}: check names, numbers and scale")
    return wanted_from_world, words


def is_mirrored(here: NDArray, there: NDArray, rigid: bool) -> bool:
    """Return whether (N, 3) positions fit others in a mirror only; in one plane they fit either way."""
    plain, mirrored = (
        np.linalg.norm(move_points(align_positions(side, there, rigid=rigid), side) - there)
        for side in (here, here * [-1, 1, 1])
    )
    spread = np.linalg.norm(there - there.mean(0))
    return bool(plain > MIRROR_SHARE * spread and mirrored < MIRROR_SHARE * plain)


def fit_poses(poses: Poses, wanted: Poses, *, rigid: bool = False) -> tuple[pycolmap.Sim3d, str]:
    """Estimate wanted_from_world from known poses cam_from_world, and say in words how well it fits.

    Two views are enough, on a line too.

    Raises:
        SourceError: no view is known, or the poses determine no scale.
    """
    names = select_known(poses, wanted)
    here, there = [poses[name] for name in names], [wanted[name] for name in names]
    try:
        wanted_from_world = align_poses(here, there, rigid=rigid)
    except ValueError as error:
        raise SourceError(f"{error} (of {len(poses)} views)") from error
    moved = [move_pose(wanted_from_world, pose) for pose in here]
    off_m = np.linalg.norm(camera_centres(moved) - camera_centres(there), axis=1)
    off_deg = np.median([rotation_distance_deg(a, b) for a, b in zip(moved, there, strict=True)])
    words = f"{describe_fit(wanted_from_world, off_m, names)}, {off_deg:.2f} deg{describe_unknown(poses, wanted)}"
    return wanted_from_world, f"as {len(names)} known poses have it; {words}"


def select_known(names: Collection[str], known: Mapping[str, object]) -> list[str]:
    """Return the names that are known, in their order; raise SourceError if there is none."""
    found = [name for name in names if name in known]
    if not found:
        raise SourceError(f"none of the {len(names)} views is named there; the first is {next(iter(names), '')!r}")
    return found


def describe_unknown(names: Collection[str], known: Collection[str]) -> str:
    """Return how many of the names that were given are of no view, and the first of them; empty if all are of one."""
    others = [name for name in known if name not in names]
    return f"; {len(others)} of {len(known)} names there are of no view, as {others[0]!r}" if others else ""


def describe_fit(wanted_from_world: pycolmap.Sim3d, off_m: NDArray, names: list[str]) -> str:
    """Return the scale and how far off views are, with the name of the one that is farthest off."""
    most = f"{off_m.max():.3f} m (most, {names[off_m.argmax()]})"
    return f"scale {wanted_from_world.scale:.4f}, off by {np.median(off_m):.3f} m (median), {most}"
