"""Decide in which of several maps, such as floors, a robot is.

Each map has a frame and a tracker of its own: the transforms between maps are unknown. The present map is searched
first, near the prediction. A place in another map is a jump, believed when that map's tracker believes it. An image
that fits several maps about equally well decides nothing.
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
    """Hold the localizer and the tracker of one map.

    config: as configured; the localizer's own config may have larger standard deviations of a calibration.
    """

    localizer: Localizer
    tracker: Tracker
    config: Config

    @property
    def name(self) -> str:
        """Return the name of the map's folder."""
        return self.localizer.map.name

    def narrow(self, prior: Prior | None, gnss: GnssFix | None) -> Prior | Area | None:
        """Return the prior, limited to the area around a GNSS position while images give poses there.

        Without a position or a georeference it is returned unchanged.
        """
        georeference = None if gnss is None else self.localizer.map.georeference
        if gnss is None or georeference is None or not self.tracker.is_found_near:
            return prior
        area = make_area(gnss, georeference, self.tracker.config)
        return area if prior is None else replace(prior, area=area)


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """Hold in which map to search, where, and the epoch of the map's tracker at that time."""

    where: MapInUse
    epoch: int
    prior: Prior | Area | None

    @property
    def has_views(self) -> bool:
        """Return False if the search is in an area without any views of the map."""
        if not isinstance(self.prior, Area):
            return True
        return bool(self.prior.contains(self.where.localizer.map.centres).any())


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Hold the result of a search in one map."""

    search: Search
    result: Result
    sighting: Sighting

    @property
    def where(self) -> MapInUse:
        """Return the map that was searched."""
        return self.search.where

    @property
    def support(self) -> int:
        """Return the support of the place that fits best."""
        return max((seen.support for seen in self.sighting.found), default=0)

    def __str__(self) -> str:
        best = max(self.sighting.found, key=lambda seen: seen.support)
        return f"{self.where.name}: {best.name}"


def choose_map(results: Mapping[str, Result]) -> tuple[str, Result]:
    """Return the name and the result of the map that an image without any prior fits best.

    If several maps fit about equally well the name is empty and the result is Lost, naming them. If none fits, it is
    the result with the most inliers.
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

    present: the map that the robot is in, None if unknown. A single map is always present.
    """

    def __init__(self, localizers: Sequence[Localizer], tracking: TrackingConfig) -> None:
        self.all = tuple(MapInUse(localizer, Tracker(tracking), localizer.config) for localizer in localizers)
        self.present: MapInUse | None = self.all[0] if len(self.all) == 1 else None

    @property
    def shown(self) -> MapInUse:
        """Return the map that the robot is in, or the first if that is unknown."""
        return self.present or self.all[0]

    @property
    def are_several(self) -> bool:
        """Return whether there is more than one map."""
        return len(self.all) > 1

    def plan(
        self, stamp_ns: int, odometry: Odometry | None, cam_from_base: pycolmap.Rigid3d, gnss: GnssFix | None = None
    ) -> list[Search]:
        """Return where to search: only in the present map while the robot is found near the prediction.

        Otherwise in all maps, or in those with views near the GNSS position if there are any.
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
        """Return the best answer, and its rivals that are about as good; with rivals, none is to be believed.

        A place at the prediction in the present map has no rivals, whatever looks alike in other maps.
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
        """Count a miss in the maps of these answers, except in `but`, in which the image was localized.

        An image that was localized in a map ends the hypotheses of the others.
        """
        for answer in answers:
            if answer.where is not but:
                answer.where.tracker.count_miss()
                if but is not None and answer.where is not self.present:
                    answer.where.tracker.drop_hypotheses()

    def enter(self, where: MapInUse) -> bool:
        """Make a map the present one; return whether it was not so before."""
        if where is self.present:
            return False
        self.present = where
        for other in self.all:
            if other is not where:
                other.tracker.reset()
        return True

    def hint(self, guess: Fix, map_id: str = "") -> None:
        """Search near a guess in the map of this identity; without one, in the present map or else in all."""
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
        """Set the config of each localizer to `change` of the configured one, from the next image on."""
        for where in self.all:
            where.localizer.config = change(where.config)
