"""When to believe a fix, and what it makes of the odometry. Pure: no ROS, no threads, no clock of its own.

`map` is the world frame, `base` the robot, `odom` the frame in which odometry is continuous but drifts. Odometry only
predicts; the pose that is published is always the one that an image gave.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.config import Checked, param
from deviloc_ros.geometry import covariance_of_moved, isotropic, pose_difference
from deviloc_ros.odometry import CLOCK_JUMP_NS, Odometry, way
from deviloc_ros.types import Localized, Prior


@dataclass(frozen=True, slots=True)
class TrackingConfig(Checked):
    """Which fixes are believed, and how long odometry is trusted without one."""

    confirmations: int = param(
        3, "fixes that must agree before a first or a large correction is believed", low=1, high=100
    )
    confirmation_window_s: float = param(
        5.0, "fixes farther apart than this do not confirm each other", low=0.01, high=600.0
    )
    max_mahalanobis: float = param(
        5.0, "a fix farther [sigma] than this from its prediction needs confirmation", low=1.0, high=1e6
    )
    drift_m_per_m: float = param(
        0.05, "odometry: translation error per metre of the way since the last fix", low=0.0, high=10.0
    )
    drift_deg_per_m: float = param(
        1.0, "odometry: rotation error [deg] per metre of the way since the last fix", low=0.0, high=180.0
    )
    drift_per_turn: float = param(
        0.05, "odometry: rotation error per rotation, all that the robot turned since the last fix", low=0.0, high=10.0
    )
    drift_m_per_s: float = param(0.02, "odometry: translation error per second", low=0.0, high=100.0)
    drift_deg_per_s: float = param(0.2, "odometry: rotation error [deg] per second", low=0.0, high=180.0)
    max_speed_m_per_s: float = param(
        2.0, "without odometry the robot is expected to move no faster", low=0.0, high=1000.0
    )
    max_turn_deg_per_s: float = param(
        90.0, "without odometry the robot is expected to turn no faster", low=0.0, high=10000.0
    )
    coasting_after_s: float = param(1.0, "without a fix for this long the state is coasting", low=0.01, high=3600.0)
    lost_after_s: float = param(
        30.0, "without a fix for this long the state is lost and map->odom stops", low=0.01, high=86400.0
    )
    search_radius_m: float = param(10.0, "reference views this near the prediction are searched", low=0.01, high=1e6)
    search_angle_deg: float = param(
        75.0, "reference views turned less than this from the prediction are searched", low=1.0, high=180.0
    )
    global_search_after: int = param(
        2, "frames that fail near the prediction before the whole map is searched", low=1, high=1000
    )
    smoothing_s: float = param(
        0.0, "time constant that spreads small corrections of map->odom; 0 applies them at once", low=0.0, high=60.0
    )
    hint_std_m: float = param(1.0, "an initial pose is taken to be no better than this", low=0.01, high=1000.0)
    hint_std_deg: float = param(20.0, "an initial pose is taken to be no better than this [deg]", low=0.1, high=180.0)


class State(enum.Enum):
    """What is known of the robot's place."""

    UNLOCALIZED = "unlocalized"  # no fix yet
    LOCALIZED = "localized"
    COASTING = "coasting"  # no recent fix: map->odom still holds, odometry carries it
    LOST = "lost"  # the last fix is too old to say anything


class Verdict(enum.Enum):
    """What became of a fix."""

    ACCEPTED = "accepted"
    UNCONFIRMED = "waiting for more fixes that agree"
    OUT_OF_ORDER = "not newer than the last fix"
    OUTDATED = "searched for before the pose was given or forgotten"


@dataclass(frozen=True, slots=True, eq=False)
class Fix:
    """Where the robot was at `stamp_ns`.

    covariance: (6, 6) of map_from_base, translation [m] then rotation vector [rad], both in map axes.
    odometry: where that had the robot at that time, None without odometry.
    is_planar: the robot drives on the plane z = 0 of the map, and is expected there: see `flattened`.
    """

    stamp_ns: int
    map_from_base: pycolmap.Rigid3d
    covariance: NDArray
    odometry: Odometry | None = None
    is_planar: bool = False


def fix_of(
    localized: Localized,
    base_from_cam: pycolmap.Rigid3d,
    odometry: Odometry | None,
    stamp_ns: int,
) -> Fix:
    """The robot's pose, and its covariance, from that of its camera."""
    map_from_cam, cam_from_base = localized.cam_from_world.inverse(), base_from_cam.inverse()
    covariance = covariance_of_moved(map_from_cam, localized.covariance, cam_from_base)
    return Fix(stamp_ns, map_from_cam * cam_from_base, covariance, odometry)


def map_from_odom(fix: Fix) -> pycolmap.Rigid3d | None:
    """What the fix says of the odometry frame (REP-105); None without odometry."""
    return None if fix.odometry is None else fix.map_from_base * fix.odometry.odom_from_base.inverse()


def predict(fix: Fix, stamp_ns: int, odometry: Odometry | None, config: TrackingConfig) -> Fix:
    """Where the robot of `fix` should be at another time: moved by odometry, or else anywhere it can have reached."""
    seconds = abs(stamp_ns - fix.stamp_ns) * 1e-9
    if fix.odometry is None or odometry is None:
        moved = pycolmap.Rigid3d()
        std_m = config.max_speed_m_per_s * seconds
        std_rad = math.radians(config.max_turn_deg_per_s * seconds)
    else:
        moved = fix.odometry.odom_from_base.inverse() * odometry.odom_from_base
        metres, turned = way(fix.odometry, odometry)
        std_m = config.drift_m_per_m * metres + config.drift_m_per_s * seconds
        std_rad = (
            math.radians(config.drift_deg_per_m * metres + config.drift_deg_per_s * seconds)
            + config.drift_per_turn * turned
        )
    covariance = covariance_of_moved(fix.map_from_base, fix.covariance, moved) + isotropic(std_m, std_rad)
    expected = Fix(stamp_ns, fix.map_from_base * moved, covariance, odometry)
    return flattened(expected) if fix.is_planar else expected  # odometry may heave and pitch


def mahalanobis(a: Fix, b: Fix) -> float:
    """Distance of two independent fixes of one place, in sigma of their difference."""
    error = pose_difference(a.map_from_base, b.map_from_base)
    return math.sqrt(max(float(error @ np.linalg.solve(a.covariance + b.covariance, error)), 0.0))


def flattened(fix: Fix) -> Fix:
    """The fix of a robot that drives on the plane z = 0 of the map: x, y and yaw are kept."""
    rotation = fix.map_from_base.rotation.matrix()
    yaw = math.atan2(rotation[1, 0], rotation[0, 0])
    x, y, _ = fix.map_from_base.translation
    planar = [0, 1, 5]
    covariance = np.diag([1e-6] * 6)  # a filter cannot invert zeros
    covariance[np.ix_(planar, planar)] = fix.covariance[np.ix_(planar, planar)]
    map_from_base = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0.0, 0.0, yaw])), np.array([x, y, 0.0]))
    return Fix(fix.stamp_ns, map_from_base, covariance, fix.odometry, is_planar=True)


class Tracker:
    """Decides which fixes to believe. Not thread-safe.

    A fix that agrees with the prediction is believed at once. Any other (the first; after a kidnapping; a wrong one)
    waits until `confirmations` fixes in a row agree with each other: a glitch does not move the robot, and a robot that
    was carried away recovers.

    epoch: 0, and one more with each reset and hint. What was searched for in an earlier one says nothing in this one.
    """

    def __init__(self, config: TrackingConfig) -> None:
        self.config = config
        self.epoch = -1
        self.reset()

    def said_of(self, verdict: Verdict) -> str:
        """Why the fix that was just observed is not believed, in words; empty if it is."""
        if verdict is Verdict.ACCEPTED:
            return ""
        return f"{verdict.value}, {self.agreeing} so far" if verdict is Verdict.UNCONFIRMED else verdict.value

    def reset(self) -> None:
        """Forget everything: the next frame searches the whole map."""
        self.epoch += 1
        self.last: Fix | None = None  # the last fix that was believed
        self._hint: Fix | None = None
        self._candidate: Fix | None = None
        self._agreeing = 0
        self._misses = 0
        self._odometry_fix: Fix | None = None  # the last believed fix that had odometry
        self._map_from_odom: pycolmap.Rigid3d | None = None  # what that fix says
        self._blend_from: pycolmap.Rigid3d | None = None
        self._blend_start_ns = 0

    def hint(self, guess: Fix) -> None:
        """Take someone's word for where the robot is. It narrows the search, but nobody has seen it: it is no fix."""
        self.reset()
        no_better_than = isotropic(self.config.hint_std_m, math.radians(self.config.hint_std_deg))
        self._hint = Fix(guess.stamp_ns, guess.map_from_base, guess.covariance + no_better_than, guess.odometry)

    def expected(self, stamp_ns: int, odometry: Odometry | None) -> Fix | None:
        """Where the robot should be, or None where the last word on it is too old."""
        known = self._hint or self.last
        if known is None or abs(stamp_ns - known.stamp_ns) * 1e-9 > self.config.lost_after_s:
            return None
        return predict(known, stamp_ns, odometry, self.config)

    def prior(self, stamp_ns: int, odometry: Odometry | None, cam_from_base: pycolmap.Rigid3d) -> Prior | None:
        """Where to search for the camera. None is the whole map: nothing is known, or what is known does not hold.

        A fix that waits for confirmation does not narrow the search: it must be found again on its own merit.
        """
        expected = self.expected(stamp_ns, odometry)
        if expected is None or self._candidate is not None or self._misses >= self.config.global_search_after:
            return None
        std_m, std_deg = largest_stds(expected.covariance)
        return Prior(
            cam_from_base * expected.map_from_base.inverse(),
            radius_m=self.config.search_radius_m + 3 * std_m,
            angle_deg=min(self.config.search_angle_deg + 3 * std_deg, 180.0),
        )

    def missed(self) -> None:
        """A frame gave no pose."""
        self._misses += 1

    def observe(self, fix: Fix, now_ns: int) -> Verdict:
        """Believe the fix, keep it as a candidate, or refuse it."""
        if self.last is not None and fix.stamp_ns <= self.last.stamp_ns:
            if fix.stamp_ns > self.last.stamp_ns - CLOCK_JUMP_NS:
                return Verdict.OUT_OF_ORDER
            self.reset()  # time itself went back: a recording that starts over
        expected = self.expected(fix.stamp_ns, fix.odometry)
        if expected is not None and mahalanobis(fix, expected) <= self.config.max_mahalanobis:
            self._accept(fix, self.map_from_odom(now_ns), now_ns)
            return Verdict.ACCEPTED
        self._agreeing = self._agreeing + 1 if self._confirms_candidate(fix) else 1
        self._candidate = fix
        if self._agreeing < self.config.confirmations:
            return Verdict.UNCONFIRMED
        self._odometry_fix = None  # of the old place; without odometry there is no new one
        self._accept(fix, None, now_ns)
        return Verdict.ACCEPTED

    @property
    def agreeing(self) -> int:
        """Fixes in a row that agree with each other but are not believed yet."""
        return self._agreeing

    def state(self, now_ns: int) -> State:
        """What the last believed fix is worth now."""
        if self.last is None:
            return State.UNLOCALIZED
        age_s = (now_ns - self.last.stamp_ns) * 1e-9
        if age_s <= self.config.coasting_after_s:
            return State.LOCALIZED
        return State.COASTING if self.map_from_odom(now_ns) is not None else State.LOST

    def map_from_odom(self, now_ns: int) -> pycolmap.Rigid3d | None:
        """The correction of the odometry; None without a fix that had odometry, or when that fix is too old.

        As long as nothing changes it is the same object: it is asked for many times a second.
        """
        fix = self._odometry_fix
        if fix is None or (now_ns - fix.stamp_ns) * 1e-9 > self.config.lost_after_s:
            return None
        target = self._map_from_odom
        if target is None or self._blend_from is None or self.config.smoothing_s == 0.0:
            return target
        share = 1.0 - math.exp(-max(now_ns - self._blend_start_ns, 0) * 1e-9 / self.config.smoothing_s)
        return pycolmap.Rigid3d.interpolate(self._blend_from, target, share)

    def _confirms_candidate(self, fix: Fix) -> bool:
        if self._candidate is None:
            return False
        seconds = (fix.stamp_ns - self._candidate.stamp_ns) * 1e-9
        if not 0 < seconds <= self.config.confirmation_window_s:
            return False
        expected = predict(self._candidate, fix.stamp_ns, fix.odometry, self.config)
        return mahalanobis(fix, expected) <= self.config.max_mahalanobis

    def _accept(self, fix: Fix, blend_from: pycolmap.Rigid3d | None, now_ns: int) -> None:
        self.last, self._hint, self._candidate = fix, None, None
        self._agreeing = self._misses = 0
        if fix.odometry is not None:
            self._odometry_fix, self._blend_from, self._blend_start_ns = fix, blend_from, now_ns
            self._map_from_odom = map_from_odom(fix)


def largest_stds(covariance: NDArray) -> tuple[float, float]:
    """Standard deviation along the worst axis: translation [m], rotation [deg]."""
    translation, rotation = (np.linalg.eigvalsh(covariance[s, s])[-1] for s in (slice(0, 3), slice(3, 6)))
    return math.sqrt(max(translation, 0.0)), math.degrees(math.sqrt(max(rotation, 0.0)))
