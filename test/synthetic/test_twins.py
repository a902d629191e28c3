"""Places that look alike: what is the same in them is, and what is not, is not."""

import numpy as np
import pytest
from worlds import SMALL

from deviloc_ros.synthetic.render import render_color
from deviloc_ros.synthetic.twins import (
    APART_M,
    MODULE_M,
    ScenePlace,
    drive_along,
    drive_around,
    look_at,
    make_corridor,
    make_mirrored_rooms,
    make_rooms_with_another_poster,
)


def show(place, cam_from_world) -> np.ndarray:
    return render_color(place.scene, SMALL, place.to_place(cam_from_world)).astype(int)


@pytest.mark.parametrize("seed", [3, 5])
def test_two_rooms_differ_by_one_poster(seed):
    rooms = make_rooms_with_another_poster(seed)
    different = 0
    for pose in drive_around(rooms[0], seed, 4, 0.5):
        there = rooms[1].to_world(rooms[0].to_place(pose))
        changed = np.abs(show(rooms[0], pose) - show(rooms[1], there)).max(-1) > 8
        assert changed.mean() < 0.35
        different += changed.any()
        assert np.allclose(there.tgt_origin_in_src() - pose.tgt_origin_in_src(), [APART_M, 0, 0])
    assert different


def test_a_mirrored_room_has_its_furniture_on_the_other_side_and_readable_pictures():
    room, twin = make_mirrored_rooms(3)
    flip = np.array([-1, 1, 1])
    assert np.allclose(
        np.sort(twin.scene.free_low), np.sort(np.minimum(room.scene.free_low * flip, room.scene.free_high * flip))
    )
    assert len(twin.scene.quads) == len(room.scene.quads)
    for one, other in zip(room.scene.quads, twin.scene.quads, strict=True):
        middle = one.origin + (one.edge_u + one.edge_v) / 2
        assert np.allclose(other.origin + (other.edge_u + other.edge_v) / 2, middle * flip)
        assert np.allclose(np.cross(other.edge_u, other.edge_v), np.cross(one.edge_u, one.edge_v) * flip)
        assert np.allclose(other.edge_v, one.edge_v * flip)  # what hangs upright still does


def test_the_doors_of_a_corridor_are_equal_but_where_the_notice_hangs():
    place = ScenePlace(make_corridor(3))
    centre, aim = np.array([4.0, 0.8, 1.1]), np.array([4.2, 1.8, 1.1])
    first = show(place, look_at(centre, aim))
    for doors, same in ((1, True), (2, True), (3, False)):
        along = np.array([MODULE_M * doors, 0, 0])
        other = show(place, look_at(centre + along, aim + along))
        assert (np.abs(first - other).mean() < 2) == same
    assert len(drive_along(place, 2.0, 0.2, 5, np.random.default_rng(0))) == 5
