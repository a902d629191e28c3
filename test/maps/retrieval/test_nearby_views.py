"""Which views a query is matched with where walls stand between them, in maps whose places share nothing."""

from dataclasses import replace

import numpy as np
import pytest
from small_maps import CAMERAS, features_of, names, view_at, write_map
from worlds import rigid_of

from deviloc_ros.config import RetrievalConfig
from deviloc_ros.maps.manifest import StoredFile
from deviloc_ros.maps.store import Map
from deviloc_ros.types import Prior

BACKWARDS = [0, np.pi, 0]


def at(x: float, turned=(0, 0, 0)) -> Prior:
    return Prior(rigid_of(turned, [0, 0, 0]) * rigid_of([0, 0, 0], [-x, 0, 0]), radius_m=20)


@pytest.fixture(scope="module")
def two_rooms(tmp_path_factory) -> Map:
    """Five views each in two rooms, with a wall at x = 0, all looking the same way."""
    left = [view_at(f"left {n}", 1, -0.3 - 0.5 * n) for n in range(5)]
    right = [view_at(f"right {n}", 2, 0.3 + 0.5 * n) for n in range(5)]
    folder = tmp_path_factory.mktemp("rooms") / "two.map"
    write_map(folder, left + right)
    return Map.open(folder)


@pytest.mark.parametrize(("place", "room"), [(1, "left"), (2, "right")])
@pytest.mark.parametrize("x", [-0.5, 0.0, 0.5])
def test_views_beyond_a_wall_are_not_taken_even_if_the_prior_lies_there(two_rooms, place, room, x):
    found = two_rooms.nearby_views(features_of(place, 7), CAMERAS[0], at(x), RetrievalConfig(references=4))
    assert names(found) == [f"{room} {n}" for n in range(4)]  # the nearest first


def test_where_the_place_has_too_few_views_the_others_follow(two_rooms):
    found = names(two_rooms.nearby_views(features_of(2, 7), CAMERAS[0], at(0.1), RetrievalConfig(references=8)))
    assert found == [f"right {n}" for n in range(5)] + [f"left {n}" for n in range(3)]


@pytest.mark.parametrize(("place", "way"), [(1, "ahead"), (2, "back")])
@pytest.mark.parametrize("turned", [(0, 0, 0), (0, np.pi / 2, 0)])
def test_of_cameras_back_to_back_those_that_see_the_query_are_taken(tmp_path, place, way, turned):
    """Whichever way the prior looks."""
    ahead = [view_at(f"ahead {n}", 1, 0.1 * n) for n in range(3)]
    write_map(tmp_path / "a.map", ahead + [view_at(f"back {n}", 2, 0.1 * n, BACKWARDS) for n in range(3)])
    opened = Map.open(tmp_path / "a.map")
    found = opened.nearby_views(features_of(place, 7), CAMERAS[0], at(0, turned), RetrievalConfig(references=3))
    assert {name.split()[0] for name in names(found)} == {way}


def test_in_one_place_the_nearest_are_taken_whatever_they_look_like(tmp_path):
    write_map(tmp_path / "a.map", [view_at(f"view {n}", 1, float(n)) for n in range(6)])
    opened = Map.open(tmp_path / "a.map")
    found = opened.nearby_views(features_of(9, 7), CAMERAS[0], at(2.1), RetrievalConfig(references=3))
    assert names(found) == ["view 2", "view 3", "view 1"]


def test_large_views_are_not_read_only_to_be_looked_at(tmp_path):
    """Those with a fine map, of which the first is said to be one."""
    write_map(tmp_path / "a.map", [view_at(f"view {n}", 1, float(n)) for n in range(8)])
    opened = Map.open(tmp_path / "a.map")
    opened.records[0] = replace(opened.records[0], dense=StoredFile("views/dense.safetensors", ""))
    config = RetrievalConfig(references=3)  # nine would include the first
    found = opened.nearby_views(features_of(1, 7), CAMERAS[0], at(7), config)
    assert names(found) == ["view 7", "view 6", "view 5"]
