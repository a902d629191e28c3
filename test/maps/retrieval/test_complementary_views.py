"""References that show what the nearest do not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from small_maps import CAMERAS, features_of, names, view_at, write_map
from worlds import rigid_of

from deviloc_ros.config import RetrievalConfig
from deviloc_ros.maps.retrieval.complementary_views import TURN_DEG, ZOOM, choose_complementary, predict_shown
from deviloc_ros.maps.store import Map
from deviloc_ros.types import Landmarks, Prior

CAMERA = CAMERAS[0]
HERE = rigid_of([0, 0, 0], [0, 0, 0])


def shown(points, centre, cam_from_world=HERE) -> float:
    """Share of the points that should be matched, wherever in the image."""
    return float(predict_shown([np.array(points, float)], np.array([centre], float), cam_from_world, CAMERA).sum())


def test_a_view_from_the_same_place_shows_what_lies_in_the_image():
    assert shown([[0, 0, 2], [0.5, 0.5, 3]], [0, 0, 0]) == pytest.approx(1)
    assert shown([[0, 0, 2], [5, 0, 2], [0, 0, -2], [0, -5, 2]], [0, 0, 0]) == pytest.approx(0.25)
    assert shown(np.zeros((0, 3)), [0, 0, 0]) == shown([[0, 0, 0]], [0, 0, 0]) == 0  # nothing; a point in the camera


def test_what_is_seen_from_aside_or_at_another_distance_is_shown_less():
    turn = np.deg2rad(TURN_DEG)
    aside = 2 * np.array([np.sin(turn), 0, 1 - np.cos(turn)])  # as far from the point, seen turned
    assert shown([[0, 0, 2]], aside) == pytest.approx(np.exp(-1))
    for distance in (2 * ZOOM, 2 / ZOOM):
        assert shown([[0, 0, 2]], [0, 0, 2 - distance]) == pytest.approx(np.exp(-1))
    assert shown([[0, 0, 2]], [0, 0, 4]) < 1e-6  # from behind


def test_points_count_where_they_lie_in_the_image():
    cells = predict_shown([np.array([[-1.1, -0.8, 2], [1.1, 0.8, 2]])], np.zeros((1, 3)), HERE, CAMERA)
    assert np.flatnonzero(cells).tolist() == [0, 47] and cells.shape == (1, 48)


def test_after_the_nearest_come_those_that_show_something_else():
    left, right, little = [0.9, 0.0], [0.0, 0.5], [0.0, 0.1]
    assert choose_complementary(np.array([left, left, left, little, right]), 4, nearest=2) == [0, 1, 4, 2]
    assert choose_complementary(np.array([little, left, left, right]), 2, nearest=0) == [1, 3]


def test_where_nothing_is_shown_the_nearest_are_taken():
    assert choose_complementary(np.zeros((5, 48)), 3, nearest=1) == [0, 1, 2]


@given(
    shares=arrays(float, st.tuples(st.integers(1, 8), st.just(4)), elements=st.floats(0, 1)),
    count=st.integers(1, 10),
    nearest=st.integers(0, 10),
)
def test_views_are_taken_once_and_fewer_are_the_first_of_more(shares, count, nearest):
    taken = choose_complementary(shares, count, nearest)
    assert len(taken) == len(set(taken)) == min(count, len(shares))
    assert taken[:nearest] == list(range(len(taken)))[:nearest]
    assert choose_complementary(shares, count + 1, nearest)[: len(taken)] == taken


@pytest.fixture(scope="module")
def corridor(tmp_path_factory) -> Map:
    """Six views close to each other that see the left of a wall 4 m ahead, then two farther off that see its right."""
    left = Landmarks.without_stds(
        np.array([0, 1, 2]), np.zeros((3, 2)), np.array([[0, 0, 4], [-1, 0, 4], [-1.5, 0.5, 4]])
    )
    right = Landmarks.without_stds(
        np.array([0, 3, 4]), np.zeros((3, 2)), np.array([[0, 0, 4], [1, 0, 4], [1.5, 0.5, 4]])
    )
    views = [(view_at(f"left {n}", 1, 0.05 * n)[0], left) for n in range(6)]
    views += [(view_at(f"right {n}", 1, 0.6 + 0.1 * n)[0], right) for n in range(2)]
    folder = tmp_path_factory.mktemp("corridor") / "corridor.map"
    write_map(folder, views)
    return Map.open(folder)


def test_near_a_prior_the_other_side_of_what_the_query_sees_is_found(corridor):
    def found(nearest: int) -> list[str]:
        config = RetrievalConfig(references=4, nearest=nearest)
        return names(corridor.nearby_views(features_of(1, 7), CAMERA, Prior(HERE), config))

    assert found(4) == [f"left {n}" for n in range(4)]
    assert found(2) == ["left 0", "left 1", "right 0", "right 1"]


def test_what_a_view_sees_is_read_once(corridor, monkeypatch):
    read, reading = [], Map.landmarks_of

    def noting(self, number):
        read.append(number)
        return reading(self, number)

    monkeypatch.setattr(Map, "landmarks_of", noting)
    opened = Map.open(corridor.folder)
    for _ in range(2):
        opened.nearby_views(features_of(1, 7), CAMERA, Prior(HERE), RetrievalConfig(references=4))
    assert sorted(read) == list(range(8))
