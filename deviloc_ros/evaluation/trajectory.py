"""Trajectories as TUM text files: `time tx ty tz qx qy qz qw` a line, what evo and rpg_trajectory_evaluation read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pycolmap

from deviloc_ros.geometry import is_finite

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
            values = np.array([float(field) for field in fields[1:]])
            if values.shape != (7,):
                raise ValueError(f"expected 8 numbers, got {len(fields)}")
            pose = pycolmap.Rigid3d(pycolmap.Rotation3d(values[3:]), values[:3])
            if not is_finite(pose):
                raise ValueError("pose is not finite")
            poses.append((nanoseconds(fields[0]), pose))
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from error
    return poses


def nanoseconds(seconds: str) -> int:
    """`12.5` -> 12500000000, without the rounding of a float."""
    whole, _, fraction = seconds.partition(".")
    return int(whole) * 1_000_000_000 + int((fraction + "0" * 9)[:9])
