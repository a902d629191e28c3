"""Build furnished rooms."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from deviloc_ros.synthetic.materials import Palette
from deviloc_ros.synthetic.scene import Scene, random_rotation

X, Y, Z = np.eye(3)


def make_room(rng: Generator) -> Scene:
    """Make a room of 3 to 10 m with prints on its walls, shelves, tables and clutter; some rooms are nearly bare."""
    size = np.array([rng.uniform(3, 10), rng.uniform(3, 10), rng.uniform(2.3, 3.6)])
    palette = Palette(rng)
    scene = Scene(light=size * rng.uniform([0.2, 0.2, 0.85], [0.8, 0.8, 0.95]), ambient=rng.uniform(0.4, 0.8))
    scene.free_low, scene.free_high = np.array([0.3, 0.3, 0.5]), size - [0.3, 0.3, 0.3]
    add_shell(scene, palette, size)
    richness = rng.uniform(0.3, 1.6) * np.sqrt(size[0] * size[1]) / 4
    add_prints(scene, rng, palette, size, int(rng.integers(4, 16) * richness))
    for _ in range(int(rng.integers(0, 4) * richness)):
        add_shelf(scene, rng, palette, size)
    for _ in range(int(rng.integers(0, 4) * richness)):
        add_table(scene, rng, palette, size)
    add_clutter(scene, rng, palette, size, int(rng.integers(4, 20) * richness))
    return scene


def wall_frames(size: NDArray) -> list[tuple[NDArray, NDArray, float]]:
    """Return each wall's upper left corner as seen from inside, its direction to the right, and its length."""
    w, d, h = size
    return [
        (np.array([0, d, h]), X, w),
        (np.array([w, d, h]), -Y, d),
        (np.array([w, 0, h]), -X, w),
        (np.array([0, 0, h]), Y, d),
    ]


def add_shell(scene: Scene, palette: Palette, size: NDArray) -> None:
    """Add floor, ceiling and four walls."""
    w, d, h = size
    scene.add_quad((0, d, 0), w * X, -d * Y, palette.draw_surface("floor", (0.8, 3)))
    scene.add_quad((0, 0, h), w * X, d * Y, palette.draw_surface("wall", (1, 4)))
    wall = palette.draw_surface("wall", (1, 3), glossy=0.05)
    for corner, right, length in wall_frames(size):
        other = palette.rng.random() < 0.3
        scene.add_quad(corner, length * right, -h * Z, palette.draw_surface("wall", (1, 3)) if other else wall)


def add_prints(scene: Scene, rng: Generator, palette: Palette, size: NDArray, count: int) -> None:
    """Add posters, boards and doors on the walls: half of them flat, half a few centimetres thick."""
    frames = wall_frames(size)
    for _ in range(count):
        corner, right, length = frames[rng.integers(4)]
        width, height = rng.uniform(0.2, 1.4, 2)
        along, down = rng.uniform(0.1, max(length - width, 0.2)), rng.uniform(0.1, max(size[2] - height, 0.2))
        thickness = rng.uniform(0.01, 0.1) if rng.random() < 0.5 else 0.004
        inward = np.cross(right, -Z) * -1
        origin = corner + along * right - down * Z + thickness * inward
        surface = palette.draw_surface("print", glossy=0.3)
        if thickness > 0.005:
            rotation = np.stack([right, inward, np.cross(right, inward)], 1)
            middle = origin + (width * right - height * Z) / 2 - inward * (thickness / 2 + 0.001)
            scene.add_box(middle, (width, thickness, height), palette.draw_surface("object"), rotation)
        scene.add_quad(
            origin,
            width * right,
            -height * Z,
            surface,
            (rng.uniform(0, 0.2), rng.uniform(0, 0.2)),
            (rng.uniform(0.6, 1), 0.9),
        )


def add_shelf(scene: Scene, rng: Generator, palette: Palette, size: NDArray) -> None:
    """Add boards against a wall with books and boxes on them."""
    corner, right, length = wall_frames(size)[rng.integers(4)]
    inward = np.cross(right, -Z) * -1
    width, depth, boards = rng.uniform(0.6, 1.8), rng.uniform(0.2, 0.45), int(rng.integers(2, 6))
    height = rng.uniform(0.7, min(2.2, size[2] - 0.2))
    start = corner - size[2] * Z + rng.uniform(0, max(length - width, 0.1)) * right + 0.01 * inward
    rotation = np.stack([right, inward, np.cross(right, inward)], 1)
    wood = palette.draw_surface("object", (0.5, 1.5))
    for side in (0.0, width):
        scene.add_box(start + side * right + depth / 2 * inward + height / 2 * Z, (0.02, depth, height), wood, rotation)
    for board in range(boards):
        level = start + (height * (board + 1) / boards) * Z
        scene.add_box(level + width / 2 * right + depth / 2 * inward, (width, depth, 0.02), wood, rotation)
        place = rng.uniform(0.02, 0.3)
        gap = height / boards
        while place < width - 0.1 and len(scene.quads) < 900:
            extent = np.array([rng.uniform(0.03, 0.25), depth * rng.uniform(0.4, 0.9), gap * rng.uniform(0.3, 0.85)])
            bottom = level - (gap - 0.012 if board else gap) * Z
            centre = bottom + (place + extent[0] / 2) * right + depth / 2 * inward + extent[2] / 2 * Z
            scene.add_box(
                centre, extent, palette.draw_surface("print" if rng.random() < 0.6 else "object", (0.2, 0.8)), rotation
            )
            place += extent[0] + (rng.uniform(0.05, 0.4) if rng.random() < 0.4 else 0.004)


def add_table(scene: Scene, rng: Generator, palette: Palette, size: NDArray) -> None:
    """Add a plate on thin legs, with things on it."""
    extent = np.array([rng.uniform(0.5, 1.8), rng.uniform(0.4, 1.0), rng.uniform(0.35, 1.0)])
    rotation = random_rotation(rng, upright=True) if rng.random() < 0.5 else np.eye(3)
    centre = np.array([*rng.uniform(0.6, np.maximum(size[:2] - 0.6, 0.7)), 0.0])
    wood, leg = palette.draw_surface("object"), rng.uniform(0.015, 0.06)
    scene.add_box(centre + extent[2] * Z, (extent[0], extent[1], 0.03), wood, rotation)
    for sx in (-0.47, 0.47):
        for sy in (-0.46, 0.46):
            foot = centre + rotation @ np.array([sx * extent[0], sy * extent[1], extent[2] / 2])
            scene.add_box(foot, (leg, leg, extent[2] - 0.03), wood, rotation)
    for _ in range(rng.integers(0, 9)):
        thing = rng.uniform(0.04, 0.35, 3)
        where = rng.uniform(-0.4, 0.4, 2) * extent[:2]
        base = centre + rotation @ np.array([*where, extent[2] + 0.016 + thing[2] / 2])
        scene.add_box(
            base, thing, palette.draw_surface("print", (0.2, 0.8), glossy=0.3), random_rotation(rng, upright=True)
        )


def add_clutter(scene: Scene, rng: Generator, palette: Palette, size: NDArray, count: int) -> None:
    """Add boxes standing or fallen at any angle, slanted panels, rods and pillars."""
    for _ in range(count):
        centre = np.array([*rng.uniform(0.2, size[:2] - 0.2), 0.0])
        kind = rng.choice(["box", "tumbled", "panel", "rod", "pillar"], p=[0.4, 0.2, 0.15, 0.17, 0.08])
        if kind == "box":
            extent = rng.uniform(0.15, 1.0, 3)
            scene.add_box(
                centre + extent[2] / 2 * Z, extent, palette.draw_surface("object"), random_rotation(rng, upright=True)
            )
        elif kind == "tumbled":
            extent = rng.uniform(0.1, 0.7, 3)
            height = rng.uniform(0.0, size[2] - 0.3)
            scene.add_box(centre + height * Z, extent, palette.draw_surface("object"), random_rotation(rng))
        elif kind == "panel":
            rotation = random_rotation(rng)
            extent = rng.uniform(0.4, 1.5, 2)
            origin = centre + rng.uniform(0.2, 1.5) * Z
            surface = palette.draw_surface("print" if rng.random() < 0.5 else "object")
            scene.add_quad(origin, extent[0] * rotation[:, 0], extent[1] * rotation[:, 1], surface, two_sided=True)
        elif kind == "rod":
            extent = np.array([*rng.uniform(0.01, 0.06, 2), rng.uniform(0.6, 2.5)])
            rotation = random_rotation(rng) if rng.random() < 0.5 else np.eye(3)
            scene.add_box(
                centre + rng.uniform(0.3, 1.5) * Z, extent, palette.draw_surface("object", (0.1, 0.5)), rotation
            )
        else:
            width = rng.uniform(0.15, 0.6)
            scene.add_box(centre + size[2] / 2 * Z, (width, width, size[2]), palette.draw_surface("wall"))
