"""Which views are matched with each other when a map is built: neighbours, whatever else is in the map."""

from pathlib import Path

import numpy as np
import pytest
from worlds import SMALL, rigid_of

from deviloc_ros.maps.retrieval.by_pose import centres_and_axes
from deviloc_ros.sfm.landmarks import MAX_PAIR_ANGLE_DEG, find_nearby_pairs
from deviloc_ros.sources.base import PosedImage


def views_at(centres, turn_rad: float, name: str = "") -> list[PosedImage]:
    """Views from these places, turned by random angles of this standard deviation."""
    rng = np.random.default_rng(0)
    poses = [rigid_of(rng.normal(0, turn_rad, 3), [0, 0, 0]) * rigid_of([0, 0, 0], -c) for c in np.asarray(centres)]
    return [PosedImage(f"{name}{number:04}", Path(), SMALL, pose) for number, pose in enumerate(poses)]


def street(length: int) -> np.ndarray:
    """(length, 3) places a metre apart."""
    return np.arange(length)[:, None] * [1.0, 0.0, 0.0]


def room(count: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 5, (count, 3))


def distances_m(images: list[PosedImage], pairs) -> np.ndarray:
    centre_of = {image.name: image.cam_from_world.tgt_origin_in_src() for image in images}
    return np.array([np.linalg.norm(centre_of[a] - centre_of[b]) for a, b in pairs])


def test_in_a_long_street_pairs_are_near_however_long_it_is():
    images = views_at(street(400), 0.2)
    longest = [distances_m(images[:length], find_nearby_pairs(images[:length])).max() for length in (50, 400)]
    assert max(longest) < 40


def test_a_place_far_away_changes_nothing():
    here, there = views_at(room(60), 0.5, "here "), views_at(room(60) + np.array([1000, 0, 0]), 0.5, "there ")
    assert find_nearby_pairs(here + there) == sorted(find_nearby_pairs(here) + find_nearby_pairs(there))


@pytest.mark.parametrize(
    "images", [views_at(room(150), 1.5), views_at(np.zeros((40, 3)), 1.0)], ids=["room", "on spot"]
)
def test_pairs_are_the_best_of_all(images):
    """As if each view were compared with every other."""
    count = 5
    centres, axes = centres_and_axes([image.cam_from_world for image in images])
    expected = set()
    for number, centre in enumerate(centres):
        distances, angles = np.linalg.norm(centres - centre, axis=1), np.arccos(np.clip(axes @ axes[number], -1, 1))
        score = distances / max(np.sort(distances)[count], 1e-9) + angles
        score[(angles > np.deg2rad(MAX_PAIR_ANGLE_DEG)) | (np.arange(len(images)) == number)] = np.inf
        best = [other for other in np.argsort(score)[:count] if np.isfinite(score[other])]
        expected |= {tuple(sorted((images[number].name, images[other].name))) for other in best}
    assert find_nearby_pairs(images, count) == sorted(expected)
