"""Poses that bend like odometry become straight again, in their frame and at their scale; what cannot be is said."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from rooms import QUIET
from worlds import rigid_of

from deviloc_ros.geometry import rotation_distance_deg, transform_points, translation_distance_m
from deviloc_ros.maps.store import Map
from deviloc_ros.sfm.matches import (
    Keypoints,
    MatchGraph,
    extract_sift_keypoints,
    find_lookalike_pairs,
    match_sift_features,
)
from deviloc_ros.sfm.refine import RefinementError, find_contradicted, refine_poses, select_largest_group
from deviloc_ros.sources.base import PosedImage


@pytest.fixture(scope="module")
def keypoints(room):
    return extract_sift_keypoints(room.images, QUIET)


@pytest.fixture(scope="module")
def bent(room) -> list[PosedImage]:
    """The room's views, each turned and moved a little more than the one before."""
    return [
        replace(
            image, cam_from_world=rigid_of(n * np.array([0.002, 0.004, 0.0]), [0.005 * n, 0, 0]) * image.cam_from_world
        )
        for n, image in enumerate(room.images)
    ]


@pytest.fixture(scope="module")
def refined(bent, keypoints):
    return refine_poses(bent, keypoints, QUIET)


def errors(images, true) -> np.ndarray:
    """(V, 2) m and deg."""
    return np.array(
        [
            [f(a.cam_from_world, b.cam_from_world) for f in (translation_distance_m, rotation_distance_deg)]
            for a, b in zip(images, true, strict=True)
        ]
    )


def test_bent_poses_are_straightened_where_they_are(refined, bent, room):
    images, report = refined
    before, after = errors(bent, room.images), errors(images, room.images)
    assert after[-1, 0] < 0.5 * before[-1, 0] and after[-1, 1] < 0.3 * before[-1, 1]
    assert after[0, 0] < 0.01 and after[0, 1] < 0.3
    assert report.views == 7 and not report.carried
    assert report.error_after_px < 0.5 * report.error_before_px
    assert report.moved_most_m >= report.moved_median_m > 0
    assert str(report).startswith("7 of 7 refined over ")


def test_landmarks_fit_the_refined_poses(refined):
    for image in refined[0]:
        projected = image.camera.project(transform_points(image.cam_from_world, image.landmarks.points_in_world))
        assert np.median(np.linalg.norm(projected - image.landmarks.keypoints, axis=1)) < 1


def test_a_view_without_matches_follows_its_neighbour(bent, keypoints, room):
    blind = keypoints.features["view-3.png"]
    blind = replace(blind, keypoints=blind.keypoints[:0], descriptors=blind.descriptors[:0])
    alone = Keypoints(keypoints.features | {"view-3.png": blind}, match_sift_features)
    images, report = refine_poses(bent, alone, QUIET)
    assert report.carried == ("view-3.png",) and "moved with their neighbours only: view-3.png" in str(report)
    given = [bent[3].cam_from_world * bent[n].cam_from_world.inverse() for n in (2, 4)]
    kept = [images[3].cam_from_world * images[n].cam_from_world.inverse() for n in (2, 4)]
    assert min(rotation_distance_deg(a, b) for a, b in zip(given, kept, strict=True)) < 1e-6


def test_views_that_share_nothing_are_not_refined_and_the_map_says_so(room, tmp_path):
    with pytest.raises(RefinementError, match="3 views linked by matches are needed, there are 2 of 2"):
        refine_poses(room.images[:2], extract_sift_keypoints(room.images[:2], QUIET), QUIET)
    report = room.build(tmp_path / "a.map", images=room.images[:2], refine=True, graph=None)
    assert report.notes["poses"].startswith(
        "as given, they could not be refined: 3 views linked by matches are needed, there are 2 of 2"
    )
    assert Map.open(tmp_path / "a.map").manifest.provenance.notes["poses"] == report.notes["poses"]


def test_images_of_nothing_link_nothing(room, tmp_path):
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((240, 320), np.uint8))
    images = [replace(image, path=tmp_path / "black.png") for image in room.images[:3]]
    keypoints = extract_sift_keypoints(images, QUIET)
    assert find_lookalike_pairs(keypoints, 5) == []
    with pytest.raises(RefinementError, match="3 views linked by matches are needed, there are 1 of 3"):
        refine_poses(images, keypoints, QUIET)


def test_steps_that_odometry_contradicts_are_named(room):
    torn = [
        replace(image, cam_from_world=rigid_of([0, 0, 0], [2.0 * (n > 3), 0, 0]) * image.cam_from_world)
        for n, image in enumerate(room.images)
    ]
    assert find_contradicted(room.images, torn) == ("view-4.png",)
    assert find_contradicted(room.images, room.images) == find_contradicted(room.images[:1], torn[:1]) == ()


def test_pairs_are_in_the_order_of_the_images(keypoints):
    backwards = Keypoints(dict(reversed(keypoints.features.items())), match_sift_features)
    assert all(a > b for a, b in find_lookalike_pairs(backwards, 2))  # as all other pairs, so that none comes twice


def test_the_largest_group_is_refined(room):
    rows = np.zeros((20, 2), int)
    names = [image.name for image in room.images]
    graph = MatchGraph(
        matches={(names[a], names[b]): rows for a, b in ((0, 1), (2, 3), (3, 5), (1, 6), (5, 2), (3, 4))}
    )
    graph.matches[names[0], names[2]] = rows[:0]
    assert [image.name for image in select_largest_group(room.images, graph)] == names[2:6]
