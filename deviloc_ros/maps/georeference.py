"""Define a map's georeference: an origin's latitude, longitude and altitude, and the map's pose in its ENU frame.

Coordinates are WGS 84, in degrees and metres above the ellipsoid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pycolmap
from numpy.typing import ArrayLike, NDArray

from deviloc_ros.geometry import rigid_from_quaternion

GEOREFERENCE = "georeference"  # subject of the note in a map's provenance
SAME_SCALE = 1e-6
EARTH = pycolmap.GPSTransform()


@dataclass(frozen=True, slots=True, eq=False)
class Georeference:
    """Hold an origin on Earth, and enu_from_map in the frame of east, north and up [m] there."""

    latitude: float
    longitude: float
    altitude: float
    enu_from_map: pycolmap.Rigid3d

    def __post_init__(self) -> None:
        check_coordinates(np.array([self.latitude, self.longitude, self.altitude]))

    @property
    def map_from_enu(self) -> pycolmap.Rigid3d:
        """Return the transform from the frame of east, north and up [m] at the origin to the map."""
        return self.enu_from_map.inverse()

    def locate(self, latitude: float, longitude: float) -> NDArray:
        """Return the (3,) point in the map of a position at the altitude of the origin; receivers' heights are bad."""
        return self.map_from_enu * to_enu(self, [[latitude, longitude, self.altitude]])[0]

    def move(self, new_from_map: pycolmap.Sim3d) -> Georeference | None:
        """Return the georeference of a moved map; None if the scale changes, since its unit was another one."""
        if abs(new_from_map.scale - 1) > SAME_SCALE:
            return None
        rigid = pycolmap.Rigid3d(new_from_map.rotation, new_from_map.translation)
        return replace(self, enu_from_map=self.enu_from_map * rigid.inverse())

    def to_note(self) -> dict[str, Any]:
        """Return the note for a map's manifest."""
        pose = self.enu_from_map
        return {
            "latitude": self.latitude,
            "longitude": self.longitude,
            "altitude": self.altitude,
            "rotation_xyzw": pose.rotation.quat.tolist(),
            "translation_m": pose.translation.tolist(),
        }

    @staticmethod
    def from_note(note: Any) -> Georeference | None:
        """Parse a manifest's note; None without one, or if the notes of merged maps differ.

        Raises:
            ValueError: the note is invalid.
        """
        if note is None or isinstance(note, str):
            return None
        try:
            pose = rigid_from_quaternion(note["rotation_xyzw"], note["translation_m"])
            latitude, longitude, altitude = (float(note[name]) for name in ("latitude", "longitude", "altitude"))
            return Georeference(latitude, longitude, altitude, pose)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{GEOREFERENCE}: {error!r}") from error


def check_coordinates(coordinates: NDArray) -> None:
    """Raise ValueError unless (3,) latitude and longitude [deg] and altitude [m] are those of a place on Earth."""
    latitude, longitude, altitude = coordinates
    if not np.isfinite(coordinates).all():
        raise ValueError(f"latitude {latitude}, longitude {longitude}, altitude {altitude}: not all finite")
    if abs(latitude) > 90 or abs(longitude) > 180 or abs(altitude) > 1e5:
        raise ValueError(f"latitude {latitude}, longitude {longitude}, altitude {altitude}: no place on Earth")


def to_enu(origin: Georeference, coordinates: ArrayLike) -> NDArray:
    """Convert (N, 3) latitude, longitude and altitude to (N, 3) metres east, north and up of an origin."""
    return EARTH.ellipsoid_to_enu(np.asarray(coordinates, float), origin.latitude, origin.longitude, origin.altitude)


def move_note(notes: Mapping[str, Any], new_from_map: pycolmap.Sim3d) -> dict[str, Any]:
    """Return the notes of a moved map: its georeference moves with it, or is dropped if the scale changes."""
    known = Georeference.from_note(notes.get(GEOREFERENCE))
    rest = {subject: note for subject, note in notes.items() if subject != GEOREFERENCE}
    moved = known.move(new_from_map) if known else None
    return rest | ({GEOREFERENCE: moved.to_note()} if moved else {})
