"""Hold the maps that a robot may be in, as of floors, and decide which one an image shows. Pure.

Each map has a frame and a tracker of its own: nothing is known of where one lies in another. Where the robot should be
is searched first, in the map it is in. What is found in another map is a jump, and believed when that map's tracker
believes it; an image that several maps answer about as well tells nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import pycolmap

from deviloc_ros.config import Config, TrackingConfig, bind_to_map
from deviloc_ros.localizer import Localizer
from deviloc_ros.messages.gnss import GnssFix
from deviloc_ros.pose.distinct_places import select_comparable
from deviloc_ros.status import Status
from deviloc_ros.tracking.fix import Fix
from deviloc_ros.tracking.gnss import make_area
from deviloc_ros.tracking.odometry import Odometry
from deviloc_ros.tracking.sighting import Sighting, make_sighting
from deviloc_ros.tracking.tracker import Tracker
from deviloc_ros.types import Area, Lost, Prior, Result


@dataclass(slots=True, eq=False)
class MapInUse:
    """Hold a map with what is known of the robot in it.

    config: as it was asked for; the localizer's own may take a calibration as less sure.
    """

    localizer: Localizer
    tracker: Tracker
    config: Config

    @property
    def name(self) -> str:
        """Return the name of the map's folder."""
        return self.localizer.map.name

    def narrow(self, prior: Prior | None, gnss: GnssFix | None) -> Prior | Area | None:
        """Return a prior that is of no more of the map than where a receiver has the robot, if both are known."""
        georeference = None if gnss is None else self.localizer.map.georeference
        if gnss is None or georeference is None or not self.tracker.is_found_near:
            return prior
        area = make_area(gnss, georeference, self.tracker.config)
        return area if prior is None else replace(prior, area=area)


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """Say in which map is searched and where, and in which of its tracker's epochs that was said."""

    where: MapInUse
    epoch: int
    prior: Prior | Area | None

    @property
    def has_views(self) -> bool:
        """Return whether the map has views where is searched, as far as an area says."""
        if not isinstance(self.prior, Area):
            return True
        return bool(self.prior.contains(self.where.localizer.map.centres).any())


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Hold what one map says of an image."""

    search: Search
    result: Result
    sighting: Sighting

    @property
    def where(self) -> MapInUse:
        """Return the map."""
        return self.search.where

    @property
    def support(self) -> int:
        """Return what the place that fits best rests on."""
        return max((seen.support for seen in self.sighting.found), default=0)

    def __str__(self) -> str:
        best = max(self.sighting.found, key=lambda seen: seen.support)
        return f"{self.where.name}: {best.name}"


def choose_map(results: Mapping[str, Result]) -> tuple[str, Result]:
    """Return the name of the map that an image alone shows, and its answer.

    Where several maps answer about as well there is no pose and no name, and the answer names them. Where none does,
    the answer is that of the map that came nearest.
    """
    found = {}
    for name, result in results.items():
        places = make_sighting(result, pycolmap.Rigid3d(), None, 0).found
        if places:
            found[name] = max(places, key=lambda place: place.support)
    if not found:
        return "", max(results.values(), key=lambda result: result.evidence.inliers)
    best, *rivals = select_comparable(found, lambda name: found[name].support)
    if not rivals:
        return best, results[best]
    named = "; ".join(f"{name}: {found[name].name}" for name in (best, *rivals))
    return "", Lost(Status.AMBIGUOUS, named, results[best].evidence)


class MapsInUse:
    """Hold one map or several. Not thread-safe.

    present: the one that the robot is in, None while nobody knows. A single one always is.
    """

    def __init__(self, localizers: Sequence[Localizer], tracking: TrackingConfig) -> None:
        self.all = tuple(MapInUse(localizer, Tracker(tracking), localizer.config) for localizer in localizers)
        self.present: MapInUse | None = self.all[0] if len(self.all) == 1 else None

    @property
    def shown(self) -> MapInUse:
        """Return the map that the robot is in, the first while nobody knows."""
        return self.present or self.all[0]

    @property
    def are_several(self) -> bool:
        """Return whether there is more than one map."""
        return len(self.all) > 1

    def plan(
        self, stamp_ns: int, odometry: Odometry | None, cam_from_base: pycolmap.Rigid3d, gnss: GnssFix | None = None
    ) -> list[Search]:
        """Return where to search: in the present map alone, as long as the robot is where it should be.

        Where that is not known, where a satellite receiver has the robot, as long as something is found there.
        """

        def search(where: MapInUse) -> Search:
            prior = where.tracker.prior(stamp_ns, odometry, cam_from_base)
            return Search(where, where.tracker.epoch, where.narrow(prior, gnss))

        if self.present is not None:
            there = search(self.present)
            if not self.are_several or (isinstance(there.prior, Prior) and not there.prior.everywhere):
                return [there]
        searches = [search(where) for where in self.all]
        return [one for one in searches if one.has_views] or searches

    def choose(self, answers: Sequence[Answer]) -> tuple[Answer, list[Answer]]:
        """Return the answer that counts, and the others that are about as good: then none of them counts.

        In the present map a robot that is where it should be is there, whatever looks alike in others.
        """
        found = [answer for answer in answers if answer.sighting.found]
        if not found:
            return max(answers, key=lambda answer: (answer.result.evidence.inliers, answer.where is self.present)), []
        best, *rivals = select_comparable(found, lambda answer: answer.support)
        for answer in (best, *rivals):
            if answer.where is self.present and answer.where.tracker.is_where_expected(answer.sighting):
                return answer, []
        return best, rivals

    def note_missed(self, answers: Sequence[Answer], but: MapInUse | None = None) -> None:
        """Count an image that gave no pose in maps, or one that shows another map, which ends what they supposed."""
        for answer in answers:
            if answer.where is not but:
                answer.where.tracker.count_miss()
                if but is not None and answer.where is not self.present:
                    answer.where.tracker.drop_hypotheses()

    def enter(self, where: MapInUse) -> bool:
        """Say that the robot is in a map; return whether it was not known to be there."""
        if where is self.present:
            return False
        self.present = where
        for other in self.all:
            if other is not where:
                other.tracker.reset()
        return True

    def hint(self, guess: Fix, map_id: str = "") -> None:
        """Search near a guess in the map of this identity; without one in the present map, or in all of them."""
        named = [where for where in self.all if where.localizer.map.identity == map_id]
        known = named or ([self.present] if self.present else [])
        for where in self.all:
            if where in known or not known:
                where.tracker.hint(guess)
            else:
                where.tracker.reset()
        if named and self.are_several:
            self.present = named[0]

    def forget(self) -> None:
        """Forget where the robot was, and in which map."""
        for where in self.all:
            where.tracker.reset()
        self.present = self.all[0] if not self.are_several else None

    def configure(self, config: Config, tracking: TrackingConfig) -> None:
        """Take new parameters."""
        for where in self.all:
            where.config = where.localizer.config = bind_to_map(config, where.config)
            where.tracker.config = tracking

    def change_configs(self, change: Callable[[Config], Config]) -> None:
        """Let the next image be localized with what a function makes of the config that was asked for."""
        for where in self.all:
            where.localizer.config = change(where.config)
