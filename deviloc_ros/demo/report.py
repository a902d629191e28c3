"""Compare the node's poses with the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deviloc_ros.config import TrackingConfig
from deviloc_ros.evaluation.metrics import WRONG_FIX_DEG, WRONG_FIX_M
from deviloc_ros.geometry import rotation_distance_deg
from deviloc_ros.io.tum_trajectory import Stamped


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Hold the errors of the frames that were localized. translation_m, rotation_deg: (N,).

    before_first: frames sent before the first that was localized.
    """

    sent: int
    before_first: int
    translation_m: NDArray
    rotation_deg: NDArray

    @property
    def localized(self) -> int:
        """Return how many frames got a pose."""
        return len(self.translation_m)

    @property
    def wrong_fixes(self) -> int:
        """Return how many poses are far off the truth."""
        return int(np.sum((self.translation_m > WRONG_FIX_M) | (self.rotation_deg > WRONG_FIX_DEG)))

    def headline(self) -> str:
        """Say in half a line how it went."""
        if not self.localized:
            return f"none of {self.sent} frames localized"
        return f"{self.localized} of {self.sent} frames, median {100 * np.median(self.translation_m):.2f} cm"

    def describe_missing(self) -> str:
        """Say how many frames have no pose, and why the first of them do not."""
        agreeing, missing = TrackingConfig().confirmations, self.sent - self.localized
        if not self.localized or not self.before_first:
            return str(missing)
        how_many = "all" if self.before_first == missing else f"{self.before_first} of them"
        return (
            f"{missing}, {how_many} at the beginning: a first pose is published when {agreeing} "
            "agree (tracking.confirmations)"
        )

    def __str__(self) -> str:
        lines = [f"{'frames sent':<17} {self.sent}"]
        lines.append(f"{'localized':<17} {self.localized} ({self.localized / self.sent:.0%})")
        if self.localized < self.sent:
            lines.append(f"{'without a pose':<17} {self.describe_missing()}")
        if self.localized:
            for name, share in (("median error", 50), ("95th percentile", 95)):
                translation, rotation = (np.percentile(e, share) for e in (self.translation_m, self.rotation_deg))
                lines.append(f"{name:<17} {100 * translation:.2f} cm, {rotation:.2f} deg")
        lines.append(f"{'wrong fixes':<17} {self.wrong_fixes} (over {WRONG_FIX_M} m or {WRONG_FIX_DEG:.0f} deg)")
        return "\n".join(lines)


def compare_poses(truth: list[Stamped], estimated: list[Stamped]) -> Comparison:
    """Return the errors at equal stamps.

    Raises:
        ValueError: an estimate bears a stamp that the truth does not have.
    """
    true_map_from_base = dict(truth)
    strangers = [time_ns for time_ns, _ in estimated if time_ns not in true_map_from_base]
    if strangers:
        raise ValueError(f"{len(strangers)} poses whose stamps belong to no image, the first {strangers[0]} ns")
    pairs = [(map_from_base, true_map_from_base[time_ns]) for time_ns, map_from_base in estimated]
    # Both map_from_base, so origins differ by their translations.
    translation = [np.linalg.norm(a.translation - b.translation) for a, b in pairs]
    rotation = [rotation_distance_deg(a.inverse(), b.inverse()) for a, b in pairs]
    first_ns = min((time_ns for time_ns, _ in estimated), default=0)
    before_first = sum(time_ns < first_ns for time_ns in true_map_from_base)
    return Comparison(len(truth), before_first, np.array(translation, float), np.array(rotation, float))
