"""Turn the result of one image into a sighting: all places that it fits, as fixes of the robot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pycolmap

from deviloc_ros.geometry import move_covariance
from deviloc_ros.pose import distinct_places
from deviloc_ros.tracking.fix import Fix, flatten
from deviloc_ros.tracking.odometry import Odometry
from deviloc_ros.types import Localized, Place, Result


@dataclass(frozen=True, slots=True, eq=False)
class SeenPlace:
    """Hold a place that an image fits, as a fix of the robot.

    support: how many correspondences support it. passes: whether its pose passed every gate. name: describes it.
    """

    fix: Fix
    support: int = 1
    passes: bool = True
    name: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """Hold all places that one image fits.

    expected_in_sight: whether the map's views should show the predicted place. everywhere: whether the whole map was
    searched for places.
    """

    stamp_ns: int
    odometry: Odometry | None
    found: tuple[SeenPlace, ...]
    expected_in_sight: bool = True
    everywhere: bool = True


def make_sighting(
    result: Result,
    base_from_cam: pycolmap.Rigid3d,
    odometry: Odometry | None,
    stamp_ns: int,
    *,
    is_planar: bool = False,
) -> Sighting:
    """Return the sighting of a result; the robot drives on the plane z = 0 of the map if `is_planar`."""

    def see(place: Place) -> SeenPlace:
        return make_seen_place(place, base_from_cam, odometry, stamp_ns, is_planar)

    evidence = result.evidence
    if not evidence.places and isinstance(result, Localized):  # alternatives were not searched for
        only = Place(result.cam_from_world, result.covariance, evidence.inliers, True, "")
        return Sighting(stamp_ns, odometry, (see(only),))
    return Sighting(stamp_ns, odometry, tuple(map(see, evidence.places)), evidence.in_sight, evidence.everywhere)


def make_seen_place(
    place: Place, base_from_cam: pycolmap.Rigid3d, odometry: Odometry | None, stamp_ns: int, is_planar: bool
) -> SeenPlace:
    """Return a place of the camera as one of the robot."""
    map_from_cam, cam_from_base = place.cam_from_world.inverse(), base_from_cam.inverse()
    covariance = move_covariance(map_from_cam, place.covariance, cam_from_base)
    fix = Fix(stamp_ns, map_from_cam * cam_from_base, covariance, odometry)
    return SeenPlace(flatten(fix) if is_planar else fix, place.inliers, place.passes, str(place))


def attach_odometry(sighting: Sighting, odometry: Odometry | None) -> Sighting:
    """Return the sighting with odometry that arrived later."""
    found = tuple(replace(seen, fix=replace(seen.fix, odometry=odometry)) for seen in sighting.found)
    return replace(sighting, odometry=odometry, found=found)


def select_comparable(found: Sequence[SeenPlace]) -> list[SeenPlace]:
    """Return, best first, the places whose support is not clearly less than the best one's."""
    return distinct_places.select_comparable(found, lambda seen: seen.support)
