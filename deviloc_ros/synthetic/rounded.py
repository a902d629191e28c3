"""Add things that are not flat: columns, pipes, cans, arches and cloth, each a strip of narrow rectangles."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from deviloc_ros.synthetic.materials import Palette
from deviloc_ros.synthetic.scene import Scene, Solid, Surface, random_rotation
from deviloc_ros.synthetic.trajectory import random_target

Z = np.array([0.0, 0.0, 1.0])
SIDES = 14  # of a cylinder: 26 degrees from face to face, which smooth shading would hide


def add_strip(scene: Scene, points: NDArray, along: NDArray, surface: Surface, two_sided: bool = False) -> None:
    """Extrude a polyline (N, 3) by `along` (3,), perpendicular to it; the texture runs on from piece to piece."""
    start = 0.0
    for first, second in pairwise(points):
        scene.add_quad(first, second - first, along, surface, (start, 0.0), two_sided=two_sided)
        start += float(np.linalg.norm(second - first)) / surface.meters


def add_cylinder(
    scene: Scene, centre: NDArray, radius: float, height: float, surface: Surface, rotation: NDArray
) -> None:
    """Add a prism of SIDES sides around the third column of `rotation`, closed at both ends."""
    angles = np.linspace(0, 2 * np.pi, SIDES + 1)
    ring = radius * (np.cos(angles)[:, None] * rotation[:, 0] + np.sin(angles)[:, None] * rotation[:, 1])
    axis = height * rotation[:, 2]
    add_strip(scene, centre + ring + axis / 2, -axis, surface)
    for end, order in ((axis / 2, -1), (-axis / 2, 1)):
        # Rectangles between opposite sides of the ring cover an even-sided polygon exactly.
        for number in range(SIDES // 2):
            a, b, c = ring[number], ring[number + 1], ring[number + SIDES // 2]
            first, second = (b - a, c - b)[::order]  # each end is seen from outside
            scene.add_quad(centre + end + a, first, second, surface)
    half = np.array([radius, radius, height / 2])
    scene.solids.append(Solid(centre, rotation.T, half))


def add_cloth(scene: Scene, rng: Generator, corner: NDArray, size: NDArray, surface: Surface) -> None:
    """Add a curtain hanging from `corner`: a sheet with folds, seen from both sides."""
    rotation = random_rotation(rng, upright=True)
    across = np.linspace(0, 1, int(rng.integers(10, 25)))
    folds = size[0] * rng.uniform(0.02, 0.12) * np.sin(2 * np.pi * (rng.uniform(0.5, 4) * across + rng.random()))
    points = corner + across[:, None] * size[0] * rotation[:, 0] + folds[:, None] * rotation[:, 1]
    add_strip(scene, points, -size[1] * Z, surface, two_sided=True)


def add_rounded_things(scene: Scene, rng: Generator) -> None:
    """Scatter up to a dozen of them over the surfaces of a scene, at the scene's own scale."""
    palette = Palette(rng)
    scale = float(np.linalg.norm(scene.free_high - scene.free_low)) / 8
    for _ in range(rng.integers(0, 13)):
        at = random_target(scene, rng)
        surface = palette.draw_surface(str(rng.choice(["print", "object", "wall"])), (0.2, 1.5))
        kind = rng.choice(["column", "can", "pipe", "cloth"])
        if kind == "column":
            radius, height = scale * rng.uniform(0.05, 0.35), scale * rng.uniform(0.5, 3)
            add_cylinder(scene, np.array([at[0], at[1], height / 2]), radius, height, surface, np.eye(3))
        elif kind == "can":
            radius, height = scale * rng.uniform(0.05, 0.3, 2)
            add_cylinder(scene, at + height / 2 * Z, radius, height, surface, np.eye(3))
        elif kind == "pipe":
            radius, height = scale * rng.uniform(0.02, 0.25), scale * rng.uniform(0.3, 2)
            add_cylinder(scene, at, radius, height, surface, random_rotation(rng))
        else:
            add_cloth(scene, rng, at, scale * rng.uniform(0.3, 2, 2), surface)
