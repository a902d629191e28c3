"""A rig is one generalized camera: its pose from what all its cameras see, and one camera is the case of one."""

import numpy as np
import pycolmap
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rigs import CAMERAS, CONFIG, look
from worlds import SMALL, random_rigid

from deviloc_ros.geometry import perturb_pose, rotation_distance_deg, translation_distance_m
from deviloc_ros.pose.rig import motion_of_camera, solve_rig
from deviloc_ros.pose.solve import solve_pnp
from deviloc_ros.types import Localized


@given(st.integers(0, 10_000))
def test_the_motion_of_a_camera_is_that_of_its_rig(seed):
    rng = np.random.default_rng(seed)
    rig_from_cam, rig_from_world = random_rigid(rng), random_rigid(rng)
    motion = rng.normal(0, 1e-5, 6)
    moved = rig_from_cam.inverse() * perturb_pose(motion, rig_from_world)
    by_camera = perturb_pose(motion_of_camera(rig_from_cam.inverse()) @ motion, rig_from_cam.inverse() * rig_from_world)
    np.testing.assert_allclose(moved.matrix(), by_camera.matrix(), atol=1e-8)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_a_rig_finds_itself(count, seed):
    rng = np.random.default_rng(seed)
    rig_from_world = random_rigid(rng)
    result = solve_rig([look(rng, c, rig_from_world) for c in CAMERAS[:count]], CONFIG)
    assert isinstance(result, Localized), result
    assert translation_distance_m(result.cam_from_world, rig_from_world) < 0.02
    assert rotation_distance_deg(result.cam_from_world, rig_from_world) < 0.3
    assert result.evidence.inliers > 0.75 * 200 * count


def test_one_camera_is_the_case_of_one():
    rng = np.random.default_rng(1)
    pose = random_rigid(rng)
    seen = look(rng, pycolmap.Rigid3d(), pose)
    rig, alone = solve_rig([seen], CONFIG), solve_pnp(seen.correspondences, SMALL, CONFIG)
    np.testing.assert_allclose(rig.cam_from_world.matrix(), alone.cam_from_world.matrix(), atol=1e-6)
    np.testing.assert_allclose(rig.covariance, alone.covariance, rtol=1e-4, atol=1e-12)
    assert rig.evidence.inliers == alone.evidence.inliers


def test_more_cameras_know_better():
    stds = []
    for count in (1, 2, 3):
        rng = np.random.default_rng(3)
        pose = random_rigid(rng)
        stds.append(np.trace(solve_rig([look(rng, c, pose) for c in CAMERAS[:count]], CONFIG).covariance[:3, :3]))
    assert stds[0] > stds[1] > stds[2]
