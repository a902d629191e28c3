"""Choose, of the views near a pose, the nearest ones and then those that show most of what these do not.

The nearest views are often successive images that all show the same part of what the query sees, while a view farther
away shows the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import rays_to, transform_points
from deviloc_ros.pose.covariance import GRID_CELLS, grid_cells

TURN_DEG, ZOOM = 25.0, 1.5  # most matches are lost when a point is seen this much turned, larger or smaller


def choose_complementary(shown: NDArray, count: int, nearest: int) -> list[int]:
    """Return `count` rows of `shown`: the first `nearest`, then greedily those that add most.

    The value of a cell is the square root of what is shown there in total, so that a second view of the same part adds
    less.

    Args:
        shown: (V, cells) what each view shows of the query, nearest view first.
    """
    taken = list(range(min(nearest, count, len(shown))))
    while len(taken) < min(count, len(shown)):
        worth = np.sqrt(shown[taken].sum(0) + shown).sum(1)
        worth[taken] = -np.inf
        taken.append(int(worth.argmax()))  # the nearest if nothing is shown
    return taken


def predict_shown(
    points: Sequence[NDArray], centres: NDArray, cam_from_world: pycolmap.Rigid3d, camera: Camera
) -> NDArray:
    """Return (V, cells) shares of each view's points that should be matched in each cell of an image at a pose.

    This is by geometry alone; occlusion is not considered.

    Args:
        points: (P, 3) m, in world, what each view sees.
        centres: (V, 3) m, in world, of the cameras that took them.
        cam_from_world, camera: pose and intrinsics of the image.
    """
    sizes = np.array([len(of_view) for of_view in points])
    views, points_in_world = np.repeat(np.arange(len(points)), sizes), np.concatenate(points)
    pixels = camera.project_visible(transform_points(cam_from_world, points_in_world))
    inside = np.isfinite(pixels).all(1)
    views, points_in_world, pixels = views[inside], points_in_world[inside], pixels[inside]
    theirs, their_m = rays_to(points_in_world, centres[views])
    ours, our_m = rays_to(points_in_world, cam_from_world.tgt_origin_in_src())
    turned = np.arccos(np.clip((theirs * ours).sum(1), -1, 1)) / np.deg2rad(TURN_DEG)
    zoomed = np.log(their_m / our_m) / np.log(ZOOM)
    weights = np.exp(-(turned**2) - zoomed**2) / sizes[views]
    cells = views * GRID_CELLS + grid_cells(pixels, camera)
    return np.bincount(cells, weights, len(points) * GRID_CELLS).reshape(-1, GRID_CELLS)
