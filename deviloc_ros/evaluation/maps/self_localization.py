"""Localize each view of a map from the others, with the features that the map stores."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from deviloc_ros.evaluation.metrics import QueryOutcome, compare_to_truth
from deviloc_ros.localizer import Localizer
from deviloc_ros.mapping.pose_errors import localize_from_others
from deviloc_ros.types import Localized

LEAST_SHARE = 0.02
"""Views with fewer of a pose's inliers do not count as having helped."""


@dataclass(frozen=True, slots=True)
class SelfLocalization:
    """Hold the result of localizing one view from the others.

    references: names of the views it was matched with. helped: names of those that contributed inliers.
    """

    outcome: QueryOutcome
    references: frozenset[str]
    helped: frozenset[str]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Bound the errors up to which a view counts as localized."""

    translation_m: float
    rotation_deg: float

    def holds(self, outcome: QueryOutcome) -> bool:
        """Return whether errors are within the tolerance; False for NaN, the errors of a lost view."""
        return outcome.translation_m <= self.translation_m and outcome.rotation_deg <= self.rotation_deg


def find_needless_views(localizer: Localizer, tolerance: Tolerance, *, quiet: bool = False) -> list[str]:
    """Return views that can be dropped together while all views of the map are still localized by the rest.

    The choice is greedy, starting with views that helped the fewest others. A view that the others cannot localize is
    kept, since no other shows its place.
    """
    records = localizer.map.records
    numbers = range(len(records))
    results = [localize_view(localizer, n) for n in tqdm(numbers, desc="localizing", unit="view", disable=quiet)]
    times_helped = Counter(name for result in results for name in result.helped)
    dropped: set[str] = set()
    for number in tqdm(
        sorted(numbers, key=lambda n: times_helped[records[n].name]), desc="leaving out", unit="view", disable=quiet
    ):
        name = records[number].name
        if not tolerance.holds(results[number].outcome):
            continue
        without = frozenset(dropped | {name})
        again = {n: localize_view(localizer, n, without) for n in numbers if name in results[n].references}
        if all(
            tolerance.holds(result.outcome) or not tolerance.holds(results[n].outcome) for n, result in again.items()
        ):
            dropped.add(name)
            for n, result in again.items():
                results[n] = result
    return sorted(dropped)


def localize_view(localizer: Localizer, number: int, left_out: frozenset[str] = frozenset()) -> SelfLocalization:
    """Localize one view from the nearest others that are not left out, and say which of them helped."""
    record = localizer.map.records[number]
    result = localize_from_others(localizer, number, left_out)
    names = result.evidence.references
    helped: frozenset[str] = frozenset()
    if isinstance(result, Localized):
        used = result.evidence.correspondences.references[result.evidence.inlier_mask]
        shares = np.bincount(used.astype(int), minlength=len(names)) / len(used)
        helped = frozenset(name for name, share in zip(names, shares, strict=True) if share >= LEAST_SHARE)
    return SelfLocalization(compare_to_truth(record.name, result, record.cam_from_world), frozenset(names), helped)
