"""Find the views near a prior by position and viewing direction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.types import Prior


def centres_and_axes(poses: Sequence[pycolmap.Rigid3d]) -> tuple[NDArray, NDArray]:
    """Return (V, 3) camera centres [m] and (V, 3) unit optical axes, in world."""
    matrices = np.stack([pose.matrix() for pose in poses]) if poses else np.zeros((0, 3, 4))
    centres = -np.einsum("vji,vj->vi", matrices[:, :, :3], matrices[:, :, 3])
    return centres, matrices[:, 2, :3]


def distances_and_angles(centres: NDArray, axes: NDArray, centre: NDArray, axis: NDArray) -> tuple[NDArray, NDArray]:
    """Return (V,) distances between camera centres [m] and (V,) angles between optical axes [rad]."""
    angles = np.arccos(np.clip(axes @ axis, -1, 1))
    return np.linalg.norm(centres - centre, axis=1), angles


def distance_to_nearest(centres: NDArray, axes: NDArray, cam_from_world: pycolmap.Rigid3d) -> float:
    """Return the distance to the nearest of V poses [m]; a radian between axes counts as a metre; inf without poses."""
    (centre,), (axis,) = centres_and_axes([cam_from_world])
    distances, angles = distances_and_angles(centres, axes, centre, axis)
    return float((distances + angles).min(initial=np.inf))


def nearest_by_pose(centres: NDArray, axes: NDArray, prior: Prior, count: int, meters_per_radian: float) -> NDArray:
    """Return the indices of views within the prior's bounds, nearest first.

    A radian between optical axes counts as `meters_per_radian`.
    """
    (centre,), (axis,) = centres_and_axes([prior.cam_from_world])
    distances, angles = distances_and_angles(centres, axes, centre, axis)
    near = np.flatnonzero((distances <= prior.radius_m) & (np.rad2deg(angles) <= prior.angle_deg))
    score = distances[near] + meters_per_radian * angles[near]
    return near[np.argsort(score, kind="stable")[:count]]
