"""Rounded things are where they say, closed all around, and no camera gets into them."""

import numpy as np
import pytest

from deviloc_ros.camera import Camera
from deviloc_ros.synthetic.render import render_depth
from deviloc_ros.synthetic.room import make_room
from deviloc_ros.synthetic.rounded import SIDES, add_cylinder, add_rounded_things
from deviloc_ros.synthetic.scene import Scene, Surface, Texture, random_rotation
from deviloc_ros.synthetic.trajectory import look_at

CAMERA = Camera("SIMPLE_PINHOLE", 64, 48, (60.0, 31.5, 23.5))
PLAIN = Surface(Texture(np.full((4, 4, 3), 128, np.uint8)))


@pytest.mark.parametrize("seed", range(4))
def test_a_cylinder_is_closed_and_as_wide_as_it_says(seed):
    """Every ray through its middle meets it between the inscribed and the circumscribed cylinder."""
    rng = np.random.default_rng(seed)
    radius, height, rotation = rng.uniform(0.3, 1), rng.uniform(0.5, 2), random_rotation(rng)
    scene = Scene()
    add_cylinder(scene, np.zeros(3), radius, height, PLAIN, rotation)
    for direction in rng.normal(size=(40, 3)):
        direction /= np.linalg.norm(direction)
        depth = render_depth(scene, CAMERA, look_at(6 * direction, np.zeros(3)))[23:25, 31:33]
        along = rotation.T @ direction
        across = np.linalg.norm(along[:2])
        outer = min(radius / max(across, 1e-9), height / 2 / max(abs(along[2]), 1e-9))
        inner = min(radius * np.cos(np.pi / SIDES) / max(across, 1e-9), height / 2 / max(abs(along[2]), 1e-9))
        assert (depth > 0).all()
        assert 6 - outer - 0.1 < depth.min() and depth.max() < 6 - inner + 0.1
    assert scene.clearance_m(np.zeros(3)) < 0


def test_things_are_added_where_cameras_can_see_them():
    rng = np.random.default_rng(1)
    scene = make_room(rng)
    before = len(scene.quads)
    assert len(scene.frames[0]) == before
    for _ in range(5):
        add_rounded_things(scene, rng)
    assert len(scene.quads) > before + 10
    assert len(scene.frames[0]) == len(scene.quads)
