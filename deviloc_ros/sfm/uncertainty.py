"""Estimate how well the depth of a landmark is determined by the views that observe it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from deviloc_ros.geometry import rays_to, transform_points
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.types import UNKNOWN_DEPTH_STD, Landmarks

EXPECTED_PX = 0.5  # prior reprojection error
EXPECTED_WEIGHT = 4  # weight of the prior, in residuals


def add_depth_stds(images: Sequence[PosedImage], landmarks: dict[str, Landmarks]) -> dict[str, Landmarks]:
    """Return landmarks by image name with the standard deviations of their depths, given all views that observe them.

    A deviation is that along the view's ray, with the position across the ray known. If other views leave both open
    together, the marginal deviation is larger (by half with two views). The network is trained on these.

    A ray with an error of 1 / f, one pixel in the middle of an image of focal length f, gives the position of a
    landmark at distance d [m] in direction r the Fisher information (f / d)^2 (I - r r^T) [1/m^2]. These are summed
    over the views that observe it; along a view's own ray, its own contributes nothing. If all rays are parallel the
    depth is unknown.

    The error in pixels is estimated from each landmark's residuals, two per view, of which its position takes three
    degrees of freedom, together with a prior. If views place a landmark differently, the deviation is at least its
    offset in depth from the mean position.
    """
    ids = np.unique(np.concatenate([np.zeros(0, np.int64), *(landmarks[image.name].ids for image in images)]))
    information, middles = np.zeros((len(ids), 3, 3)), np.zeros((len(ids), 3))
    squares_px2, views = np.zeros(len(ids)), np.zeros(len(ids))
    for image in images:
        observed, focal_px = landmarks[image.name], image.camera.focal_px
        rows = np.searchsorted(ids, observed.ids)
        rays, distances_m = rays_to(observed.points_in_world, image.cam_from_world.tgt_origin_in_src())
        across = np.eye(3) - rays[:, :, None] * rays[:, None]
        np.add.at(information, rows, (focal_px / distances_m)[:, None, None] ** 2 * across)
        np.add.at(middles, rows, observed.points_in_world)
        np.add.at(squares_px2, rows, focal_px**2 * ((rays - detected_rays(image, observed)) ** 2).sum(1))
        np.add.at(views, rows, 1)
    middles /= views[:, None]
    found = {}
    for image in images:
        observed = landmarks[image.name]
        rows = np.searchsorted(ids, observed.ids)
        rays, distances_m = rays_to(observed.points_in_world, image.cam_from_world.tgt_origin_in_src())
        of_depths = np.einsum("ni,nij,nj->n", rays, information[rows], rays) * distances_m**2
        free = np.maximum(2 * views[rows] - 3, 0)
        variances_px2 = (EXPECTED_WEIGHT * EXPECTED_PX**2 + squares_px2[rows]) / (EXPECTED_WEIGHT + free)
        apart = ((observed.points_in_world - middles[rows]) * rays).sum(1) / distances_m
        stds = np.sqrt(variances_px2 / np.maximum(of_depths, 1e-12) + apart**2)
        found[image.name] = replace(observed, depth_stds=np.minimum(stds, UNKNOWN_DEPTH_STD))
    return found


def detected_rays(image: PosedImage, observed: Landmarks) -> NDArray:
    """Return (M, 3) unit rays through keypoints, in world; the direction to the landmark if a keypoint has no ray."""
    world_from_cam = image.cam_from_world.inverse()
    on_rays = transform_points(world_from_cam, image.camera.rays(observed.keypoints))
    on_rays = np.where(np.isfinite(on_rays), on_rays, observed.points_in_world)
    return rays_to(on_rays, world_from_cam.translation)[0]
