"""The paper's lifting: landmarks near a keypoint, the network elsewhere, and a map that holds what it needs."""

from dataclasses import replace

import numpy as np
import pycolmap
import pytest

from deviloc_ros.config import AggregationConfig, Config
from deviloc_ros.config_fields import change_config, from_dict
from deviloc_ros.evaluation.metrics import compare_to_truth
from deviloc_ros.lifting import create_online_inference
from deviloc_ros.localizer import Localizer
from deviloc_ros.maps.store import Map, MapError
from deviloc_ros.types import Correspondences, Landmarks, MovedMatches, Prior
from deviloc_ros.upstream.aggregation import aggregate_as_published
from deviloc_ros.upstream.lifting import find_observed_points

CONFIG = from_dict(
    Config(),
    {
        "matcher": {"name": "topicfm", "weights": "random", "max_image_side_px": 160},
        "lift": {"method": "upstream", "weights": "random", "max_landmarks": 200, "check_views": 0},
        "aggregation": {"method": "paper", "min_confidence": 0.1},
        "retrieval": {"references": 2, "covisibility_clusters": True},
    },
)


def test_a_keypoint_takes_the_nearest_landmark_within_the_radius():
    landmarks = Landmarks.without_stds(np.arange(2), np.array([[10.0, 10], [11, 10]]), np.eye(3)[:2])
    points, near = find_observed_points(np.array([[10.2, 10], [11, 11.9], [11, 12]]), landmarks, 2.0)
    assert near.tolist() == [True, True, False]
    np.testing.assert_array_equal(points[:2], np.eye(3)[:2])
    assert not find_observed_points(np.zeros((3, 2)), Landmarks.empty(), 2.0)[1].any()


def test_published_aggregation_keeps_confidence_above_the_threshold_and_averages_cells():
    keypoints = np.array([[4.0, 4], [4.4, 4], [40, 4], [80, 4]])
    confidence = np.array([0.9, 0.3, 0.5, 0.1])
    points = np.arange(12.0).reshape(4, 3)
    merged = aggregate_as_published(
        Correspondences(keypoints, points, confidence, np.ones(4), np.array([0, 1, 1, 2]), np.eye(4, 3)),
        AggregationConfig(method="paper", cell_px=2.0, min_confidence=0.1),
    )
    assert len(merged) == 2 and merged.references.tolist() == [0, 1]
    np.testing.assert_array_equal(merged.origins, np.eye(4, 3)[[0, 2]])
    np.testing.assert_allclose(merged.confidence, [0.6, 0.5])
    np.testing.assert_allclose(merged.points_in_world[0], (0.9 * points[0] + 0.3 * points[1]) / 1.2, rtol=1e-5)


@pytest.fixture(scope="module")
def dense_map(room, tmp_path_factory):
    path = tmp_path_factory.mktemp("dense") / "room.map"
    room.build(path, CONFIG, images=room.images[:3], own_matcher=True)
    return Map.open(path)


def test_a_map_stores_what_matching_and_lifting_need(dense_map):
    view = dense_map.view(0)
    assert view.features.descriptors.shape == (20 * 14, 256) and view.features.fine.shape == (128, 56, 80)
    assert len(view.landmarks) == view.tower["points"].shape[1] <= 200 and view.tower["states"].shape[2] == 256
    assert str(view.features.fine.dtype) == "torch.float16"


def test_random_weights_are_lost_or_right(room, dense_map, caplog):
    localizer = Localizer(dense_map)
    result = localizer.localize(room.queries[0], room.camera, Prior(room.query_poses[0]))
    assert not compare_to_truth("query", result, room.query_poses[0]).is_wrong_fix
    assert "not made to localize" in caplog.text
    named = localizer.localize(room.queries[0], room.camera, candidates=["nobody", room.images[1].name])
    assert named.evidence.references == (room.images[1].name,)


def test_where_landmarks_say_nothing_moved_keypoints_have_no_point(dense_map):
    inference, view = create_online_inference(CONFIG.lift, CONFIG.lift), dense_map.view(0)
    at = view.landmarks.keypoints[:3].astype(float)
    moved = MovedMatches(at, at, np.zeros((3, 256), np.float32))
    assert inference.lift_moved(moved, view).confidence.tolist() == [1, 1, 1]
    bare = replace(view, landmarks=Landmarks.empty(), tower={})
    assert inference.lift_moved(moved, bare).confidence.tolist() == [0, 0, 0]
    turned = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0, np.pi, 0])), np.zeros(3)) * view.cam_from_world
    behind = inference.lift_moved(moved, replace(view, cam_from_world=turned, tower={}))
    assert behind.confidence.tolist() == [0, 0, 0] and (behind.depths < 0).all()


def test_a_map_is_bound_to_its_weights_and_method(dense_map):
    other = change_config(dense_map.config, lift={"method": "interpolate"})
    assert Localizer(dense_map, other).inference is None
    with pytest.raises(MapError, match="other weights"):
        dense_map.check_matcher("topicfm", "0" * 64)


def test_the_papers_network_needs_the_papers_matcher(room, tmp_path):
    config = change_config(CONFIG, matcher={"name": "xfeat"})
    with pytest.raises(ValueError, match=r"upstream.*topicfm"):
        room.build(tmp_path / "a.map", config, images=room.images[:2], own_matcher=True)


def test_views_with_few_landmarks_stay_out(room, tmp_path):
    config = from_dict(Config(), {"lift": {"min_landmarks": 100000}})
    with pytest.raises(ValueError, match="min_landmarks = 100000"):
        room.build(tmp_path / "a.map", config, images=room.images[:2], own_matcher=True)
