"""Place cameras: smooth paths for a robot, and groups of views of one place for structure from motion."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pycolmap
from numpy.random import Generator
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import rigid_from_matrix
from deviloc_ros.synthetic.render import depth_along_rays, find_surfaces, make_ray_grid, render_color
from deviloc_ros.synthetic.scene import Scene

MIN_CLEARANCE_M = 0.25


class NoViewError(ValueError):
    """Raise when a scene is so crowded that no camera fits, or shows it nothing."""


def look_at(centre: NDArray, target: NDArray, roll_rad: float = 0.0) -> pycolmap.Rigid3d:
    """Return cam_from_world of a camera at `centre` whose optical axis meets `target`, upright up to `roll_rad`.

    Raises:
        ValueError: the target is at the centre or straight above or below it.
    """
    forward = (target - centre) / max(float(np.linalg.norm(target - centre)), 1e-12)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    if np.linalg.norm(right) < 1e-6:
        raise ValueError(f"cannot look upright from {centre} at {target}")
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    cos, sin = np.cos(roll_rad), np.sin(roll_rad)
    rotation = np.stack([cos * right + sin * down, cos * down - sin * right, forward])
    return rigid_from_matrix(np.concatenate([rotation, -(rotation @ centre)[:, None]], 1))


def random_target(scene: Scene, rng: Generator) -> NDArray:
    """Return a point on a rectangle, the larger ones more often."""
    origins, edges_u, edges_v = scene.frames
    area = np.linalg.norm(edges_u, axis=1) * np.linalg.norm(edges_v, axis=1)
    weight = np.minimum(area, 4.0)
    number = rng.choice(len(area), p=weight / weight.sum())
    return origins[number] + rng.random() * edges_u[number] + rng.random() * edges_v[number]


def random_centre(scene: Scene, rng: Generator) -> NDArray:
    """Return a place a camera may be at.

    Raises:
        NoViewError: none found in 100 tries.
    """
    for _ in range(100):
        centre = rng.uniform(scene.free_low, scene.free_high)
        if scene.clearance_m(centre) > MIN_CLEARANCE_M:
            return centre
    raise NoViewError("the scene leaves no room for a camera")


def measure_view(scene: Scene, camera: Camera, cam_from_world: pycolmap.Rigid3d) -> tuple[float, float]:
    """Look at an eighth of the size: return texture (mean gradient in gray levels per pixel) and median depth [m]."""
    small = Camera(
        "SIMPLE_PINHOLE",
        camera.width // 8,
        camera.height // 8,
        (camera.focal_px / 8, camera.width / 16, camera.height / 16),
    )
    index, planes = find_surfaces(scene, small, cam_from_world)
    grid = make_ray_grid(small, 1)
    depth = depth_along_rays(index, planes, np.stack([grid.x, grid.y, np.ones_like(grid.x)], -1))
    gray = cv2.cvtColor(render_color(scene, small, cam_from_world, samples=1), cv2.COLOR_BGR2GRAY).astype(np.float32)
    texture = np.abs(np.diff(gray, axis=0)).mean() + np.abs(np.diff(gray, axis=1)).mean()
    hit = depth[depth > 0]
    return float(texture), float(np.median(hit)) if len(hit) > depth.size // 3 else 0.0


def sample_views_of_a_place(scene: Scene, camera: Camera, rng: Generator, count: int) -> list[pycolmap.Rigid3d]:
    """Return `count` poses around one place, with baselines from a few hundredths of the distance to half of it.

    The displacement has a direction of its own for each place: sideways, as for a hand-held camera, or along the
    optical axis, as for a vehicle.
    """
    first, distance = find_textured_view(scene, camera, rng, tries=6)
    centre, forward = first.tgt_origin_in_src(), first.rotation.matrix()[2]
    target = centre + distance * forward
    baseline = float(np.exp(rng.uniform(np.log(0.04), np.log(0.5)))) * distance
    axis_share = rng.random() * (rng.random() < 0.4)
    poses = [first]
    for _ in range(200 * count):
        if len(poses) == count:
            break
        offset = rng.normal(0, 1, 3) * [1, 1, 0.4] * (1 - axis_share) + axis_share * rng.normal(0, 1.5) * forward
        position = np.clip(centre + baseline * offset, scene.free_low, scene.free_high)
        aim = target + rng.normal(0, 0.12 * distance, 3)
        if scene.clearance_m(position) > MIN_CLEARANCE_M and np.linalg.norm((aim - position)[:2]) > 0.3:
            poses.append(look_at(position, aim, rng.normal(0, 0.06)))
    return poses


def find_textured_view(scene: Scene, camera: Camera, rng: Generator, tries: int) -> tuple[pycolmap.Rigid3d, float]:
    """Return one of some random poses that sees texture, with its median depth [m].

    Not always the best: dull views exist.
    """
    found = []
    wanted_texture = rng.uniform(2.0, 12.0)
    for _ in range(10 * tries):
        centre, target = random_centre(scene, rng), random_target(scene, rng)
        if np.linalg.norm((target - centre)[:2]) < 0.5:
            continue
        pose = look_at(centre, target, rng.normal(0, 0.06))
        texture, depth = measure_view(scene, camera, pose)
        if depth > 0.6:
            found.append((min(texture, wanted_texture), pose, depth))
        if len(found) == tries or (found and found[-1][0] >= wanted_texture):
            break
    if not found:
        raise NoViewError("the scene shows no surface to any of its cameras")
    _, pose, depth = max(found, key=lambda entry: entry[0])
    return pose, depth


def smooth_closed_curve(rng: Generator, harmonics: int = 3) -> Callable[[NDArray], NDArray]:
    """Return a random closed curve: (N,) phases in [0, 1] -> (N, 3) values within [-1, 1]."""
    order = np.arange(1, harmonics + 1)
    phase = rng.uniform(0, 2 * np.pi, (harmonics, 3))
    weight = rng.uniform(0.3, 1, (harmonics, 3)) / order[:, None] ** 2
    weight /= weight.sum(0)
    return lambda t: (weight * np.sin(2 * np.pi * order[:, None] * t[:, None, None] + phase)).sum(1)


def make_smooth_path(
    scene: Scene, rng: Generator, count: int, target: NDArray, span: float = 1.0
) -> list[pycolmap.Rigid3d]:
    """Return `count` poses along a smooth closed path through the free space, looking at what lies around `target`.

    Args:
        target: (3,) point the gaze wanders around, within a quarter of the free space's size.
        span: share of the closed path that is travelled.

    Raises:
        NoViewError: no path found that keeps clear of everything.
    """
    middle, half = (scene.free_low + scene.free_high) / 2, (scene.free_high - scene.free_low) / 2
    phases = np.arange(count) / count * span
    for shrink in np.repeat([1.0, 0.8, 0.6, 0.4, 0.2], 20):
        centres = middle + shrink * half * smooth_closed_curve(rng)(phases)
        targets = target + 0.25 * half * smooth_closed_curve(rng)(phases)
        far_enough = np.linalg.norm((targets - centres)[:, :2], axis=1).min() > 0.8
        if far_enough and min(scene.clearance_m(c) for c in centres) > MIN_CLEARANCE_M:
            return [look_at(c, t) for c, t in zip(centres, targets, strict=True)]
    raise NoViewError("the scene leaves no room for a path")
