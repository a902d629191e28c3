"""Track several places where the robot may be, since they look alike, until its motion leaves only one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from deviloc_ros.config import TrackingConfig
from deviloc_ros.tracking.fix import Fix, mahalanobis_distance, predict_fix
from deviloc_ros.tracking.odometry import Odometry
from deviloc_ros.tracking.sighting import SeenPlace, Sighting, select_comparable

MOST = 12  # hypotheses kept; an image has at most 9 places
FAR = 1e6  # cost of pairs that do not match


@dataclass(slots=True, eq=False)
class Hypothesis:
    """Hold a place where the robot may be.

    images: how many gave a pose there. lost: how many fit other places but not this one.
    """

    last: SeenPlace
    images: int
    lost: int


class Hypotheses:
    """Hold the remaining hypotheses. Not thread-safe."""

    def __init__(self) -> None:
        self.left: list[Hypothesis] = []

    def __len__(self) -> int:
        return len(self.left)

    @property
    def images(self) -> int:
        """Return how many images agree on the hypothesis with the most."""
        return max((hypothesis.images for hypothesis in self.left), default=0)

    def clear(self) -> None:
        """Drop all hypotheses."""
        self.left.clear()

    def predict_fixes(self, stamp_ns: int, odometry: Odometry | None, config: TrackingConfig) -> list[Fix]:
        """Return the predicted fix of each hypothesis at a time."""
        return [predict_fix(hypothesis.last.fix, stamp_ns, odometry, config) for hypothesis in self.left]

    def has_seen(self, seen: SeenPlace, config: TrackingConfig) -> bool:
        """Return whether a place agrees with a recent hypothesis, moved on by odometry."""
        fix = seen.fix
        recent = [h.last.fix for h in self.left if is_recent(h, fix.stamp_ns, config)]
        expected = [predict_fix(last, fix.stamp_ns, fix.odometry, config) for last in recent]
        return any(mahalanobis_distance(fix, there) <= config.max_mahalanobis for there in expected)

    def update(self, sighting: Sighting, config: TrackingConfig) -> None:
        """Take one image into account, which fits at least one place."""
        self._forget_old(sighting.stamp_ns, config)
        before = min((hypothesis.lost for hypothesis in self.left), default=0)
        rivals = select_comparable(sighting.found)
        seen_again = self._assign(sighting, config)
        for number, hypothesis in enumerate(self.left):
            seen = seen_again.get(number)
            hypothesis.lost += seen not in rivals
            if seen is not None:
                hypothesis.last, hypothesis.images = seen, hypothesis.images + seen.passes
        known = set(map(id, seen_again.values()))
        self.left += [Hypothesis(seen, int(seen.passes), before) for seen in rivals if id(seen) not in known]
        least = min(hypothesis.lost for hypothesis in self.left)
        self.left = [h for h in self.left if h.lost < least + config.confirmations]
        self.left.sort(key=lambda hypothesis: (hypothesis.lost, -hypothesis.last.support))
        del self.left[MOST:]

    def find_decided(self, sighting: Sighting, config: TrackingConfig) -> SeenPlace | None:
        """Return the only hypothesis left if it is confirmed and this image of the whole map fits it; else None."""
        if len(self.left) != 1 or not sighting.everywhere:
            return None
        (hypothesis,) = self.left
        fits = hypothesis.last.fix.stamp_ns == sighting.stamp_ns and hypothesis.last.passes
        return hypothesis.last if fits and hypothesis.images >= config.confirmations else None

    def _forget_old(self, stamp_ns: int, config: TrackingConfig) -> None:
        """Drop hypotheses that were not seen for too long, or were seen later than now."""
        self.left = [h for h in self.left if is_recent(h, stamp_ns, config)]

    def _assign(self, sighting: Sighting, config: TrackingConfig) -> dict[int, SeenPlace]:
        """Return the place that was seen of each hypothesis, by its index: the assignment of least distance."""
        if not self.left:
            return {}
        expected = self.predict_fixes(sighting.stamp_ns, sighting.odometry, config)
        sigmas = measure_distances(expected, [seen.fix for seen in sighting.found])
        cost = np.where(sigmas <= config.max_mahalanobis, sigmas, FAR)
        pairs = zip(*linear_sum_assignment(cost), strict=True)
        return {int(row): sighting.found[column] for row, column in pairs if cost[row, column] < FAR}


def is_recent(hypothesis: Hypothesis, stamp_ns: int, config: TrackingConfig) -> bool:
    """Return whether a hypothesis was seen within the confirmation window before a time."""
    return 0 < stamp_ns - hypothesis.last.fix.stamp_ns <= config.confirmation_window_s * 1e9


def measure_distances(expected: Sequence[Fix], found: Sequence[Fix]) -> np.ndarray:
    """Return the (E, F) Mahalanobis distances between expected and found fixes."""
    return np.array([[mahalanobis_distance(fix, there) for fix in found] for there in expected])
