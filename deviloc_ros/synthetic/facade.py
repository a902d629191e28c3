"""Build house fronts: windows set back into the wall, doors, balconies, columns, steps, a square in front."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from deviloc_ros.synthetic import textures
from deviloc_ros.synthetic.materials import Palette
from deviloc_ros.synthetic.scene import Scene, Surface, random_rotation

X, Y, Z = np.eye(3)


@dataclass(frozen=True, slots=True, eq=False)
class Bays:
    """Say how a storey of a front is divided: into bays of a width and a height [m], each with one opening (w, h)."""

    count: int
    width: float
    height: float
    opening: NDArray


def make_facade(rng: Generator) -> Scene:
    """Make a front of 5 to 30 m along x, facing -y, with cameras on the square before it."""
    width = float(np.exp(rng.uniform(np.log(5), np.log(30))))
    height = float(np.clip(width * rng.uniform(0.4, 1.2), 4, 22))
    palette = Palette(rng, textures.FACADES)
    light = np.array([rng.uniform(-60, 60), rng.uniform(-90, -30), rng.uniform(30, 90)])
    scene = Scene(light=light, ambient=rng.uniform(0.4, 0.75), sky=rng.uniform([190, 170, 150], [255, 240, 230]))
    far = max(0.9 * width, 6.0)
    scene.free_low, scene.free_high = np.array([-0.2 * width, -far, 0.8]), np.array([1.2 * width, -1.5, 3.0])
    scene.add_quad((-40, 40, 0), (width + 80) * X, -(far + 80) * Y, palette.draw_surface("floor", (1, 5)))
    add_front(scene, rng, palette, width, height)
    if rng.random() < 0.5:
        add_columns(scene, rng, palette, width, height)
    if rng.random() < 0.6:
        add_steps(scene, rng, palette, width)
    add_wings(scene, rng, palette, width, height)
    for _ in range(rng.integers(0, 8)):
        add_statue(scene, rng, palette, np.array([rng.uniform(0, width), rng.uniform(-0.5 * far, -0.6), 0.0]))
    return scene


def add_front(scene: Scene, rng: Generator, palette: Palette, width: float, height: float) -> None:
    """Add a wall with openings in bays and storeys."""
    storeys, count = max(1, round(height / rng.uniform(2.8, 4.5))), max(1, round(width / rng.uniform(1.8, 4.0)))
    storey, bay = height / storeys, width / count
    opening = np.array([bay * rng.uniform(0.3, 0.7), storey * rng.uniform(0.4, 0.7)])
    bays = Bays(count, bay, storey, opening)
    recess = rng.uniform(0.08, 0.6)
    wall, trim = palette.draw_surface("wall", (1, 4), glossy=0.0), palette.draw_surface("object", (0.5, 2))
    balconies, frames, cornice = rng.random() < 0.4, rng.random() < 0.6, rng.random() < 0.6
    sill = (storey - opening[1]) * rng.uniform(0.3, 0.7)
    for level in range(storeys):
        bottom = level * storey
        doors = level == 0 and rng.random() < 0.6
        add_wall_row(scene, wall, bays, bottom, 0.0 if doors else sill)
        for number in range(count):
            x = number * bay + (bay - opening[0]) / 2
            z = bottom + (0.0 if doors else sill)
            add_opening(scene, palette, wall, x, z, opening, recess)
            if frames:
                add_frame(scene, rng, trim, x, z, opening)
            if balconies and level > 0:
                add_balcony(scene, rng, palette, x, z, opening[0])
        if cornice:
            bulge = rng.uniform(0.05, 0.3)
            scene.add_box((width / 2, -bulge / 2, bottom + storey), (width + 0.2, bulge, rng.uniform(0.1, 0.3)), trim)


def add_wall_piece(scene: Scene, surface: Surface, x: float, z: float, width: float, height: float) -> None:
    """Add a piece of wall facing -y with lower left corner (x, z); its texture continues from piece to piece."""
    if width > 1e-3 and height > 1e-3:
        start = (x / surface.meters, -(z + height) / surface.meters)
        scene.add_quad((x, 0.0, z + height), width * X, -height * Z, surface, start)


def add_wall_row(scene: Scene, wall: Surface, bays: Bays, bottom: float, sill: float) -> None:
    """Add one storey of wall around its openings, which begin at a height `sill` above its bottom."""
    across, up = bays.opening
    width, gap = bays.count * bays.width, bays.width - across
    add_wall_piece(scene, wall, 0, bottom, width, sill)
    add_wall_piece(scene, wall, 0, bottom + sill + up, width, bays.height - sill - up)
    for number in range(bays.count + 1):
        left = max(number * bays.width - gap / 2, 0)
        right = min(number * bays.width + gap / 2, width)
        add_wall_piece(scene, wall, left, bottom + sill, right - left, up)


def add_opening(
    scene: Scene, palette: Palette, wall: Surface, x: float, z: float, opening: NDArray, recess: float
) -> None:
    """Add the four reveals of a window or door, and the pane at their end."""
    w, h = opening
    pane = palette.draw_surface("print" if palette.rng.random() < 0.6 else "object", (1, 2), glossy=0.6)
    scene.add_quad((x, recess, z + h), w * X, -h * Z, pane)
    scene.add_quad((x, 0, z + h), recess * Y, -h * Z, wall)
    scene.add_quad((x + w, recess, z + h), -recess * Y, -h * Z, wall)
    scene.add_quad((x, recess, z), w * X, -recess * Y, wall)
    scene.add_quad((x, 0, z + h), w * X, recess * Y, wall)
    if palette.rng.random() < 0.5:
        bar = palette.draw_surface("object", (0.2, 1))
        scene.add_box((x + w / 2, recess - 0.04, z + h / 2), (0.05, 0.05, h), bar)
        scene.add_box((x + w / 2, recess - 0.04, z + h * 0.6), (w, 0.05, 0.05), bar)


def add_frame(scene: Scene, rng: Generator, trim: Surface, x: float, z: float, opening: NDArray) -> None:
    """Add a raised border around an opening."""
    w, h = opening
    border, bulge = rng.uniform(0.06, 0.15), rng.uniform(0.02, 0.1)
    scene.add_box((x - border / 2, -bulge / 2, z + h / 2), (border, bulge, h), trim)
    scene.add_box((x + w + border / 2, -bulge / 2, z + h / 2), (border, bulge, h), trim)
    scene.add_box((x + w / 2, -bulge / 2, z + h + border / 2), (w + 2 * border, bulge, border), trim)


def add_balcony(scene: Scene, rng: Generator, palette: Palette, x: float, z: float, width: float) -> None:
    """Add a slab with a railing of thin bars."""
    depth, rail = rng.uniform(0.4, 1.2), 0.9
    stone = palette.draw_surface("object", (0.5, 2))
    scene.add_box((x + width / 2, -depth / 2, z - 0.1), (width + 0.4, depth, 0.15), stone)
    scene.add_box((x + width / 2, -depth, z + rail), (width + 0.4, 0.05, 0.05), stone)
    for bar in np.linspace(x - 0.18, x + width + 0.18, 5):
        scene.add_box((bar, -depth, z + rail / 2), (0.03, 0.03, rail), stone)


def add_columns(scene: Scene, rng: Generator, palette: Palette, width: float, height: float) -> None:
    """Add a row of columns, each of two boxes turned by 45 degrees: eight-sided."""
    stone = palette.draw_surface("wall", (0.8, 2))
    side, tall, out = rng.uniform(0.2, 0.8), height * rng.uniform(0.4, 1.0), rng.uniform(0.5, 2.5)
    turned = np.array([[1, -1, 0], [1, 1, 0], [0, 0, np.sqrt(2)]]) / np.sqrt(2)
    for x in np.linspace(0.1, 0.9, int(rng.integers(2, 7))) * width:
        for rotation in (np.eye(3), turned):
            scene.add_box((x, -out, tall / 2), (side, side, tall), stone, rotation)
        scene.add_box((x, -out, tall), (1.5 * side, 1.5 * side, 0.2), stone)
    scene.add_box((width / 2, -out / 2, tall + 0.3), (width * 0.9, out, 0.4), stone)


def add_steps(scene: Scene, rng: Generator, palette: Palette, width: float) -> None:
    """Add stairs up to the wall."""
    stone = palette.draw_surface("floor", (0.8, 2))
    count, x, length = int(rng.integers(2, 7)), rng.uniform(0.3, 0.7) * width, width * rng.uniform(0.2, 0.8)
    for number in range(count):
        depth = 0.3 * (count - number)
        scene.add_box((x, -depth / 2, 0.16 * number + 0.08), (length, depth, 0.16), stone)


def add_wings(scene: Scene, rng: Generator, palette: Palette, width: float, height: float) -> None:
    """Add neighbouring houses, set back, in line or standing out."""
    palette.add_texture("far", textures.draw_windows)
    for x, side in ((0.0, -1), (width, 1)):
        extent = np.array([rng.uniform(5, 20), 12, height * rng.uniform(0.5, 1.3)])
        setback = rng.uniform(-3, 4)
        centre = (x + side * (extent[0] / 2 + 0.01), 6 + setback, extent[2] / 2)
        scene.add_box(centre, extent, palette.draw_surface("far", (4, 12), glossy=0.0))


def add_statue(scene: Scene, rng: Generator, palette: Palette, place: NDArray) -> None:
    """Add a pedestal and a heap of tumbled blocks."""
    base = rng.uniform([0.4, 0.4, 0.2], [1.0, 1.0, 1.2])
    stone = palette.draw_surface("wall", (0.5, 2))
    scene.add_box(place + base[2] / 2 * Z, base, stone, random_rotation(rng, upright=True))
    for _ in range(rng.integers(1, 8)):
        where = place + (base[2] + rng.uniform(0, 1.0)) * Z + rng.normal(0, 0.2, 3)
        scene.add_box(where, rng.uniform(0.1, 0.6, 3), stone, random_rotation(rng))
