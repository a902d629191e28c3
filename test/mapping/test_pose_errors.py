"""A map says by how much its own poses are off, and covariances of poses in it grow by that."""

import math
from dataclasses import replace

import numpy as np
import pycolmap
import pytest
from rooms import room_config
from small_maps import view_at, write_map
from worlds import PINHOLE, rigid_of, world

from deviloc_ros.config import PoseConfig, bind_to_map
from deviloc_ros.config_fields import change_config
from deviloc_ros.localizer import Localizer
from deviloc_ros.mapping.pose_errors import estimate_missing_std
from deviloc_ros.mapping.update import update_map
from deviloc_ros.maps.edit import align_map, drop_views, merge_maps
from deviloc_ros.maps.inspect import describe_map
from deviloc_ros.maps.provenance import POSE_ERRORS
from deviloc_ros.maps.store import Map
from deviloc_ros.pose.solve import solve_pnp
from deviloc_ros.types import Localized, Prior

OFF_M, OFF_DEG = 0.02, 0.5


def stated(reference_map: Map) -> tuple[float, float]:
    pose = reference_map.config.pose
    return pose.map_position_std_m, pose.map_orientation_std_deg


def disturb(images, seed: int = 0):
    """The images with poses that are off, each in its own way."""
    rng = np.random.default_rng(seed)
    offs = [rigid_of(rng.normal(0, math.radians(OFF_DEG), 3), rng.normal(0, OFF_M, 3)) for _ in images]
    return [replace(i, cam_from_world=off * i.cam_from_world) for i, off in zip(images, offs, strict=True)]


@pytest.fixture(scope="module")
def disturbed(room, tmp_path_factory):
    """A map of poses that are off, and what was reported of it."""
    folder = tmp_path_factory.mktemp("disturbed") / "a.map"
    return folder, room.build(folder, images=disturb(room.images))


@pytest.mark.parametrize("std", [0.0, 0.003, 0.01, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_the_missing_deviation_is_found(std, seed):
    rng = np.random.default_rng(seed)
    axes = rng.normal(size=(2000, 3, 3))
    covariances = 1e-5 * axes @ axes.transpose(0, 2, 1)
    errors = np.array([rng.multivariate_normal(np.zeros(3), c) for c in covariances]) + rng.normal(0, std, (2000, 3))
    assert estimate_missing_std(errors, covariances) == pytest.approx(std, rel=0.1, abs=1e-3)
    errors[:600] *= 1000  # what is localized somewhere else does not speak for the others
    assert estimate_missing_std(errors, covariances) < 3 * std + 0.01
    assert estimate_missing_std(np.zeros((5, 3)), covariances[:5]) == 0


def test_a_map_of_right_poses_states_nothing(room_map):
    assert stated(room_map) == (0, 0) and POSE_ERRORS not in dict(describe_map(room_map))


def test_a_map_of_poses_that_are_off_states_by_how_much(disturbed, room):
    folder, report = disturbed
    position_m, orientation_deg = stated(Map.open(folder))
    assert OFF_M / 3 < position_m < 3 * OFF_M and OFF_DEG / 3 < orientation_deg < 3 * OFF_DEG
    assert POSE_ERRORS in report.warned
    for said in (report.notes[POSE_ERRORS], dict(describe_map(Map.open(folder)))[POSE_ERRORS]):
        assert f"{100 * position_m:.1f} cm and {orientation_deg:.2f} deg" in said


def test_poses_in_it_are_as_unsure(disturbed, room):
    reference_map = Map.open(disturbed[0])
    config = change_config(reference_map.config, pose={"max_position_std": 1.0, "required_position_std_m": 0.0})
    localizer = Localizer(reference_map, config)
    result = localizer.localize(room.queries[0], room.camera, Prior(room.query_poses[0]))
    assert isinstance(result, Localized)
    stds, (position_m, orientation_deg) = np.sqrt(np.diag(result.covariance)), stated(reference_map)
    assert stds[:3].min() > position_m and stds[3:].min() > math.radians(orientation_deg)


def test_new_views_that_are_off_are_noticed(room_folder, room, tmp_path):
    folder = tmp_path / "grown.map"
    room.build(folder, images=room.images[::2], graph=None)
    assert stated(Map.open(folder)) == (0, 0)  # of four views nothing is said
    report = update_map(disturb(room.images[1::2], seed=1), folder, quiet=True)
    assert stated(Map.open(folder)) != (0, 0) and POSE_ERRORS in report.notes


def test_what_a_map_states_outlives_its_changes(tmp_path):
    views = [view_at(name, 0, x) for name, x in (("a", 0.0), ("b", 1.0))]
    config = change_config(room_config(), pose={"map_position_std_m": 0.25, "map_orientation_std_deg": 0.5})
    write_map(tmp_path / "one.map", views, config=config)
    write_map(tmp_path / "other.map", [view_at("c", 0, 2.0)])
    merge_maps([tmp_path / "other.map", tmp_path / "one.map"], tmp_path / "both.map")
    assert stated(Map.open(tmp_path / "both.map")) == (0.25, 0.5)
    twice = pycolmap.Sim3d(2.0, pycolmap.Rotation3d(), np.zeros(3))
    align_map(tmp_path / "both.map", twice, tmp_path / "aligned.map", {})
    assert stated(Map.open(tmp_path / "aligned.map")) == (0.5, 0.5)
    drop_views(tmp_path / "aligned.map", ["a"])
    assert stated(Map.open(tmp_path / "aligned.map")) == (0.5, 0.5)


def test_the_larger_of_what_is_asked_for_and_what_the_map_states_counts():
    built = change_config(room_config(), pose={"map_position_std_m": 0.25, "map_orientation_std_deg": 0.5})
    asked = change_config(room_config(), pose={"map_position_std_m": 0.1, "map_orientation_std_deg": 2.0})
    bound = bind_to_map(asked, built).pose
    assert (bound.map_position_std_m, bound.map_orientation_std_deg) == (0.25, 2.0)


def test_a_covariance_grows_by_that_of_the_map_and_a_pose_that_is_then_too_unsure_is_withheld():
    truth = world(3).with_noise(np.random.default_rng(0), 1.0)
    exact = solve_pnp(truth, PINHOLE, PoseConfig())
    config = PoseConfig(map_position_std_m=0.02, map_orientation_std_deg=1.0, max_position_std=1.0)
    inexact = solve_pnp(truth, PINHOLE, config)
    added = np.diag(inexact.covariance - exact.covariance)
    np.testing.assert_allclose(np.sqrt(added), [0.02] * 3 + [math.radians(1.0)] * 3, rtol=1e-6)
    withheld = solve_pnp(truth, PINHOLE, replace(config, required_position_std_m=0.01))
    assert not isinstance(withheld, Localized) and "position std" in withheld.detail
