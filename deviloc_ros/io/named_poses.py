"""Read and write poses by image: lines `NAME QW QX QY QZ TX TY TZ`, as hloc and visuallocalization.net do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pycolmap

from deviloc_ros.geometry import UNIT_TOLERANCE, rigid_from_quaternion
from deviloc_ros.io.atomic import write_whole
from deviloc_ros.io.plain_files import read_named_lines, read_text
from deviloc_ros.io.tum_trajectory import is_number

FORMAT = "NAME QW QX QY QZ TX TY TZ"
NUMBERS = 7


def format_named_pose(name: str, cam_from_world: pycolmap.Rigid3d) -> str:
    """Return the line of an image."""
    x, y, z, w = cam_from_world.rotation.quat
    return " ".join([name, *(repr(float(number)) for number in (w, x, y, z, *cam_from_world.translation))])


def write_named_poses(path: Path | str, poses: Mapping[str, pycolmap.Rigid3d]) -> None:
    """Write cam_from_world of each image as `NAME QW QX QY QZ TX TY TZ` lines."""
    write_whole(Path(path), "".join(f"{format_named_pose(name, pose)}\n" for name, pose in poses.items()))


def read_named_poses(path: Path | str) -> dict[str, pycolmap.Rigid3d]:
    """Read cam_from_world of each image from `NAME QW QX QY QZ TX TY TZ` lines; `#` begins a comment.

    A name may have spaces.

    Raises:
        ValueError: naming file and line.
    """
    return read_named_lines(Path(path), parse_named_pose, "pose")


def parse_named_pose(line: str) -> tuple[str, pycolmap.Rigid3d]:
    """Return the name and cam_from_world of a line. Raises ValueError."""
    name, *words = line.strip().rsplit(maxsplit=NUMBERS)
    try:
        w, x, y, z, *translation = map(float, words)
    except ValueError as error:
        raise ValueError(f"expected {FORMAT}, got {line[:80]!r}") from error
    if len(translation) != 3:
        raise ValueError(f"expected {FORMAT}, got {line[:80]!r}")
    return name, rigid_from_quaternion((x, y, z, w), translation)


def has_named_poses(path: Path) -> bool:
    """Return whether a file has poses by image rather than by time: whether its first line begins with a name.

    A name may be a number: then quaternions tell, which stand behind names, and at the end of lines by time.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not text.
    """
    lines = (line.strip() for line in read_text(path, errors="replace").splitlines())
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    if not rows:
        return False
    numbers = sum(map(is_number, rows[0]))
    if not is_number(rows[0][0]):
        return 2 * numbers > len(rows[0])  # a line of a name, perhaps with a fault; a heading has none
    if numbers < len(rows[0]):  # a name with spaces that begins with a number
        return len(rows[0]) > 1 + NUMBERS and all(map(is_number, rows[0][-NUMBERS:]))
    return count_quaternions(rows, 1) > count_quaternions(rows, 4)


def count_quaternions(rows: Sequence[Sequence[str]], column: int) -> int:
    """Return in how many rows of a word and 7 numbers a quaternion begins at a column."""
    parts = [row[column : column + 4] for row in rows if len(row) == 1 + NUMBERS]
    lengths = [math.hypot(*map(float, part)) for part in parts if all(map(is_number, part))]
    return sum(abs(length - 1) < UNIT_TOLERANCE for length in lengths)
