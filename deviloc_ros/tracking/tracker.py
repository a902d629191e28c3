"""Decide which fixes to believe, and derive map_from_odom from them. No ROS, no threads, no clock of its own.

`map` is the world frame, `base` the robot, `odom` the frame in which odometry is continuous but drifts. Odometry only
predicts; a published pose always comes from an image.
"""

from __future__ import annotations

import enum
import math

import pycolmap

from deviloc_ros.config import TrackingConfig
from deviloc_ros.geometry import isotropic_covariance
from deviloc_ros.status import Status
from deviloc_ros.tracking.fix import Fix, largest_stds, mahalanobis_distance, map_from_odom, predict_fix
from deviloc_ros.tracking.hypotheses import Hypotheses
from deviloc_ros.tracking.odometry import CLOCK_JUMP_NS, Odometry
from deviloc_ros.tracking.sighting import SeenPlace, Sighting, select_comparable
from deviloc_ros.types import Prior

RIVALS_FROM_M = 2.0  # a prediction with a smaller reach leaves no room for a second place
# Of two places that fit an image, the one nearer to the prediction wins if it is this many times as likely.
TIMES_AS_LIKELY = 10.0
CLOCK_JUMP_IMAGES = 3  # in a row from before the last fix: then the clock was set back


class TrackingState(enum.Enum):
    """Name how well the robot's pose is known."""

    UNLOCALIZED = "unlocalized"  # no fix yet, or the last one turned out to be wrong
    LOCALIZED = "localized"
    COASTING = "coasting"  # no recent fix; map->odom still holds and odometry moves the robot
    LOST = "lost"  # the last fix is too old


class Tracker:
    """Decide which fixes to believe. Not thread-safe.

    A fix that agrees with the prediction is believed at once: the predicted place is searched for in every image, and a
    place that only looks the same does not overrule it. The prediction is given up when `confirmations` images fit
    another place and not this one, although the map's views should show it. Places found elsewhere, or while nothing is
    known, become hypotheses; a fix is believed when a single hypothesis is left and `confirmations` images agree on it.
    A place that is a hypothesis does not count as predicted even if the growing uncertainty of the prediction comes to
    include it. After `confirmation_window_s` without a fix, odometry no longer decides between places that look alike.

    epoch: 0, incremented by each reset and hint. Results of searches from an earlier epoch are not used.
    """

    def __init__(self, config: TrackingConfig) -> None:
        self.config = config
        self.epoch = -1
        self.reset()

    def explain(self, status: Status) -> str:
        """Return why the fix that was just judged is not believed; empty if it is."""
        if status is Status.ACCEPTED:
            return ""
        if status is Status.AMBIGUOUS:
            return f"{status.sentence}: {self._rivals}"
        return f"{status.sentence}, {self.agreeing_count} so far" if status is Status.UNCONFIRMED else status.sentence

    def reset(self) -> None:
        """Forget everything: the next frame searches the whole map."""
        self.epoch += 1
        self.last: Fix | None = None  # the last fix that was believed
        self._hint: Fix | None = None
        self._hypotheses = Hypotheses()
        self._rivals = ""  # the places that the last image fits, in words
        self._misses = 0  # consecutive images without a pose that agrees with the prediction
        self._contradictions = 0  # consecutive images that fit another place than the predicted one
        self._from_before = 0  # consecutive images that were taken long before the last fix
        self._odometry_fix: Fix | None = None  # the last believed fix that had odometry
        self._map_from_odom: pycolmap.Rigid3d | None = None  # by that fix
        self._blend_from: pycolmap.Rigid3d | None = None
        self._blend_start_ns = 0

    def hint(self, guess: Fix) -> None:
        """Take a guess of where the robot is. It narrows the search but is not a fix, since no image confirms it."""
        self.reset()
        no_better_than = isotropic_covariance(self.config.hint_std_m, math.radians(self.config.hint_std_deg))
        self._hint = Fix(guess.stamp_ns, guess.map_from_base, guess.covariance + no_better_than, guess.odometry)

    def expected_fix(self, stamp_ns: int, odometry: Odometry | None) -> Fix | None:
        """Return the predicted fix from the last one or the hint; None if there is none or it is too old."""
        known = self._hint or self.last
        if known is None or abs(stamp_ns - known.stamp_ns) * 1e-9 > self.config.lost_after_s:
            return None
        return predict_fix(known, stamp_ns, odometry, self.config)

    def prior(self, stamp_ns: int, odometry: Odometry | None, cam_from_base: pycolmap.Rigid3d) -> Prior | None:
        """Return where to search for the camera; None to search the whole map, since nothing is known.

        The predicted place is always searched; the whole map as well if that has failed or there are hypotheses.
        """
        expected = self.expected_fix(stamp_ns, odometry)
        others = self._hypotheses.predict_fixes(stamp_ns, odometry, self.config)
        if expected is None and not others:
            return None
        first, *others = [*([expected] if expected is not None else []), *others]
        std_m, std_deg = largest_stds(first.covariance)
        reach_m = self.config.max_mahalanobis * std_m
        return Prior(
            cam_from_base * first.map_from_base.inverse(),
            radius_m=self.config.search_radius_m + 3 * std_m,
            angle_deg=min(self.config.search_angle_deg + 3 * std_deg, 180.0),
            others=tuple(cam_from_base * other.map_from_base.inverse() for other in others),
            rivals_m=reach_m if reach_m > RIVALS_FROM_M else 0.0,
            everywhere=expected is None or bool(others) or self._misses >= self.config.global_search_after,
        )

    def is_where_expected(self, sighting: Sighting) -> bool:
        """Return whether an image fits the predicted place, and the prediction is recent."""
        expected = self.expected_fix(sighting.stamp_ns, sighting.odometry)
        if expected is None or (self._hint is None and self._is_unconfirmed(sighting.stamp_ns)):
            return False
        return bool(select_expected(sighting, expected, self.config))

    def drop_hypotheses(self) -> None:
        """Drop all hypotheses, since the robot was seen elsewhere."""
        self._hypotheses.clear()

    @property
    def is_found_near(self) -> bool:
        """Return whether recent images gave poses at the predicted place."""
        return self._misses < self.config.global_search_after

    def count_miss(self) -> None:
        """Count an image without a pose."""
        self._misses += 1

    def judge(self, sighting: Sighting, now_ns: int) -> tuple[Status, Fix | None]:
        """Return the status of an image that fits at least one place, and the fix if it is believed."""
        if self._is_late(sighting.stamp_ns):
            return Status.OUT_OF_ORDER, None
        self._rivals = "; ".join(seen.name for seen in select_comparable(sighting.found))
        expected = self.expected_fix(sighting.stamp_ns, sighting.odometry)
        if expected is not None:
            near = [] if self._was_blind(sighting) else select_expected(sighting, expected, self.config)
            if near and not any(self._hypotheses.has_seen(seen, self.config) for seen in near):
                return self._judge_near(near, now_ns)
        return self._judge_far(sighting, now_ns, is_expected_elsewhere=expected is not None)

    def _is_late(self, stamp_ns: int) -> bool:
        """Return whether an image is older than the last fix. Forget all where time itself went back.

        That is so if there are several in a row: a recording that starts over. One alone is late, as over a network, or
        of another clock, and says nothing.
        """
        if self.last is None or stamp_ns > self.last.stamp_ns:
            self._from_before = 0
            return False
        self._from_before += stamp_ns <= self.last.stamp_ns - CLOCK_JUMP_NS
        if self._from_before < CLOCK_JUMP_IMAGES:
            return True
        self.reset()
        return False

    def _was_blind(self, sighting: Sighting) -> bool:
        """Return whether an image fits several places and the prediction is too old to choose between them.

        A robot that is carried with its camera covered may be set down where a look-alike is at the predicted place.
        """
        if self._hint is not None or self.last is None or len(select_comparable(sighting.found)) < 2:
            return False
        return self._is_unconfirmed(sighting.stamp_ns)

    def _is_unconfirmed(self, stamp_ns: int) -> bool:
        """Return whether there was no fix within the confirmation window."""
        return self.last is None or stamp_ns - self.last.stamp_ns > self.config.confirmation_window_s * 1e9

    def _judge_near(self, near: list[SeenPlace], now_ns: int) -> tuple[Status, Fix | None]:
        """Believe the place that was found where it was predicted, unless there are several such places."""
        self._contradictions = 0
        if len(near) > 1:
            self._rivals = "; ".join(seen.name for seen in near)
            return Status.AMBIGUOUS, None
        (seen,) = near
        if not seen.passes:
            self._misses += 1
            return Status.UNCONFIRMED, None
        self._accept(seen.fix, self.map_from_odom(now_ns), now_ns)
        return Status.ACCEPTED, seen.fix

    def _judge_far(self, sighting: Sighting, now_ns: int, *, is_expected_elsewhere: bool) -> tuple[Status, Fix | None]:
        """Update the hypotheses with places found elsewhere; believe one if it is the only one left."""
        self._misses += 1
        self._hypotheses.update(sighting, self.config)
        if is_expected_elsewhere:
            self._contradictions += sighting.expected_in_sight
            if self._contradictions < self.config.confirmations:
                return Status.UNCONFIRMED, None
            self._disbelieve()
        decided = self._hypotheses.find_decided(sighting, self.config)
        if decided is None:
            is_ambiguous = len(self._hypotheses) > 1 and len(select_comparable(sighting.found)) > 1
            return (Status.AMBIGUOUS if is_ambiguous else Status.UNCONFIRMED), None
        self._disbelieve()  # so that without odometry no map->odom of the old place remains
        self._accept(decided.fix, None, now_ns)
        return Status.ACCEPTED, decided.fix

    def _disbelieve(self) -> None:
        """Forget the last fix and hint, but not the hypotheses."""
        self.last = self._hint = self._odometry_fix = None
        self._contradictions = 0

    @property
    def agreeing_count(self) -> int:
        """Return how many fixes agree with each other but are not believed yet."""
        return self._hypotheses.images

    def state(self, now_ns: int) -> TrackingState:
        """Return the tracking state, given the age of the last believed fix."""
        if self.last is None:
            return TrackingState.UNLOCALIZED
        age_s = (now_ns - self.last.stamp_ns) * 1e-9
        if age_s <= self.config.coasting_after_s:
            return TrackingState.LOCALIZED
        return TrackingState.COASTING if self.map_from_odom(now_ns) is not None else TrackingState.LOST

    def map_from_odom(self, now_ns: int) -> pycolmap.Rigid3d | None:
        """Return the correction of the odometry; None without a recent enough fix that had odometry.

        While nothing changes it is the same object, so that callers can compare it cheaply, many times a second.
        """
        fix = self._odometry_fix
        if fix is None or (now_ns - fix.stamp_ns) * 1e-9 > self.config.lost_after_s:
            return None
        target = self._map_from_odom
        if target is None or self._blend_from is None or self.config.smoothing_s == 0.0:
            return target
        share = 1.0 - math.exp(-max(now_ns - self._blend_start_ns, 0) * 1e-9 / self.config.smoothing_s)
        return pycolmap.Rigid3d.interpolate(self._blend_from, target, share)

    def _accept(self, fix: Fix, blend_from: pycolmap.Rigid3d | None, now_ns: int) -> None:
        self.last, self._hint = fix, None
        self._hypotheses.clear()
        self._misses = self._contradictions = 0
        if fix.odometry is not None:
            self._odometry_fix, self._blend_from, self._blend_start_ns = fix, blend_from, now_ns
            self._map_from_odom = map_from_odom(fix)


def select_expected(sighting: Sighting, expected: Fix, config: TrackingConfig) -> list[SeenPlace]:
    """Return the places of an image that agree with the prediction, without those that are much less likely."""
    sigmas = {id(seen): mahalanobis_distance(seen.fix, expected) for seen in sighting.found}
    near = select_comparable([seen for seen in sighting.found if sigmas[id(seen)] <= config.max_mahalanobis])
    if not near:
        return []
    least = min(sigmas[id(seen)] for seen in near)
    return [seen for seen in near if sigmas[id(seen)] ** 2 - least**2 < 2 * math.log(TIMES_AS_LIKELY)]
