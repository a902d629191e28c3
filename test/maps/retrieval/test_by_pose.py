"""Near by pose, or alike by descriptor."""

import numpy as np
import pytest
import torch
from rooms import room_matcher
from worlds import rigid_of

from deviloc_ros.config import RetrievalConfig
from deviloc_ros.imaging import read_gray, to_gray
from deviloc_ros.maps.retrieval.by_pose import centres_and_axes, distances_and_angles, nearest_by_pose
from deviloc_ros.maps.retrieval.local_similarity import similarities_to
from deviloc_ros.types import Features, Prior

# Cameras on the x axis at 0, 1, 2, 3 m looking along z, and one at the origin looking back.
POSES = [rigid_of([0, 0, 0], [-x, 0, 0]) for x in range(4)] + [rigid_of([0, np.pi, 0], [0, 0, 0])]


def near(prior: Prior, count: int = 10, meters_per_radian: float = 1.0) -> list[int]:
    return nearest_by_pose(*centres_and_axes(POSES), prior, count, meters_per_radian).tolist()


def test_distances_and_angles_are_those_of_the_cameras():
    distances, angles = distances_and_angles(*centres_and_axes(POSES), np.array([1.0, 0, 0]), np.array([0, 0, 1.0]))
    np.testing.assert_allclose(distances, [1, 0, 1, 2, 1], atol=1e-12)
    np.testing.assert_allclose(angles, [0, 0, 0, 0, np.pi], atol=1e-6)


def test_the_nearest_come_first_and_turning_weighs_as_asked():
    here = Prior(rigid_of([0, 0, 0], [0, 0, 0]))
    assert near(here) == [0, 1, 2, 3, 4]
    assert near(here, count=2) == [0, 1]
    assert near(here, meters_per_radian=0.5) == [0, 1, 4, 2, 3]  # half a turn now weighs 1.57 m


def test_views_outside_the_priors_bounds_are_not_searched():
    here = rigid_of([0, 0, 0], [0, 0, 0])
    assert near(Prior(here, radius_m=1.5)) == [0, 1, 4]
    assert near(Prior(here, radius_m=1.5, angle_deg=90)) == [0, 1]
    assert near(Prior(rigid_of([0, 0, 0], [-50, 0, 0]), radius_m=5)) == []


def test_a_rotation_about_the_optical_axis_is_no_distance():
    assert near(Prior(rigid_of([0, 0, 3.0], [0, 0, 0]), angle_deg=1)) == [0, 1, 2, 3]


def test_the_map_finds_its_own_images_by_descriptor(room, room_map):
    matcher = room_matcher("xfeat")
    for image in room.images:
        query = matcher.extract(read_gray(image.path))
        found = room_map.alike_views(query, RetrievalConfig(shortlist=3, references=3))
        assert len(found) == 3 and found[0].name == image.name


def test_a_new_image_finds_a_neighbour_by_descriptor_and_by_pose(room, room_map):
    query = room_matcher("xfeat").extract(to_gray(room.queries[0], room.camera))
    config = RetrievalConfig(references=2)
    near = room_map.nearby_views(query, room.camera, Prior(room.query_poses[0]), config)
    for found in (near, room_map.alike_views(query, config)[:2]):
        assert {view.name for view in found} & {"view-0.png", "view-1.png"}


def test_a_prior_far_from_every_view_finds_none(room, room_map):
    far = Prior(rigid_of([0, 0, 0], [500, 0, 0]), radius_m=10)
    assert room_map.nearby_views(room_map.view(0).features, room.camera, far, RetrievalConfig()) == []


def test_more_references_than_views_are_all_views(room, room_map):
    query = room_map.view(0).features
    prior, config = Prior(room_map.records[0].cam_from_world), RetrievalConfig(references=100)
    assert len(room_map.nearby_views(query, room.camera, prior, config)) == len(room_map)
    assert len(room_map.alike_views(query, config)) == len(room_map)


def descriptors(count: int, seed: int = 0) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(count, 64, generator=torch.Generator().manual_seed(seed)), dim=1)


def features(vectors: torch.Tensor) -> Features:
    count = len(vectors)
    return Features(torch.zeros(count, 2), vectors, torch.ones(count), torch.ones(count, 2), (320, 240))


def test_what_shares_sure_matches_is_more_alike_than_what_shares_nothing():
    query, others = descriptors(200, 1), descriptors(200, 2)
    some = torch.cat([query[:50] + 0.02 * others[:50], others[50:]])
    nothing = features(torch.zeros(0, 64))
    likeness = similarities_to(features(query), [features(others), features(some), features(query), nothing])
    assert likeness.argsort().tolist() == [3, 0, 1, 2]
    assert likeness[3] == 0 and likeness[2] == pytest.approx(200, rel=1e-3) and likeness[1] > 40


def test_views_with_a_similar_global_descriptor_are_told_apart_by_their_local_ones(room, room_map):
    """The shortlist may be the whole map: what decides is which keypoints come again."""
    query = room_map.view(3).features
    found = room_map.alike_views(query, RetrievalConfig(references=1, shortlist=len(room_map)))
    assert found[0].name == room_map.records[3].name
    assert len(room_map.alike_views(query, RetrievalConfig(references=3, shortlist=1))) == 3
