"""What stays at its pixel while the camera moves is not of the world, and nothing of the world is taken for it."""

import numpy as np
import pycolmap
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from worlds import SMALL, random_rigid, rigid_of

from deviloc_ros.camera import Camera
from deviloc_ros.pose.still_matches import (
    MUST_MOVE_DEG,
    count_contradictions,
    drop_still_matches,
    measure_angles_by_depth,
    normalize,
)
from deviloc_ros.types import Features, Lifted, Matches, ReferenceView

FISHEYE = Camera("OPENCV_FISHEYE", 320, 240, (160.0, 160.0, 159.5, 119.5, 0.02, -0.01, 0.0, 0.0))
HERE = pycolmap.Rigid3d()


def elsewhere(base, others, pixels) -> np.ndarray:
    return count_contradictions(base, others, pixels, np.ones((len(others), len(pixels)), bool))


@example(1440, 1.0, 2, SMALL)  # near one of the other cameras
@given(st.integers(0, 10_000), st.floats(1.0, 1000.0), st.integers(1, 4), st.sampled_from([SMALL, FISHEYE]))
def test_a_point_of_the_world_that_stays_at_its_pixel_is_known_to_be_able_to(seed, baselines, count, camera):
    """The other cameras are anywhere, but turned so that they see the point at the same pixel."""
    rng = np.random.default_rng(seed)
    pixel = rng.uniform([20, 20], [300, 220])[None]
    ray = normalize(camera.rays(pixel))
    centres = rng.normal(size=(count, 3))
    point = baselines * np.linalg.norm(centres, axis=1).max() * ray
    others = []
    for centre in centres:
        turn = turn_onto(normalize(point - centre)[0], ray[0])
        others.append((camera, pycolmap.Rigid3d(turn, -(turn.matrix() @ centre))))
    assert elsewhere((camera, HERE), others, pixel) == 0


def turn_onto(direction, target) -> pycolmap.Rotation3d:
    """The shortest rotation of one unit vector onto another."""
    axis = np.cross(direction, target)
    angle = np.arctan2(np.linalg.norm(axis), direction @ target)
    return pycolmap.Rotation3d(angle * axis / max(np.linalg.norm(axis), 1e-12))


@given(st.integers(0, 10_000), st.floats(4.0, 40.0))
def test_after_a_turn_about_itself_every_pixel_is_another(seed, turned_deg):
    rng = np.random.default_rng(seed)
    pixels = rng.uniform([0, 0], [319, 239], (50, 2))
    turn = rigid_of([0, np.deg2rad(turned_deg), 0], [0, 0, 0])
    assert (elsewhere((SMALL, HERE), [(SMALL, turn), (SMALL, HERE)], pixels) == 1).all()
    assert MUST_MOVE_DEG < 3


def test_a_pixel_that_two_cameras_explain_by_different_depths_is_contradicted_by_one():
    """Each of them turns about another point on its axis."""
    pixel = SMALL.principal_point[None]
    others = []
    for depth_m in (2.0, 6.0):
        turn = turn_onto(normalize(np.array([[-1.0, 0, depth_m]]))[0], np.array([0, 0, 1.0]))
        others.append((SMALL, pycolmap.Rigid3d(turn, -(turn.matrix() @ [1.0, 0, 0]))))
    assert [elsewhere((SMALL, HERE), [other], pixel)[0] for other in others] == [0, 0]
    assert elsewhere((SMALL, HERE), others, pixel)[0] == 1


@pytest.mark.parametrize(
    "there", [HERE, rigid_of([0, 0, 0], [0, 0, -3.0]), rigid_of([0, 0, 0.0], [0.5, 0, 0])], ids=str
)
def test_a_camera_that_does_not_turn_may_see_what_is_infinitely_far(there):
    pixels = np.random.default_rng(0).uniform([0, 0], [319, 239], (50, 2))
    assert not elsewhere((SMALL, HERE), [(SMALL, there)], pixels).any()


def view_from(cam_from_world, keypoints) -> ReferenceView:
    count = len(keypoints)
    features = Features(
        torch.from_numpy(keypoints), torch.zeros(count, 4), torch.ones(count), torch.ones(count, 2), (320, 240)
    )
    return ReferenceView(
        "view", SMALL, cam_from_world, features, Lifted(np.zeros((count, 3)), np.ones(count), np.ones(count))
    )


def matches_at(keypoints) -> Matches:
    return Matches(keypoints, np.arange(len(keypoints)), np.ones(len(keypoints)))


@given(st.integers(0, 10_000), st.integers(3, 5))
def test_matches_of_the_robot_go_and_those_of_the_world_stay(seed, views):
    rng = np.random.default_rng(seed)
    robot = rng.uniform([60, 160], [260, 239], (40, 2))
    world = rng.uniform([0, 0], [319, 100], (60, 2))
    references, matches = [], []
    for _ in range(views):
        turn = rigid_of(rng.normal(0, 0.3, 3), rng.normal(0, 0.1, 3))
        seen = np.concatenate([robot, world + rng.uniform(20, 60, 2)])
        references.append(view_from(turn, seen))
        matches.append(matches_at(np.concatenate([robot, world]) + rng.normal(0, 0.3, (100, 2))))
    left = [kept.reference_indices for kept in drop_still_matches(matches, references)]
    assert all((rows >= 40).sum() == 60 for rows in left)
    assert np.mean([(rows < 40).mean() for rows in left]) < 0.1  # of a circle about a point, that point stays


def test_a_query_from_the_place_of_a_reference_keeps_its_matches():
    """It stays where it is in that one alone."""
    rng = np.random.default_rng(0)
    seen = rng.uniform([0, 0], [319, 239], (100, 2))
    references = [view_from(HERE, seen), view_from(rigid_of([0, 0.2, 0], [0.1, 0, 0]), seen + np.array([52.0, 0.0]))]
    matches = [matches_at(seen), matches_at(seen)]
    assert [len(kept) for kept in drop_still_matches(matches, references)] == [100, 100]


@pytest.mark.parametrize("count", [0, 1])
def test_few_references_and_no_matches_are_no_error(count):
    nothing = np.zeros((0, 2))
    views = [view_from(random_rigid(np.random.default_rng(0)), nothing)] * count
    assert [len(m) for m in drop_still_matches([matches_at(nothing)] * count, views)] == [0] * count


def test_angles_of_depths_are_those_of_the_points():
    rng = np.random.default_rng(0)
    far, looked_at = (normalize(rng.normal([0, 0, 2], 1, (50, 3))) for _ in range(2))
    baseline, inverse_depths = np.array([0.3, -0.1, 0.2]), np.array([0.0, 0.1, 0.5, 2.0])
    angles, steps = measure_angles_by_depth(far, baseline, inverse_depths, looked_at)
    points = far[:, None] + inverse_depths[:, None] * baseline
    shown = points / np.linalg.norm(points, axis=2, keepdims=True)
    np.testing.assert_allclose(np.cos(angles), (shown * looked_at[:, None]).sum(2), atol=1e-12)
    np.testing.assert_allclose(np.cos(steps[:, :-1]), (shown[:, :-1] * shown[:, 1:]).sum(2), atol=1e-12)
    assert (steps[:, -1] == 0).all()
