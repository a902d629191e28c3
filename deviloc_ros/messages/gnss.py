"""Read positions of GNSS receivers (sensor_msgs/NavSatFix) without importing ROS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deviloc_ros.config import GnssConfig
from deviloc_ros.messages.headers import stamp_ns

NO_FIX = -1  # STATUS_NO_FIX of sensor_msgs/NavSatStatus
UNKNOWN = 0  # COVARIANCE_TYPE_UNKNOWN


@dataclass(frozen=True, slots=True, eq=False)
class GnssFix:
    """Hold the position of a receiver: WGS 84 [deg]. covariance: (2, 2) m^2, east and north."""

    stamp_ns: int
    latitude: float
    longitude: float
    covariance: NDArray


class GnssRefused(ValueError):
    """Raise for a position that is refused; the message is the keyword by which it is counted."""


def read_gnss(message: Any, config: GnssConfig) -> GnssFix:
    """Return the position of a NavSatFix.

    Raises:
        GnssRefused: `no_stamp`, `no_fix`, `no_position` (not finite or out of range), `no_covariance` (it states none,
            and neither does the config) or `bad_covariance` (not finite, not positive, or too large).
    """
    time_ns = stamp_ns(message)
    latitude, longitude = float(message.latitude), float(message.longitude)
    if time_ns <= 0:
        raise GnssRefused("no_stamp")
    # Drivers without a fix send 0, 0 as well.
    if message.status.status <= NO_FIX or (latitude == 0 and longitude == 0):
        raise GnssRefused("no_fix")
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):  # NaN is not either
        raise GnssRefused("no_position")
    return GnssFix(time_ns, latitude, longitude, read_covariance(message, config))


def read_covariance(message: Any, config: GnssConfig) -> NDArray:
    """Return (2, 2) m^2, east and north, no smaller than the config says. Raises GnssRefused."""
    floor = np.eye(2) * config.min_std_m**2
    if message.position_covariance_type == UNKNOWN:
        if config.std_m == 0:
            raise GnssRefused("no_covariance")
        return np.maximum(np.eye(2) * config.std_m**2, floor)
    stated = np.array(message.position_covariance, float).reshape(3, 3)[:2, :2]
    if not np.isfinite(stated).all() or not np.allclose(stated, stated.T):
        raise GnssRefused("bad_covariance")
    if np.abs(stated).max() > config.max_std_m**2 or np.linalg.eigvalsh(stated)[0] <= 0:
        raise GnssRefused("bad_covariance")
    values, axes = np.linalg.eigh(stated)
    return axes @ np.diag(np.maximum(values, config.min_std_m**2)) @ axes.T
