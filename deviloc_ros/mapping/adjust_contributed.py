"""Adjust the poses of contributions to each other and to the map, whose views stay fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.geometry import pose_difference
from deviloc_ros.mapping.update import find_views_near
from deviloc_ros.maps.store import Map
from deviloc_ros.sfm.adjust import adjust_bundle, pose_covariances
from deviloc_ros.sfm.landmarks import match_nearby, triangulate_model
from deviloc_ros.sfm.map_networks import Networks
from deviloc_ros.sfm.matches import Keypoints, extract_with_matcher, match_with_matcher
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.types import Features, Localized
from deviloc_ros.workers.base import Workers

LOSS_PX = 2.0  # of values from 1 to 8, the one with the smallest errors
COVARIANCE_SCALE = 12.0  # for correlated errors of neighbours: measured ratio of squared errors to variances
MIN_LANDMARKS = 15


class Adjusted(NamedTuple):
    """Hold the adjusted pose of an image, with its covariance as in `Localized`."""

    cam_from_world: pycolmap.Rigid3d
    covariance: NDArray


def adjust_to_map(
    reference_map: Map,
    images: Sequence[PosedImage],
    known: Mapping[str, Features],
    networks: Networks,
    workers: Workers,
) -> dict[str, Adjusted]:
    """Return the adjusted poses of images by name, from matches with each other and with the map's views near them.

    Their poses, given to a few centimetres, and the landmarks that they share with the map are adjusted together; the
    map's views stay fixed. An image that shares fewer than MIN_LANDMARKS is left out.

    Args:
        known: features by name of an image; those that are missing are extracted.
    """
    views = {view.name: view for image in images for view in find_views_near(reference_map, image)}
    missing = [image for image in images if image.name not in known]
    tasks, names = ((networks, image.path, image.mask) for image in missing), [image.name for image in missing]
    found = workers.map(extract_with_matcher, tasks, names, desc="keypoints of contributions", unit="image")
    own = {**known, **dict(zip(names, found, strict=True))}
    features = {image.name: own[image.name] for image in images} | {name: view.features for name, view in views.items()}
    keypoints = Keypoints(features, partial(match_with_matcher, networks))
    posed = [*images, *(PosedImage(view.name, Path(), view.camera, view.cam_from_world) for view in views.values())]
    model = triangulate_model(posed, match_nearby(keypoints, posed, workers))
    covariances = pose_covariances(model, adjust_bundle(model, LOSS_PX, fixed=views))
    return {
        image.name: Adjusted(image.cam_from_world(), COVARIANCE_SCALE * covariances[image.name])
        for image in model.images.values()
        if image.name in covariances and image.num_points3D >= MIN_LANDMARKS
    }


def combine_poses(found: Localized, adjusted: Adjusted) -> Adjusted:
    """Return the mean of two poses of an image, weighted by their inverse covariances."""
    world_from_found = found.cam_from_world.inverse()
    information = [np.linalg.inv(found.covariance), np.linalg.inv(adjusted.covariance)]
    covariance = np.linalg.inv(sum(information))
    move = covariance @ information[1] @ pose_difference(adjusted.cam_from_world.inverse(), world_from_found)
    turned = pycolmap.Rotation3d(move[3:]) * world_from_found.rotation
    return Adjusted(pycolmap.Rigid3d(turned, world_from_found.translation + move[:3]).inverse(), covariance)
