"""Make the bag that a robot would have recorded on the drive."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pycolmap
from numpy.random import Generator
from tqdm import tqdm

from deviloc_ros.bags.writer import BagWriter
from deviloc_ros.demo.worlds import BASE_FROM_CAM, World
from deviloc_ros.io.tum_trajectory import Stamped
from deviloc_ros.messages import COMPRESSED_SUFFIX

START_NS = 1_700_000_000_000_000_000
ODOMETRY_PER_FRAME = 5
CAMERA_FRAME = "camera_optical_frame"
IMAGE_TOPIC, INFO_TOPIC, ODOMETRY_TOPIC, TRUTH_TOPIC = "/camera/image", "/camera/camera_info", "/odom", "/ground_truth"


def list_true_poses(world: World) -> list[Stamped]:
    """Return (time [ns], map_from_base) of each image."""
    period_ns = round(1e9 / world.rate_hz)
    return [(START_NS + number * period_ns, frame.map_from_base) for number, frame in enumerate(world.frames)]


def write_bag(
    world: World, bag: Path, odometry: list[Stamped] | None = None, *, overwrite: bool = False
) -> list[Stamped]:
    """Write images, calibration, odometry, extrinsic and truth; return the truth: (time [ns], map_from_base).

    Args:
        odometry: odom_from_base in order of time; by default one that drifts by a percent.
        overwrite: a bag that is there is replaced.
    """
    truth = list_true_poses(world)
    odometry = list(odometry or simulate_odometry(interpolate_poses(truth), np.random.default_rng(0)))
    with BagWriter(bag, overwrite=overwrite) as writer:
        writer.write_transform(START_NS, "base_link", CAMERA_FRAME, BASE_FROM_CAM, static=True)
        frames = tqdm(world.frames, desc="record the bag", unit="frame")
        for frame, (time_ns, map_from_base) in zip(frames, truth, strict=True):
            # Odometry is faster than the camera: what is known before this image comes before it.
            while odometry and odometry[0][0] <= time_ns:
                odometry_ns, odom_from_base = odometry.pop(0)
                writer.write_transform(odometry_ns, "odom", "base_link", odom_from_base)
                writer.write_odometry(ODOMETRY_TOPIC, odometry_ns, "odom", "base_link", odom_from_base)
            writer.write_pose(TRUTH_TOPIC, time_ns, "map", map_from_base)
            writer.write_camera_info(INFO_TOPIC, time_ns, CAMERA_FRAME, world.camera)
            image = frame.load()
            if isinstance(image, bytes):
                writer.write_compressed_image(IMAGE_TOPIC + COMPRESSED_SUFFIX, time_ns, CAMERA_FRAME, image)
            else:
                writer.write_image(IMAGE_TOPIC, time_ns, CAMERA_FRAME, image)
    return truth


def interpolate_poses(poses: list[Stamped]) -> list[Stamped]:
    """Interpolate the given poses evenly, to ODOMETRY_PER_FRAME poses per step."""
    filled = []
    for (start_ns, start), (end_ns, end) in pairwise(poses):
        for part in range(ODOMETRY_PER_FRAME):
            share = part / ODOMETRY_PER_FRAME
            pose = pycolmap.Rigid3d.interpolate(start, end, share)
            filled.append((start_ns + round(share * (end_ns - start_ns)), pose))
    return [*filled, poses[-1]]


def simulate_odometry(
    truth: list[Stamped], rng: Generator, drift: float = 0.01, start: pycolmap.Rigid3d | None = None
) -> list[Stamped]:
    """Return odom_from_base with errors of about `drift` of each step's length and turn, which add up.

    Args:
        start: where it begins; default: zero.
    """
    scale, skew = 1 + rng.normal(0, drift), rng.normal(0, drift, 3)
    odom_from_base = start or pycolmap.Rigid3d()
    odometry = [(truth[0][0], odom_from_base)]
    for (_, before), (time_ns, after) in pairwise(truth):
        step = before.inverse() * after
        length, angle = float(np.linalg.norm(step.translation)), step.rotation.angle()
        error = skew * length + rng.normal(0, drift, 3) * angle
        turned = step.rotation * pycolmap.Rotation3d(error)
        odom_from_base = odom_from_base * pycolmap.Rigid3d(turned, scale * step.translation)
        odometry.append((time_ns, odom_from_base))
    return odometry
