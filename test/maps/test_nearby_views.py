"""Which views a query is matched with where walls stand between them, in maps whose places share nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_maps import CAMERAS, write_map
from worlds import rigid_of

from deviloc_ros.config import RetrievalConfig
from deviloc_ros.maps.manifest import StoredFile
from deviloc_ros.maps.store import Map
from deviloc_ros.types import Features, Landmarks, Lifted, Prior, ReferenceView

KEYPOINTS = 60
BACKWARDS = [0, np.pi, 0]


def features_of(place: int, seed: int) -> Features:
    """Keypoints of a place as seen once: descriptors of that place, with noise."""
    of_place = torch.randn(KEYPOINTS, 64, generator=torch.Generator().manual_seed(place))
    noise = torch.randn(KEYPOINTS, 64, generator=torch.Generator().manual_seed(1000 + seed))
    descriptors = torch.nn.functional.normalize(of_place + 0.3 * noise, dim=1)
    keypoints = torch.rand(KEYPOINTS, 2, generator=torch.Generator().manual_seed(seed))
    return Features(keypoints, descriptors, torch.ones(KEYPOINTS), torch.ones(KEYPOINTS), (320, 240))


def view_at(name: str, place: int, x: float, turned=(0, 0, 0)) -> tuple[ReferenceView, Landmarks]:
    """A view from (x, 0, 0), looking along z unless turned; it observes landmarks of its place."""
    cam_from_world = rigid_of(turned, [0, 0, 0]) * rigid_of([0, 0, 0], [-x, 0, 0])
    lifted = Lifted(np.zeros((KEYPOINTS, 3)), np.ones(KEYPOINTS), np.ones(KEYPOINTS))
    view = ReferenceView(name, CAMERAS[0], cam_from_world, features_of(place, sum(map(ord, name))), lifted)
    return view, Landmarks(np.arange(10) + 100 * place, np.zeros((10, 2)), np.zeros((10, 3)))


def at(x: float, turned=(0, 0, 0)) -> Prior:
    return Prior(rigid_of(turned, [0, 0, 0]) * rigid_of([0, 0, 0], [-x, 0, 0]), radius_m=20)


def names(found) -> list[str]:
    return [view.name for view in found]


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
    found = two_rooms.nearby_views(features_of(place, 7), at(x), RetrievalConfig(references=4))
    assert names(found) == [f"{room} {n}" for n in range(4)]  # the nearest first


def test_where_the_place_has_too_few_views_the_others_follow(two_rooms):
    found = names(two_rooms.nearby_views(features_of(2, 7), at(0.1), RetrievalConfig(references=8)))
    assert found == [f"right {n}" for n in range(5)] + [f"left {n}" for n in range(3)]


@pytest.mark.parametrize(("place", "way"), [(1, "ahead"), (2, "back")])
@pytest.mark.parametrize("turned", [(0, 0, 0), (0, np.pi / 2, 0)])
def test_of_cameras_back_to_back_those_that_see_the_query_are_taken(tmp_path, place, way, turned):
    """Whichever way the prior looks."""
    ahead = [view_at(f"ahead {n}", 1, 0.1 * n) for n in range(3)]
    write_map(tmp_path / "a.map", ahead + [view_at(f"back {n}", 2, 0.1 * n, BACKWARDS) for n in range(3)])
    opened = Map.open(tmp_path / "a.map")
    found = opened.nearby_views(features_of(place, 7), at(0, turned), RetrievalConfig(references=3))
    assert {name.split()[0] for name in names(found)} == {way}


def test_in_one_place_the_nearest_are_taken_whatever_they_look_like(tmp_path):
    write_map(tmp_path / "a.map", [view_at(f"view {n}", 1, float(n)) for n in range(6)])
    opened = Map.open(tmp_path / "a.map")
    found = opened.nearby_views(features_of(9, 7), at(2.1), RetrievalConfig(references=3))
    assert names(found) == ["view 2", "view 3", "view 1"]


def test_large_views_are_not_read_only_to_be_looked_at(tmp_path):
    """Those with a fine map, of which the first is said to be one."""
    write_map(tmp_path / "a.map", [view_at(f"view {n}", 1, float(n)) for n in range(8)])
    opened = Map.open(tmp_path / "a.map")
    opened.records[0] = replace(opened.records[0], dense=StoredFile("views/dense.safetensors", ""))
    found = opened.nearby_views(features_of(1, 7), at(7), RetrievalConfig(references=3))  # nine would include the first
    assert names(found) == ["view 7", "view 6", "view 5"]
