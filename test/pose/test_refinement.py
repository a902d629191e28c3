"""Each step of the refinement leads down, and near the minimum it is Newton's."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import PINHOLE, world

from deviloc_ros.config import PoseConfig
from deviloc_ros.geometry import perturb_pose
from deviloc_ros.pose.refinement import WIDENINGS, build_normal_equations, refine_pose
from deviloc_ros.types import Correspondences

CONFIG = PoseConfig()


def with_noise(seed: int, noise_px: float) -> Correspondences:
    exact = world(seed, count=200).correspondences
    noise = noise_px * np.random.default_rng(seed).standard_normal((200, 2))
    return replace(exact, keypoints=exact.keypoints + noise, depth_stds=np.full(200, 1e-6))


def test_newtons_information_is_how_fast_the_gradients_change():
    given = world(0, count=200)
    noisy = with_noise(0, 2.0)
    at = build_normal_equations(noisy, PINHOLE, given.cam_from_world, CONFIG)
    step = 1e-5
    changes = []
    for axis in np.eye(6):
        after, before = (
            build_normal_equations(noisy, PINHOLE, perturb_pose(sign * step * axis, given.cam_from_world), CONFIG)
            for sign in (1, -1)
        )
        changes.append((after.gradients.sum(0) - before.gradients.sum(0)) / (2 * step))
    scale = np.sqrt(np.outer(np.diag(at.information), np.diag(at.information)))
    off = np.abs(np.array(changes) - at.newton_information) / scale
    assert off.max() < 0.03
    assert (np.abs(np.array(changes) - at.information) / scale).max() > 5 * off.max()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**31),
    st.floats(0.0, 30.0),
    st.floats(0.25, 4.0),
    st.lists(st.floats(-0.2, 0.2), min_size=6, max_size=6),
)
def test_newtons_information_is_at_most_the_information_and_at_least_half_of_it(seed, noise_px, widening, motion):
    pose = perturb_pose(np.array(motion), world(seed % 7, count=200).cam_from_world)
    at = build_normal_equations(with_noise(seed % 7, noise_px), PINHOLE, pose, CONFIG, widening)
    slack = 1e-9 * np.trace(at.information)
    for less, more in ((at.information / 2, at.newton_information), (at.newton_information, at.information)):
        assert np.linalg.eigvalsh(more - less)[0] >= -slack


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 6), st.floats(0.0, 4.0))
def test_the_refinement_ends_where_no_motion_leads_down(seed, noise_px):
    noisy, start = with_noise(seed, noise_px), world(seed, count=200).cam_from_world
    pose, camera = refine_pose(noisy, PINHOLE, perturb_pose(np.full(6, 0.01), start), CONFIG)
    at = build_normal_equations(noisy, camera, pose, CONFIG)
    left = np.linalg.solve(at.newton_information, at.gradients.sum(0))
    left[:3] /= np.median(np.linalg.norm(noisy.points_in_world - pose.tgt_origin_in_src(), axis=1))
    assert np.abs(left).max() < WIDENINGS[-1].tolerance
