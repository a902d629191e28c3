"""Build a court between four house fronts, and a walk through it: a wide-baseline scene outdoors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pycolmap
from numpy.random import Generator
from numpy.typing import NDArray

from deviloc_ros.synthetic import facade, textures
from deviloc_ros.synthetic.materials import Palette
from deviloc_ros.synthetic.scene import Scene, rotation_about_z
from deviloc_ros.synthetic.trajectory import look_at

X, Y = np.eye(3)[:2]
SIDE_M = 30.0  # between two fronts that face each other
HEIGHT_M = (9.0, 15.0)
WALLS = (textures.draw_bricks, textures.draw_noise, textures.draw_tiles)  # each strongly textured
STATUES = 6
STATUES_M = 5.0  # at most from the middle, so that they stand before every front
EYE_M, AIM_M = 1.6, 4.5  # heights of the camera, and of what it looks at
WALK_M, WALK_RAD = 9.0, np.deg2rad(270)  # radius of the arc that is walked, and how much of the circle it is
BEYOND_M = 6.0  # what the camera looks at lies so far on the other side of the middle
SWAY_M, SWAY_RAD = 0.5, 0.15  # of where people stand, and of where they look


def make_court(rng: Generator) -> Scene:
    """Make a square court of SIDE_M, its middle at the origin: windows, doors, columns, steps, and things before them.

    It looks the same whether photographs are in use or not.
    """
    court = Scene(light=np.array([40.0, -60.0, 80.0]), ambient=0.6)
    half = SIDE_M / 2
    court.free_low, court.free_high = np.array([-half, -half, EYE_M]), np.array([half, half, EYE_M])
    ground = Palette(rng, WALLS, photographs=False)
    court.add_quad((-half, half, 0), SIDE_M * X, -SIDE_M * Y, ground.draw_surface("floor", (2, 5), glossy=0.0))
    for side in range(4):
        rotation = rotation_about_z(-np.pi / 2 * side)
        add_scene(court, make_front(rng), rotation, rotation @ [-half, half, 0])
    for place in rng.uniform(-STATUES_M, STATUES_M, (STATUES, 2)):
        facade.add_statue(court, rng, ground, np.array([*place, 0.0]))
    return court


def make_front(rng: Generator) -> Scene:
    """Make one front of SIDE_M along x, facing -y, of materials of its own."""
    front, palette, height = Scene(), Palette(rng, WALLS, photographs=False), float(rng.uniform(*HEIGHT_M))
    facade.add_front(front, rng, palette, SIDE_M, height)
    if rng.random() < 0.5:
        facade.add_columns(front, rng, palette, SIDE_M, height)
    facade.add_steps(front, rng, palette, SIDE_M)
    return front


def add_scene(scene: Scene, part: Scene, rotation: NDArray, offset: NDArray) -> None:
    """Add what another scene holds, turned and moved: a point p of it comes to lie at rotation @ p + offset."""
    for quad in part.quads:
        edges = {"edge_u": rotation @ quad.edge_u, "edge_v": rotation @ quad.edge_v}
        scene.quads.append(replace(quad, origin=rotation @ quad.origin + offset, **edges))
    for solid in part.solids:
        scene.solids.append(replace(solid, centre=rotation @ solid.centre + offset, axes=solid.axes @ rotation.T))
    scene.forget_frames()


def walk_around(rng: Generator, count: int) -> list[pycolmap.Rigid3d]:
    """Return the poses of photographs on an arc around the middle of the court, each across to the other side."""
    poses = []
    for angle in np.linspace(0, WALK_RAD, count):
        outward = np.array([np.cos(angle), np.sin(angle), 0.0])
        turned = angle + rng.normal(0, SWAY_RAD)
        aim = np.array([-BEYOND_M * np.cos(turned), -BEYOND_M * np.sin(turned), AIM_M])
        centre = WALK_M * outward + [*rng.normal(0, SWAY_M, 2), EYE_M]
        poses.append(look_at(centre, aim, rng.normal(0, 0.03)))
    return poses
