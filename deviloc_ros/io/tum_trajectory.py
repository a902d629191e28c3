"""Trajectories as TUM text files: `time tx ty tz qx qy qz qw` a line, what evo and rpg_trajectory_evaluation read."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import pycolmap

from deviloc_ros.geometry import rigid_of_quaternion

Stamped = tuple[int, pycolmap.Rigid3d]


def write_tum(path: Path, poses: Iterable[Stamped]) -> None:
    """Write (time [ns], world_from_body) pairs; nanoseconds survive."""
    lines = ["# time tx ty tz qx qy qz qw"]
    for time_ns, world_from_body in poses:
        numbers = [*world_from_body.translation, *world_from_body.rotation.quat]
        seconds, rest = divmod(time_ns, 1_000_000_000)
        lines.append(f"{seconds}.{rest:09d} " + " ".join(f"{number:.12f}" for number in numbers))
    path.write_text("\n".join(lines) + "\n")


def read_tum(path: Path) -> list[Stamped]:
    """Raises ValueError naming file and line."""
    poses = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split()
        try:
            if len(fields) != 8:
                raise ValueError(f"expected 8 numbers, got {len(fields)}")
            values = [float(field) for field in fields[1:]]
            poses.append((nanoseconds(fields[0]), rigid_of_quaternion(values[3:], values[:3])))
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from error
    return poses


def nanoseconds(seconds: str) -> int:
    """`12.5` or `1.25e+01` -> 12500000000, without the rounding of a float. Raises ValueError: not a number."""
    try:
        return int(Decimal(seconds).scaleb(9))
    except (ArithmeticError, ValueError) as error:
        raise ValueError(f"time {seconds!r} is not a number of seconds") from error
