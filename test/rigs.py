"""Cameras of a rig, and what each sees of random points."""

import numpy as np
from worlds import SMALL, rigid_of

from deviloc_ros.config import PoseConfig
from deviloc_ros.geometry import transform_points
from deviloc_ros.pose.rig import CameraSighting
from deviloc_ros.types import Correspondences

CONFIG = PoseConfig()
CAMERAS = (
    rigid_of([0, 0, 0], [0, 0, 0]),
    rigid_of([0, 1.6, 0], [0.2, 0, -0.1]),
    rigid_of([0, -1.5, 0.1], [-0.3, 0.1, 0]),
)


def look(rng, rig_from_cam, rig_from_world, count=200, noise_px=0.5) -> CameraSighting:
    """What a camera sees of random points around, some of it wrong."""
    keypoints = rng.uniform([0, 0], [319, 239], (count, 2))
    depths = rng.uniform(2, 6, count)
    in_cam = SMALL.rays(keypoints) * depths[:, None]
    cam_from_world = rig_from_cam.inverse() * rig_from_world
    points = transform_points(cam_from_world.inverse(), in_cam)
    seen = keypoints + rng.normal(0, noise_px, (count, 2))
    seen[: count // 5] = rng.uniform([0, 0], [319, 239], (count // 5, 2))
    centre = cam_from_world.tgt_origin_in_src() + rng.normal(0, 0.2, 3)  # of the reference they are from
    origins = np.broadcast_to(centre, points.shape)
    return CameraSighting(
        Correspondences(seen, points, np.full(count, 0.9), depths, np.zeros(count, int), origins), SMALL, rig_from_cam
    )
