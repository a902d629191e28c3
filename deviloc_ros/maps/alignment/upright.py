"""Find which way is up in a map, and its floor: from how cameras are held, and from the lowest plane of landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from deviloc_ros.geometry import transform_points
from deviloc_ros.maps.store import Map

MAX_TILT_DEG = 12.0  # of the floor against what cameras say
FLOOR_SHARE = 0.01  # of the median distance of landmarks: how thick a floor is
MIN_FLOOR_LANDMARKS, MIN_FLOOR_SHARE = 25, 0.01  # of all landmarks
PEAK = 2.5  # times as many landmarks on a floor as in a layer above: walls have as many in each
BELOW_SHARE = 0.1  # landmarks below a plane, of those on it, that keep it from being the floor
TRIALS = 3000
HELD_STD_DEG, FLOOR_STD_DEG = 3.0, 0.5  # how well each says which way is up
LEVEL_SPREAD = 0.2  # of cameras' x axes, below which they all look the same way


@dataclass(frozen=True, slots=True, eq=False)
class Upright:
    """Hold plan_from_map, whose z is up and whose origin is on the floor, if that was found.

    tilt_std_deg: how far up may be from there.
    """

    plan_from_map: pycolmap.Rigid3d
    has_floor: bool
    tilt_std_deg: float
    camera_height: float

    def __str__(self) -> str:
        if self.has_floor:
            return f"the floor was found, {self.camera_height:.2f} below the cameras (median)"
        return "no floor was found among the landmarks: which way is up is known from how cameras are held"


def find_upright(reference_map: Map) -> Upright:
    """Return which way is up in a map, and where its floor is."""
    poses = [record.cam_from_world for record in reference_map.records]
    points, centres = reference_map.landmarks().astype(float), reference_map.centres
    rotation = turn_upright(up_of_cameras(poses))
    held = pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), np.zeros(3))
    plane = find_floor(transform_points(held, points), transform_points(held, centres))
    if plane is None:
        return Upright(put_below(centres, rotation, None), False, HELD_STD_DEG, 0.0)
    normal, level = plane
    upright = put_below(centres, turn_upright(rotation.T @ normal), level)
    height = float(np.median(transform_points(upright, centres)[:, 2]))
    return Upright(upright, True, FLOOR_STD_DEG, height)


def put_below(centres: NDArray, rotation: NDArray, level: float | None) -> pycolmap.Rigid3d:
    """Return plan_from_map that turns, with its origin below the cameras where z was `level`; None: among them."""
    middle = np.median(centres @ rotation.T, 0)
    below = middle if level is None else np.array([*middle[:2], level])
    return pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), -below)


def up_of_cameras(poses: list[pycolmap.Rigid3d]) -> NDArray:
    """Return (3,) up in world by poses cam_from_world: of cameras that do not roll, x axes are level.

    Where all look the same way, that leaves it open, and cameras are taken to be level.
    """
    matrices = np.stack([pose.rotation.matrix() for pose in poses])
    against_y = -matrices[:, 1].mean(0)
    _, spread, axes = np.linalg.svd(matrices[:, 0])
    if len(poses) < 3 or spread[1] < LEVEL_SPREAD * spread[0]:
        return against_y / max(float(np.linalg.norm(against_y)), 1e-9)
    return axes[2] if axes[2] @ against_y > 0 else -axes[2]


def turn_upright(up: NDArray) -> NDArray:
    """Return the (3, 3) rotation that brings up to z, turning no more than that needs."""
    return Rotation.align_vectors([[0.0, 0.0, 1.0]], [up])[0].as_matrix()


def find_floor(points: NDArray, centres: NDArray) -> tuple[NDArray, float] | None:
    """Return normal (3,) and height of the lowest level plane of (L, 3) landmarks, z being about up; None without one.

    The plane is the set of points whose product with the normal is the height.
    """
    distance = float(np.median(np.linalg.norm(points - np.median(centres, 0), axis=1))) if len(points) else 0.0
    thickness = FLOOR_SHARE * distance
    low = points[points[:, 2] < np.median(centres[:, 2]) - 5 * thickness]
    least = max(MIN_FLOOR_LANDMARKS, MIN_FLOOR_SHARE * len(points))
    if len(low) < least:
        return None
    best, most = None, 0
    rng = np.random.default_rng(0)
    for _ in range(TRIALS):
        plane = plane_through(low[rng.choice(len(low), 3, replace=False)])
        if plane is None:
            continue
        heights = low @ plane[0] - plane[1]
        on_it, below = int((np.abs(heights) < thickness).sum()), int((heights < -3 * thickness).sum())
        above = int(((heights > 2 * thickness) & (heights < 4 * thickness)).sum())
        if on_it > most and below <= BELOW_SHARE * on_it and on_it >= PEAK * above:
            best, most = plane, on_it
    if best is None or most < least:
        return None
    for _ in range(3):
        best = fit_plane(low[np.abs(low @ best[0] - best[1]) < thickness])
    return best


def fit_plane(points: NDArray) -> tuple[NDArray, float]:
    """Return normal, upwards, and height of the plane nearest to (N, 3) points."""
    middle = points.mean(0)
    normal = np.linalg.svd(points - middle, full_matrices=False)[2][2]
    normal = normal if normal[2] > 0 else -normal
    return normal, float(normal @ middle)


def plane_through(corners: NDArray) -> tuple[NDArray, float] | None:
    """Return normal and height of the plane through (3, 3) points, None if it is far from level."""
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    length = float(np.linalg.norm(normal))
    if length < 1e-12:
        return None
    normal = normal / length * (1 if normal[2] >= 0 else -1)
    return (normal, float(normal @ corners[0])) if normal[2] > np.cos(np.deg2rad(MAX_TILT_DEG)) else None
