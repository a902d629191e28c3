"""Define a reading of odometry, and measure the path it has covered, with which its drift grows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pycolmap

from deviloc_ros.geometry import normalize_rigid

CLOCK_JUMP_NS = 1_000_000_000  # images arrive in order, so a stamp this far back means that the clock was set back
# Odometry may jitter while the robot stands, and each step adds the jitter to the path. With steps this long, jitter of
# 5 mm and 0.1 degrees adds less to the drift than time does; shorter ones would sum up noise.
STEP_NS = 200_000_000
MAX_STEPS = 150  # per reading, so that a long pause costs milliseconds; the TF buffer covers this many


@dataclass(frozen=True, slots=True, eq=False)
class Odometry:
    """Hold the odometry's pose, and the path covered up to it; only differences between readings have a meaning."""

    odom_from_base: pycolmap.Rigid3d
    travelled_m: float = 0.0
    turned_rad: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "odom_from_base", normalize_rigid("Odometry.odom_from_base", self.odom_from_base))


class Odometer:
    """Add up the path of odometry in steps of `STEP_NS`, however often it is read. Thread-safe.

    odom_from_base: returns the odometry at a time [ns], None if unknown; then the path is taken as straight.
    """

    def __init__(self, odom_from_base: Callable[[int], pycolmap.Rigid3d | None]) -> None:
        self._odom_from_base = odom_from_base
        self._counted: Odometry | None = None  # as far as the last whole step
        self._counted_ns = 0
        self._lock = threading.Lock()

    def read_at(self, stamp_ns: int, odom_from_base: pycolmap.Rigid3d) -> Odometry:
        """Return the reading at a time whose odometry is `odom_from_base`."""
        with self._lock:
            if self._counted is None:
                return self._count(stamp_ns, Odometry(odom_from_base))
            if stamp_ns < self._counted_ns - CLOCK_JUMP_NS:  # the way between was not driven
                return self._count(stamp_ns, replace(self._counted, odom_from_base=odom_from_base))
            gap_ns = stamp_ns - self._counted_ns
            steps, start_ns = min(gap_ns // STEP_NS, MAX_STEPS), self._counted_ns
            for step in range(1, steps):
                between_ns = start_ns + gap_ns * step // steps
                if (pose := self._odom_from_base(between_ns)) is not None:
                    self._count(between_ns, move_straight(self._counted, pose))
            here = move_straight(self._counted, odom_from_base, forward=gap_ns >= 0)
            return self._count(stamp_ns, here) if gap_ns >= STEP_NS else here

    def _count(self, stamp_ns: int, odometry: Odometry) -> Odometry:
        self._counted, self._counted_ns = odometry, stamp_ns
        return odometry


def move_straight(before: Odometry, odom_from_base: pycolmap.Rigid3d, forward: bool = True) -> Odometry:
    """Return the reading at another pose on a straight path after `before`, or before it if not `forward`."""
    metres, radians = motion_length(before.odom_from_base.inverse() * odom_from_base)
    sign = 1 if forward else -1
    return Odometry(odom_from_base, before.travelled_m + sign * metres, before.turned_rad + sign * radians)


def motion_length(motion: pycolmap.Rigid3d) -> tuple[float, float]:
    """Return the length [m] and the angle [rad] of a motion."""
    return float(np.linalg.norm(motion.translation)), float(motion.rotation.angle())


def path_between(a: Odometry, b: Odometry) -> tuple[float, float]:
    """Return the path [m] and the rotation [rad] between two readings; not less than those of the straight motion."""
    metres, radians = motion_length(a.odom_from_base.inverse() * b.odom_from_base)
    return max(metres, abs(b.travelled_m - a.travelled_m)), max(radians, abs(b.turned_rad - a.turned_rad))
