"""Build streets: two rows of houses, parked vehicles, poles, signs and bushes."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from deviloc_ros.synthetic import textures
from deviloc_ros.synthetic.materials import Palette
from deviloc_ros.synthetic.scene import Scene, random_rotation

X, Y, Z = np.eye(3)


def make_street(rng: Generator) -> Scene:
    """Make a street of 10 to 60 m along x, 6 to 20 m wide, with cameras on its roadway."""
    length = float(np.exp(rng.uniform(np.log(10), np.log(60))))
    half = rng.uniform(3, 10)
    palette = Palette(rng, textures.FACADES)
    for _ in range(3):
        palette.add_texture("house", textures.draw_windows)
    palette.add_texture("house", textures.draw_bricks)
    light = np.array([rng.uniform(-60, 100), rng.uniform(-50, 50), rng.uniform(30, 90)])
    scene = Scene(light=light, ambient=rng.uniform(0.4, 0.75), sky=rng.uniform([190, 170, 150], [255, 240, 230]))
    scene.free_low, scene.free_high = np.array([-2, -0.5 * half, 1.0]), np.array([0.6 * length, 0.5 * half, 2.2])
    scene.add_quad((-60, half + 60, 0), (length + 160) * X, -2 * (half + 60) * Y, palette.draw_surface("floor", (2, 8)))
    for side in (-1, 1):
        add_pavement(scene, rng, palette, side, half, length)
        add_houses(scene, rng, palette, side, half, length)
        add_poles(scene, rng, palette, side, half, length)
        add_vehicles(scene, rng, palette, side, half, length)
    if rng.random() < 0.6:
        extent = np.array([10, 4 * half, rng.uniform(4, 20)])
        scene.add_box((length + 10, 0, extent[2] / 2), extent, palette.draw_surface("house", (4, 12), glossy=0.0))
    return scene


def add_pavement(scene: Scene, rng: Generator, palette: Palette, side: int, half: float, length: float) -> None:
    """Add a kerb and the walk behind it."""
    wide = rng.uniform(0.15, 0.35) * half
    centre = (length / 2 - 10, side * (half - wide / 2), 0.06)
    scene.add_box(centre, (length + 60, wide, 0.12), palette.draw_surface("floor", (1, 3)))


def add_houses(scene: Scene, rng: Generator, palette: Palette, side: int, half: float, length: float) -> None:
    """Add a row of houses with doors, bays and signs standing out of their fronts."""
    x = -12.0
    while x < length + 12:
        extent = np.array([rng.uniform(4, 14), 10, rng.uniform(3, 16)])
        front = half + rng.uniform(0, 1.5)
        surface = palette.draw_surface("house" if rng.random() < 0.7 else "wall", (3, 10), glossy=0.0)
        scene.add_box((x + extent[0] / 2, side * (front + 5), extent[2] / 2), extent, surface)
        for _ in range(rng.integers(0, 6)):
            size = rng.uniform([0.4, 0.05, 0.3], [2.5, 0.9, 2.2])
            where = (x + rng.uniform(0.1, 0.9) * extent[0], side * (front - size[1] / 2), rng.uniform(0.5, extent[2]))
            scene.add_box(where, size, palette.draw_surface("print" if rng.random() < 0.5 else "object", glossy=0.3))
        x += extent[0] + (rng.uniform(0.5, 6) if rng.random() < 0.3 else 0.01)


def add_poles(scene: Scene, rng: Generator, palette: Palette, side: int, half: float, length: float) -> None:
    """Add lamp posts, road signs, bollards and bushes along the kerb."""
    for x in np.arange(rng.uniform(0, 4), length + 5, rng.uniform(3, 15)):
        y, kind = side * half * rng.uniform(0.7, 0.85), rng.choice(["lamp", "sign", "bollard", "bush"])
        metal = palette.draw_surface("object", (0.3, 1))
        if kind == "lamp":
            scene.add_box((x, y, 2.5), (0.12, 0.12, 5), metal)
            scene.add_box((x, y - side * 0.6, 5), (0.15, 1.4, 0.1), metal)
        elif kind == "sign":
            scene.add_box((x, y, 1.3), (0.06, 0.06, 2.6), metal)
            scene.add_box((x, y, 2.4), (0.04, 0.7, 0.6), palette.draw_surface("print", (0.5, 0.8)))
        elif kind == "bollard":
            scene.add_box((x, y, 0.5), (0.2, 0.2, 1.0), metal)
        else:
            leaf = palette.draw_surface("floor", (0.5, 2), glossy=0.0)
            for _ in range(rng.integers(3, 14)):
                where = np.array([x, y, rng.uniform(0.3, 2.2)]) + rng.normal(0, 0.25, 3)
                scene.add_box(where, rng.uniform(0.15, 0.7, 3), leaf, random_rotation(rng))


def add_vehicles(scene: Scene, rng: Generator, palette: Palette, side: int, half: float, length: float) -> None:
    """Add parked vans and cars: a body, a cabin, wheels."""
    x = rng.uniform(0, 6)
    while x < length:
        extent = rng.uniform([3.2, 1.6, 0.7], [5.5, 2.0, 1.1])
        y, paint = (
            side * half * 0.62,
            palette.draw_surface("object" if rng.random() < 0.5 else "print", (1, 5), glossy=0.7),
        )
        scene.add_box((x, y, 0.3 + extent[2] / 2), extent, paint)
        cabin = extent * [rng.uniform(0.4, 0.9), 0.85, rng.uniform(0.6, 1.5)]
        scene.add_box((x, y, 0.3 + extent[2] + cabin[2] / 2), cabin, palette.draw_surface("print", (1, 3), glossy=0.7))
        for wheel in (-0.3, 0.3):
            scene.add_box(
                (x + wheel * extent[0], y, 0.3), (0.6, extent[1] + 0.04, 0.6), palette.draw_surface("object", (0.5, 1))
            )
        x += extent[0] + (rng.uniform(0.5, 3) if rng.random() < 0.6 else rng.uniform(5, 20))
