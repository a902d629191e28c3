"""A truth that is of another frame is told from poses that are wrong."""

import numpy as np
import pycolmap
import pytest
from worlds import random_rigid

from deviloc_ros.bags.transforms import TransformTree
from deviloc_ros.evaluation.recordings.frames import Estimate, judge_estimate
from deviloc_ros.evaluation.recordings.truth_frame import explain_common_offset
from deviloc_ros.status import Status

MOUNT = random_rigid(np.random.default_rng(5))


@pytest.fixture
def transforms():
    tree = TransformTree()
    tree.insert("base_link", "camera", 0, MOUNT, static=True)
    return tree


def noise(rng) -> pycolmap.Rigid3d:
    return pycolmap.Rigid3d(pycolmap.Rotation3d(rng.normal(0, 1e-3, 3)), rng.normal(0, 5e-3, 3))


def frames(truth_of, seed=0, wrong=0, count=12):
    """Poses on a way, each near `map_from_base`, beside the truth that is made of it; the first few are wrong."""
    rng = np.random.default_rng(seed)
    poses = [random_rigid(rng) for _ in range(count)]
    estimates = [random_rigid(rng) if number < wrong else pose * noise(rng) for number, pose in enumerate(poses)]
    made = [Estimate(n, n, Status.ACCEPTED, map_from_base=found) for n, found in enumerate(estimates)]
    return [judge_estimate(estimate, truth_of(pose)) for estimate, pose in zip(made, poses, strict=True)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("wrong", [0, 4])
@pytest.mark.parametrize(
    ("truth_of", "says"),
    [
        (lambda pose: pose, ""),
        (lambda pose: pose * MOUNT, "seems to be of 'camera': give --ground-truth-frame camera"),
        (lambda pose: pose * random_rigid(np.random.default_rng(8)), "of something on the robot"),
        (lambda pose: random_rigid(np.random.default_rng(9)) * pose, "a frame of its own; see --align"),
        (lambda pose: pose.inverse(), "the other way round"),
    ],
)
def test_what_all_poses_are_off_by_is_named(transforms, truth_of, says, wrong, seed):
    said = explain_common_offset(frames(truth_of, seed, wrong), transforms, "base_link")
    assert says in said and bool(says) == bool(said)


def test_poses_that_are_wrong_each_in_its_own_way_are_no_other_frame(transforms):
    assert explain_common_offset(frames(lambda pose: pose, wrong=12), transforms, "base_link") == ""


def test_few_poses_say_nothing(transforms):
    assert explain_common_offset(frames(lambda pose: pose * MOUNT, count=4), transforms, "base_link") == ""


def test_a_robot_that_does_not_turn_has_its_frames_named_too(transforms):
    ahead = [pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([0.1 * n, 0.0, 0.0])) for n in range(8)]
    made = [judge_estimate(Estimate(n, n, Status.ACCEPTED, map_from_base=p), p * MOUNT) for n, p in enumerate(ahead)]
    assert "of 'camera'" in explain_common_offset(made, transforms, "base_link")
