"""Save the last pose and load it after a restart. It belongs to one map and only tells where to search first."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from deviloc_ros.geometry import rigid_from_quaternion
from deviloc_ros.io.atomic import replace_on_success
from deviloc_ros.io.plain_files import expand_home, read_json
from deviloc_ros.maps.checks import MAX_LENGTH_M
from deviloc_ros.tracking.fix import Fix

MAX_BYTES = 1 << 16


def save_pose(path: Path, map_id: str, fix: Fix) -> None:
    """Write the pose atomically, so that the file is complete at any time. Raises OSError."""
    content = {
        "map_id": map_id,
        "translation_m": fix.map_from_base.translation.tolist(),
        "rotation_xyzw": fix.map_from_base.rotation.quat.tolist(),
        "covariance": fix.covariance.tolist(),
    }
    with replace_on_success(path) as beside:
        beside.write_text(json.dumps(content))


def load_pose(path: Path, map_ids: Collection[str], now_ns: int) -> tuple[str, Fix] | None:
    """Return the identity of the map of a saved pose, and the pose as a fix at `now_ns`; None without a file.

    Raises:
        ValueError: the file is damaged, or of another map.
    """
    try:
        if not path.exists():
            return None
        content = read_json(path, MAX_BYTES)
        map_from_base = rigid_from_quaternion(content["rotation_xyzw"], content["translation_m"])
        covariance = np.array(content["covariance"], float).reshape(6, 6)
        saved_map_id = content["map_id"]
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"{path}: not a saved pose: {error!r}") from error
    if not np.isfinite(covariance).all() or abs(map_from_base.translation).max() > MAX_LENGTH_M:
        raise ValueError(f"{path}: its numbers are not finite")
    if not np.allclose(covariance, covariance.T) or not 0 < np.linalg.eigvalsh(covariance)[0] < MAX_LENGTH_M:
        raise ValueError(f"{path}: its covariance is not symmetric and positive")
    if saved_map_id not in map_ids:
        raise ValueError(f"{path}: of another map")
    return saved_map_id, Fix(now_ns, map_from_base, covariance)


class PoseKeeper:
    """Keep the last pose in a file; without a file keep nothing.

    problem: why the last pose is not kept; empty if it is.

    Raises:
        ValueError: the file is in the home of nobody who is known.
    """

    def __init__(self, file: str, log: Any) -> None:
        self.problem = ""
        self._path = expand_home(file) if file else None
        self._log = log
        self._kept: Fix | None = None

    def load(self, map_ids: Collection[str], now_ns: int) -> tuple[str, Fix] | None:
        """Return a map's identity and the saved pose as a fix at `now_ns`; None without a usable one."""
        if self._path is None:
            return None
        try:
            saved = load_pose(self._path, map_ids, now_ns)
        except ValueError as error:
            self._log.warning(f"saved pose not used: {error}")
            return None
        if saved is not None:
            self._log.info(f"saved pose {saved[1].map_from_base.translation.round(2).tolist()} m is searched first")
        return saved

    def save(self, map_id: str, fix: Fix | None) -> None:
        """Write the pose unless it was written already."""
        if self._path is None or fix is None or fix is self._kept:
            return
        try:
            save_pose(self._path, map_id, fix)
            self._kept, self.problem = fix, ""
        except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
            problem = f"pose not saved: {error}"
            if problem != self.problem:  # else it would be said with each pose
                self._log.error(problem)
            self.problem = problem
