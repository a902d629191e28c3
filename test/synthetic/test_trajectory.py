"""Cameras stand where cameras can stand, and paths are smooth."""

from itertools import pairwise

import numpy as np

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import rotation_distance_deg, translation_distance_m
from deviloc_ros.synthetic.room import make_room
from deviloc_ros.synthetic.scene import Scene
from deviloc_ros.synthetic.trajectory import MIN_CLEARANCE_M, make_smooth_path, sample_views_of_a_place

CAMERA = Camera("SIMPLE_PINHOLE", 320, 240, (280.0, 159.5, 119.5))


def furnished_room(seed: int) -> Scene:
    return make_room(np.random.default_rng(seed))


def test_a_path_is_smooth_and_clear_of_everything():
    scene = furnished_room(4)
    beside = (scene.free_low + scene.free_high) / 2 + np.array([0, 10, 0])
    poses = make_smooth_path(scene, np.random.default_rng(0), 200, beside)
    steps = [translation_distance_m(a, b) for a, b in pairwise(poses)]
    turns = [rotation_distance_deg(a, b) for a, b in pairwise(poses)]
    assert max(steps) < 0.4 and max(turns) < 10
    assert min(scene.clearance_m(pose.tgt_origin_in_src()) for pose in poses) > MIN_CLEARANCE_M


def test_views_of_a_place_are_different_places_in_free_space():
    scene = furnished_room(5)
    poses = sample_views_of_a_place(scene, CAMERA, np.random.default_rng(1), 5)
    assert len(poses) == 5
    for number, pose in enumerate(poses):
        centre = pose.tgt_origin_in_src()
        assert scene.clearance_m(centre) > MIN_CLEARANCE_M
        assert np.all(centre >= scene.free_low - 1e-9) and np.all(centre <= scene.free_high + 1e-9)
        assert all(translation_distance_m(pose, other) > 1e-3 for other in poses[:number])


def test_a_point_inside_a_solid_has_no_clearance():
    scene = furnished_room(4)
    assert scene.clearance_m(scene.solids[0].centre) < 0
