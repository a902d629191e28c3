"""How well the views that observe a landmark fix its depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from deviloc_ros.maps.sources import PosedImage
from deviloc_ros.types import UNKNOWN_DEPTH_STD, Landmarks


def with_depth_stds(images: Sequence[PosedImage], landmarks: dict[str, Landmarks]) -> dict[str, Landmarks]:
    """Landmarks by image name, each with the uncertainty of its depth that follows from all views that observe it.

    A ray that is off by 1 / f, a pixel in the middle of an image of focal length f, gives the position of a landmark at
    distance d [m] in direction r the Fisher information (f / d)^2 (I - r r^T) [1/m^2]. These add up over the views that
    observe it; along a view's own ray, its own adds nothing. Where all rays are parallel the depth is unknown.
    """
    ids = np.unique(np.concatenate([np.zeros(0, np.int64), *(landmarks[image.name].ids for image in images)]))
    totals = np.zeros((len(ids), 3, 3))
    for image in images:
        observed = landmarks[image.name]
        np.add.at(
            totals, np.searchsorted(ids, observed.ids), information(offsets(image, observed), image.camera.focal_px)
        )
    found = {}
    for image in images:
        observed = landmarks[image.name]
        along = offsets(image, observed)  # distance times direction: what follows is of the logarithm of the depth
        of_depths = np.einsum("ni,nij,nj->n", along, totals[np.searchsorted(ids, observed.ids)], along)
        stds = 1 / np.sqrt(np.maximum(of_depths, UNKNOWN_DEPTH_STD**-2))
        found[image.name] = replace(observed, depth_stds=stds)
    return found


def offsets(image: PosedImage, observed: Landmarks) -> NDArray:
    """(M, 3) m from the camera to the landmarks, in world."""
    return observed.points_in_world - image.cam_from_world.tgt_origin_in_src()


def information(offsets: NDArray, focal_px: float) -> NDArray:
    """(N, 3, 3) what a view says of landmarks at (N, 3) m from it, if its rays are off by 1 / focal_px [1/m^2]."""
    distances = np.maximum(np.linalg.norm(offsets, axis=1), 1e-9)[:, None, None]
    directions = offsets[:, :, None] / distances
    return (focal_px / distances) ** 2 * (np.eye(3) - directions * directions.transpose(0, 2, 1))
