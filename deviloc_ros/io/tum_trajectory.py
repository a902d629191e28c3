"""Read and write trajectories as TUM text files: lines `time tx ty tz qx qy qz qw`, as evo reads them."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import pycolmap

from deviloc_ros.geometry import rigid_from_quaternion
from deviloc_ros.io.atomic import write_whole
from deviloc_ros.io.plain_files import read_text

log = logging.getLogger(__name__)
Stamped = tuple[int, pycolmap.Rigid3d]
SECONDS, NANOSECONDS = "seconds", "nanoseconds"
NAMES_NANOSECONDS = re.compile(r"^[#\s]*time\w*\s*[\[(]\s*(ns|nsec|nanoseconds)\s*[\])]", re.IGNORECASE)
TIME = re.compile(r"[0-9]+(\.[0-9]*)?")
LATEST_NS = 2**63  # 292 years; without a bound, a short text such as 1e999999999 would fill the memory with digits
UNCLEAR = range(10**10, 10**17)  # in seconds this is after the year 2286, in nanoseconds before 1974


def write_tum(path: Path, poses: Iterable[Stamped]) -> None:
    """Write (time [ns], world_from_body) pairs, exact to the nanosecond."""
    lines = ["# time tx ty tz qx qy qz qw"]
    for time_ns, world_from_body in poses:
        numbers = [*world_from_body.translation, *world_from_body.rotation.quat]
        seconds, rest = divmod(time_ns, 1_000_000_000)
        lines.append(f"{seconds}.{rest:09d} " + " ".join(f"{number:.12f}" for number in numbers))
    write_whole(path, "\n".join(lines) + "\n")


def read_tum(path: Path) -> list[Stamped]:
    """Read poses from a TUM file, or from a similar format.

    Commas may replace spaces; a heading, a byte order mark and times in nanoseconds are accepted. So are EuRoC's files,
    recognized by their heading, with nanoseconds and quaternions with w first, and RTAB-Map's, whose lines end with an
    id. Lines without a pose (NaN), as trackers write them, are skipped.

    Raises:
        ValueError: naming file and line.
    """
    lines = read_text(path, errors="replace").splitlines()
    poses, unknown, w_first, unit, has_id, is_named = [], 0, False, None, False, False
    first = next((number for number, line in enumerate(lines, 1) if line.strip()), 0)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        fields = line.replace(",", " ").replace(";", " ").split()
        if line.lstrip().startswith("#") or (number == first and is_heading(fields)):
            w_first, is_named = w_first or names_w_first(line), True
            has_id = has_id or fields[-1].lower() == "id"
            unit = unit or (NANOSECONDS if NAMES_NANOSECONDS.search(line) else None)
            continue
        try:
            if len(fields) == 17 and w_first:  # EuRoC's ground truth goes on with velocities and biases
                fields = fields[:8]
            if len(fields) == 9 and has_id:
                fields = fields[:8]
            if len(fields) != 8:
                raise ValueError(f"expected 8 numbers, got {len(fields)}{looks_like(fields)}")
            unit = unit or unit_of(fields[0])
            time_ns = parse_time(fields[0], unit)
            x, y, z, *quaternion = (float(field) for field in fields[1:])
            if all(math.isnan(value) for value in (x, y, z)):
                unknown += 1
                continue
            xyzw = [*quaternion[1:], quaternion[0]] if w_first else quaternion
            poses.append((time_ns, rigid_from_quaternion(xyzw, (x, y, z))))
        except (ValueError, ArithmeticError) as error:
            raise ValueError(f"{path}:{number}: {error}") from error
    if poses and unit == NANOSECONDS and not is_named and "," in lines[first - 1]:
        log.warning("%s: no line names its columns; quaternions are taken with w last, EuRoC has it first", path)
    if unknown:
        log.warning("%s: %d lines without a pose (NaN), left out", path, unknown)
    return poses


def is_heading(fields: list[str]) -> bool:
    """Return whether a line is a heading: several fields, none of them a number."""
    return len(fields) > 1 and not any(is_number(field) for field in fields)


def is_number(text: str) -> bool:
    """Return whether a field is a number, NaN included."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def is_time(stem: str) -> bool:
    """Return whether an image's name, without its suffix, is a time: digits, maybe with a point.

    Python's float also accepts `1_2`, `1e5` and `nan`, but these may be numbers or hashes in names of images.
    """
    return bool(TIME.fullmatch(stem))


def names_w_first(line: str) -> bool:
    """Return whether a heading has the quaternion's w before its x, as `q_RS_w [], q_RS_x []` or `qw qx`."""
    names = [re.sub(r"\[.*?\]", "", name).strip().lower() for name in re.split(r"[,;\s]+", line.strip("# "))]
    parts = [name.rpartition("_")[2].removeprefix("q") for name in names if name.startswith("q")]
    return parts[:2] == ["w", "x"]


def unit_of(first_time: str) -> str:
    """Return the unit of the first time of a file without a heading.

    Raises:
        ValueError: not a number, or not a plausible time since 1970 in seconds or nanoseconds.
    """
    size = abs(parse_time(first_time, NANOSECONDS))
    if size in UNCLEAR:
        raise ValueError(
            f"time {first_time}: seconds or nanoseconds since 1970 are expected; are these milliseconds, microseconds, "
            "or nanoseconds of another clock? Write seconds"
        )
    return NANOSECONDS if size >= UNCLEAR.stop else SECONDS


def looks_like(fields: list[str]) -> str:
    """Say what a line with another number of fields probably is, for an error; empty if unclear."""
    match len(fields):
        case 12:
            return ": a 3 x 4 matrix, as KITTI's poses.txt? It has no times; write `time tx ty tz qx qy qz qw`"
        case 16 | 17:
            return ": a 4 x 4 matrix, or EuRoC's file without its line of names? Write `time tx ty tz qx qy qz qw`"
        case 7:
            return ": no time, or no w? Write `time tx ty tz qx qy qz qw`"
        case 4:
            return ": positions alone? Poses are `time tx ty tz qx qy qz qw`"
    return "" if len(fields) > 1 else ": is it a text file of poses, `time tx ty tz qx qy qz qw` a line?"


def parse_seconds(seconds: str) -> int:
    """Parse `12.5` or `1.25e+01` as 12500000000 ns, exactly. Raises ValueError as `parse_time` does."""
    return parse_time(seconds, SECONDS)


def parse_time(number: str, unit: str) -> int:
    """Parse a time in SECONDS or NANOSECONDS and return it in ns, exactly.

    Raises:
        ValueError: not a number, or an impossible time.
    """
    try:
        time_ns = Decimal(number).scaleb(9 if unit == SECONDS else 0)
        is_possible = abs(time_ns) < LATEST_NS
    except ArithmeticError as error:  # of NaN, too
        raise ValueError(f"time {number!r} is not a number of {unit}") from error
    if not is_possible:
        raise ValueError(f"time {number!r} is beyond what a clock can show, in {unit}")
    return int(time_ns)
