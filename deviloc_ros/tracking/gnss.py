"""Use positions of a satellite receiver to choose where to search and between look-alikes; never as the pose.

Heights are not used: they are inaccurate, and above the ellipsoid. The antenna is assumed at the robot's origin, an
error which the smallest standard deviation (`gnss.min_std_m`) covers.
"""

from __future__ import annotations

import math
import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from deviloc_ros.config import GnssConfig, TrackingConfig
from deviloc_ros.geometry import largest_std, squared_mahalanobis
from deviloc_ros.maps.georeference import Georeference, to_enu
from deviloc_ros.messages.gnss import GnssFix
from deviloc_ros.tracking.fix import Fix
from deviloc_ros.tracking.sighting import SeenPlace, Sighting
from deviloc_ros.types import Area

KEPT = 200  # positions: some seconds of a fast receiver
CONTRADICTIONS = 10  # consecutive fixes that contradict the receiver before that is reported
UP = np.array([0.0, 0.0, 1.0])


@dataclass(slots=True, eq=False)
class Disagreement:
    """Hold how many consecutive fixes contradict the receiver, and how far the last one is off."""

    fixes: int = 0
    metres: float = 0.0


class GnssBuffer:
    """Buffer the last positions. Thread-safe."""

    def __init__(self, config: GnssConfig | None = None) -> None:
        self.config = config or GnssConfig()
        self.taken = 0
        self.refused: Counter[str] = Counter()
        self.disagreement = Disagreement()
        self._last: deque[GnssFix] = deque(maxlen=KEPT)
        self._lock = threading.Lock()

    def note(self, fix: GnssFix) -> None:
        """Take a position."""
        with self._lock:
            self._last.append(fix)
            self.taken += 1

    def refuse(self, why: str) -> None:
        """Count a position that is not taken."""
        with self._lock:
            self.refused[why] += 1

    def find_near(self, stamp_ns: int, tracking: TrackingConfig) -> GnssFix | None:
        """Return the position nearest to a time, its covariance enlarged by the possible motion; None if none is near.

        Positions from before a recording started over are far in time, and so ignored.
        """
        with self._lock:
            found = min(self._last, key=lambda fix: abs(fix.stamp_ns - stamp_ns), default=None)
        if found is None:
            return None
        apart_s = abs(found.stamp_ns - stamp_ns) * 1e-9
        if apart_s > self.config.max_age_s:
            return None
        moved = np.eye(2) * (tracking.max_speed_m_per_s * apart_s) ** 2
        return replace(found, stamp_ns=stamp_ns, covariance=found.covariance + moved)

    def compare(self, fix: Fix, gnss: GnssFix | None, georeference: Georeference | None, sigmas: float) -> None:
        """Count a believed fix that contradicts the receiver; one that agrees resets the count."""
        if gnss is None or georeference is None:
            return
        if agrees(fix, gnss, georeference, sigmas):
            self.disagreement = Disagreement()
        else:
            self.disagreement.fixes += 1
            self.disagreement.metres = float(np.linalg.norm(measure_offset(fix, gnss, georeference)))

    @property
    def complaint(self) -> str:
        """Say that receiver and images do not agree; empty if they do."""
        if self.disagreement.fixes < CONTRADICTIONS:
            return ""
        return (
            f"the last {self.disagreement.fixes} fixes are not where the receiver has the robot, "
            f"{self.disagreement.metres:.0f} m away: is the map aligned to the right coordinates?"
        )


def make_area(gnss: GnssFix, georeference: Georeference, tracking: TrackingConfig) -> Area:
    """Return the area of a map whose views may show what a robot at a GNSS position sees."""
    up = georeference.map_from_enu.rotation.matrix() @ UP
    reach_m = tracking.max_mahalanobis * largest_std(gnss.covariance) + tracking.search_radius_m
    return Area(georeference.locate(gnss.latitude, gnss.longitude), up, reach_m)


def select_agreeing(
    sightings: Sequence[Sighting], gnss: GnssFix, georeferences: Sequence[Georeference | None], sigmas: float
) -> list[Sighting]:
    """Return the sightings in several maps without places that contradict the receiver.

    If it contradicts all of them, nothing is dropped. Sightings in maps without a georeference stay as they are.
    """

    def is_there(seen: SeenPlace, georeference: Georeference) -> bool:
        return agrees(seen.fix, gnss, georeference, sigmas)

    of_maps = list(zip(sightings, georeferences, strict=True))
    if not any(is_there(seen, where) for sighting, where in of_maps if where for seen in sighting.found):
        return list(sightings)
    agreeing = []
    for sighting, where in of_maps:
        if where is not None:
            there = tuple(seen for seen in sighting.found if is_there(seen, where))
            sighting = replace(sighting, found=there)
        agreeing.append(sighting)
    return agreeing


def agrees(fix: Fix, gnss: GnssFix, georeference: Georeference, sigmas: float) -> bool:
    """Return whether a receiver agrees with a fix, horizontally, within their covariances."""
    rotation = georeference.enu_from_map.rotation.matrix()
    covariance = (rotation @ fix.covariance[:3, :3] @ rotation.T)[:2, :2] + gnss.covariance
    return math.sqrt(squared_mahalanobis(measure_offset(fix, gnss, georeference), covariance)) <= sigmas


def measure_offset(fix: Fix, gnss: GnssFix, georeference: Georeference) -> np.ndarray:
    """Return (2,) metres east and north from the receiver's position to that of a fix."""
    there = to_enu(georeference, [[gnss.latitude, gnss.longitude, georeference.altitude]])[0]
    return (georeference.enu_from_map * fix.map_from_base.translation - there)[:2]
