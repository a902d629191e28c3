"""Decide when to believe a fix, and what it makes of the odometry. Pure: no ROS, no threads, no clock of its own.

`map` is the world frame, `base` the robot, `odom` the frame in which odometry is continuous but drifts. Odometry only
predicts; the pose that is published is always the one that an image gave.
"""

from __future__ import annotations

import enum
import math

import pycolmap

from deviloc_ros.config import TrackingConfig
from deviloc_ros.geometry import isotropic_covariance
from deviloc_ros.status import Status
from deviloc_ros.tracking.fix import Fix, largest_stds, mahalanobis_distance, map_from_odom, predict_fix
from deviloc_ros.tracking.odometry import CLOCK_JUMP_NS, Odometry
from deviloc_ros.types import Prior


class TrackingState(enum.Enum):
    """Name what is known of the robot's place."""

    UNLOCALIZED = "unlocalized"  # no fix yet
    LOCALIZED = "localized"
    COASTING = "coasting"  # no recent fix: map->odom still holds, odometry carries it
    LOST = "lost"  # the last fix is too old to say anything


class Tracker:
    """Decide which fixes to believe. Not thread-safe.

    A fix that agrees with the prediction is believed at once. Any other (the first; after a kidnapping; a wrong one)
    waits until `confirmations` fixes in a row agree with each other: a glitch does not move the robot, and a robot that
    was carried away recovers.

    epoch: 0, and one more with each reset and hint. What was searched for in an earlier one says nothing in this one.
    """

    def __init__(self, config: TrackingConfig) -> None:
        self.config = config
        self.epoch = -1
        self.reset()

    def explain(self, status: Status) -> str:
        """Return why the fix that was just observed is not believed; empty if it is."""
        if status is Status.ACCEPTED:
            return ""
        return f"{status.sentence}, {self.count_agreeing} so far" if status is Status.UNCONFIRMED else status.sentence

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
        no_better_than = isotropic_covariance(self.config.hint_std_m, math.radians(self.config.hint_std_deg))
        self._hint = Fix(guess.stamp_ns, guess.map_from_base, guess.covariance + no_better_than, guess.odometry)

    def expected_fix(self, stamp_ns: int, odometry: Odometry | None) -> Fix | None:
        """Return where the robot should be, or None where the last word on it is too old."""
        known = self._hint or self.last
        if known is None or abs(stamp_ns - known.stamp_ns) * 1e-9 > self.config.lost_after_s:
            return None
        return predict_fix(known, stamp_ns, odometry, self.config)

    def prior(self, stamp_ns: int, odometry: Odometry | None, cam_from_base: pycolmap.Rigid3d) -> Prior | None:
        """Return where to search for the camera.

        None is the whole map: nothing is known, or what is known does not hold. A fix that waits for confirmation does
        not narrow the search: it must be found again on its own merit.
        """
        expected = self.expected_fix(stamp_ns, odometry)
        if expected is None or self._candidate is not None or self._misses >= self.config.global_search_after:
            return None
        std_m, std_deg = largest_stds(expected.covariance)
        return Prior(
            cam_from_base * expected.map_from_base.inverse(),
            radius_m=self.config.search_radius_m + 3 * std_m,
            angle_deg=min(self.config.search_angle_deg + 3 * std_deg, 180.0),
        )

    def count_miss(self) -> None:
        """Count a frame that gave no pose."""
        self._misses += 1

    def observe(self, fix: Fix, now_ns: int) -> Status:
        """Believe the fix, keep it as a candidate, or refuse it."""
        if self.last is not None and fix.stamp_ns <= self.last.stamp_ns:
            if fix.stamp_ns > self.last.stamp_ns - CLOCK_JUMP_NS:
                return Status.OUT_OF_ORDER
            self.reset()  # time itself went back: a recording that starts over
        expected = self.expected_fix(fix.stamp_ns, fix.odometry)
        if expected is not None and mahalanobis_distance(fix, expected) <= self.config.max_mahalanobis:
            self._accept(fix, self.map_from_odom(now_ns), now_ns)
            return Status.ACCEPTED
        self._agreeing = self._agreeing + 1 if self._confirms_candidate(fix) else 1
        self._candidate = fix
        if self._agreeing < self.config.confirmations:
            return Status.UNCONFIRMED
        self._odometry_fix = None  # of the old place; without odometry there is no new one
        self._accept(fix, None, now_ns)
        return Status.ACCEPTED

    @property
    def count_agreeing(self) -> int:
        """Return how many fixes in a row agree with each other but are not believed yet."""
        return self._agreeing

    def state(self, now_ns: int) -> TrackingState:
        """Return what the last believed fix is worth now."""
        if self.last is None:
            return TrackingState.UNLOCALIZED
        age_s = (now_ns - self.last.stamp_ns) * 1e-9
        if age_s <= self.config.coasting_after_s:
            return TrackingState.LOCALIZED
        return TrackingState.COASTING if self.map_from_odom(now_ns) is not None else TrackingState.LOST

    def map_from_odom(self, now_ns: int) -> pycolmap.Rigid3d | None:
        """Return the correction of the odometry; None without a fix that had odometry, or when that fix is too old.

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
        expected = predict_fix(self._candidate, fix.stamp_ns, fix.odometry, self.config)
        return mahalanobis_distance(fix, expected) <= self.config.max_mahalanobis

    def _accept(self, fix: Fix, blend_from: pycolmap.Rigid3d | None, now_ns: int) -> None:
        self.last, self._hint, self._candidate = fix, None, None
        self._agreeing = self._misses = 0
        if fix.odometry is not None:
            self._odometry_fix, self._blend_from, self._blend_start_ns = fix, blend_from, now_ns
            self._map_from_odom = map_from_odom(fix)
