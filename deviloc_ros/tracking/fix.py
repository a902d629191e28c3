"""Define a fix, the pose of the robot at a time with its covariance, and predict it for other times."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.config import TrackingConfig
from deviloc_ros.geometry import (
    isotropic_covariance,
    largest_std,
    move_covariance,
    normalize_rigid,
    pose_difference,
    skew,
    squared_mahalanobis,
)
from deviloc_ros.tracking.odometry import Odometry, path_between


@dataclass(frozen=True, slots=True, eq=False)
class Fix:
    """Hold the robot's pose at `stamp_ns`.

    covariance: (6, 6) of map_from_base, translation [m] then rotation vector [rad], both in map axes. odometry: at that
    time, None without odometry. is_planar: the robot drives on the plane z = 0 of the map, and predictions stay in it:
    see `flatten`.
    """

    stamp_ns: int
    map_from_base: pycolmap.Rigid3d
    covariance: NDArray
    odometry: Odometry | None = None
    is_planar: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "map_from_base", normalize_rigid("Fix.map_from_base", self.map_from_base))


def map_from_odom(fix: Fix) -> pycolmap.Rigid3d | None:
    """Return map_from_odom (REP-105) by the fix; None without odometry."""
    return None if fix.odometry is None else fix.map_from_base * fix.odometry.odom_from_base.inverse()


def predict_fix(fix: Fix, stamp_ns: int, odometry: Odometry | None, config: TrackingConfig) -> Fix:
    """Predict the fix at another time: moved by odometry, or without that anywhere the robot can reach.

    A drift of odometry's heading moves the robot sideways: by half of the final heading error times the way, if the
    error grows evenly.
    """
    seconds = abs(stamp_ns - fix.stamp_ns) * 1e-9
    if fix.odometry is None or odometry is None:
        moved = pycolmap.Rigid3d()
        std_m = config.max_speed_m_per_s * seconds
        std_rad = math.radians(config.max_turn_deg_per_s * seconds)
    else:
        moved = fix.odometry.odom_from_base.inverse() * odometry.odom_from_base
        std_m, std_rad = predict_drift(fix.odometry, odometry, seconds, config)
    covariance = move_covariance(fix.map_from_base, fix.covariance, moved) + isotropic_covariance(std_m, std_rad)
    aside = skew(fix.map_from_base.rotation.matrix() @ moved.translation) * (std_rad / 2)
    covariance[:3, :3] += aside @ aside.T
    expected = Fix(stamp_ns, fix.map_from_base * moved, covariance, odometry)
    return flatten(expected) if fix.is_planar else expected  # odometry may heave and pitch


def predict_drift(before: Odometry, after: Odometry, seconds: float, config: TrackingConfig) -> tuple[float, float]:
    """Return the standard deviations [m, rad], in each axis, of the motion between two readings of odometry."""
    metres, turned = path_between(before, after)
    std_m = config.drift_m_per_m * metres + config.drift_m_per_s * seconds
    std_deg = config.drift_deg_per_m * metres + config.drift_deg_per_s * seconds
    return std_m, math.radians(std_deg) + config.drift_per_turn * turned


def mahalanobis_distance(a: Fix, b: Fix) -> float:
    """Return the Mahalanobis distance of two independent fixes of one time."""
    error = pose_difference(a.map_from_base, b.map_from_base)
    return math.sqrt(max(squared_mahalanobis(error, a.covariance + b.covariance), 0.0))


def flatten(fix: Fix) -> Fix:
    """Return the fix of a robot that drives on the plane z = 0 of the map: x, y and yaw are kept."""
    rotation = fix.map_from_base.rotation.matrix()
    yaw = math.atan2(rotation[1, 0], rotation[0, 0])
    x, y, _ = fix.map_from_base.translation
    planar = [0, 1, 5]
    covariance = np.diag([1e-6] * 6)  # a filter cannot invert zeros
    covariance[np.ix_(planar, planar)] = fix.covariance[np.ix_(planar, planar)]
    map_from_base = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0.0, 0.0, yaw])), np.array([x, y, 0.0]))
    return Fix(fix.stamp_ns, map_from_base, covariance, fix.odometry, is_planar=True)


def largest_stds(covariance: NDArray) -> tuple[float, float]:
    """Return the standard deviation along the worst axis: translation [m], rotation [deg]."""
    return largest_std(covariance[:3, :3]), math.degrees(largest_std(covariance[3:, 3:]))
