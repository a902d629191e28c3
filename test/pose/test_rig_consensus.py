"""A camera of a rig that sees nothing, or something wrong, does not spoil the others, and is named."""

import numpy as np
import pytest
from rigs import CAMERAS, CONFIG, look
from worlds import SMALL, random_rigid, rigid_of

from deviloc_ros.geometry import rotation_distance_deg, translation_distance_m
from deviloc_ros.pose.rig_consensus import localize_rig
from deviloc_ros.pose.solve import solve_pnp
from deviloc_ros.status import Status
from deviloc_ros.types import Correspondences, Evidence, Localized, Lost, RigImage

NAMES = ("front", "left", "right")
NOTHING = Lost(Status.NO_FEATURES, "0 keypoints", Evidence())


class Rig:
    """Three cameras in a world of points; `trouble` says what is wrong with one of them."""

    def __init__(self, seed: int, trouble: str = "", count: int = 3, number: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self.pose = random_rigid(rng)
        poses = [self.pose] * count
        mounts = list(CAMERAS[:count])
        if trouble == "elsewhere":
            poses[number] = random_rigid(rng, reach=5.0)
        self.results = {}
        for name, camera, pose in zip(NAMES, CAMERAS, poses, strict=False):
            points: Correspondences = look(rng, camera, pose).correspondences
            self.results[name] = solve_pnp(points, SMALL, CONFIG)
        if trouble == "covered":
            self.results[NAMES[number]] = NOTHING
        if trouble == "extrinsic":
            mounts[number] = mounts[number] * rigid_of([0, np.deg2rad(5.0), 0], [0, 0, 0])
        pixels = np.zeros((240, 320), np.uint8)
        self.images = [RigImage(n, pixels, SMALL, m) for n, m in zip(NAMES, mounts, strict=False)]

    def localize(self, prior=None):
        return localize_rig(self.images, prior, lambda image, prior: self.results[image.name], CONFIG)


def used(result) -> dict[str, bool]:
    return {camera.name: camera.used for camera in result.evidence.cameras}


@pytest.mark.parametrize("seed", range(3))
def test_all_cameras_take_part(seed):
    rig = Rig(seed)
    result = rig.localize()
    assert isinstance(result, Localized) and all(used(result).values())
    assert sum(camera.inliers for camera in result.evidence.cameras) == result.evidence.inliers
    assert translation_distance_m(result.cam_from_world, rig.pose) < 0.02


@pytest.mark.parametrize("trouble", ["covered", "extrinsic", "elsewhere"])
@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_one_of_three_in_trouble_is_left_out_and_named(seed, trouble, number):
    rig = Rig(seed, trouble, number=number)
    result = rig.localize()
    assert isinstance(result, Localized)
    assert used(result) == {name: n != number for n, name in enumerate(NAMES)}
    assert translation_distance_m(result.cam_from_world, rig.pose) < 0.02
    assert rotation_distance_deg(result.cam_from_world, rig.pose) < 0.3
    report = result.evidence.cameras[number]
    assert report.name == NAMES[number]
    assert ("too few keypoints" if trouble == "covered" else "extrinsic") in report.detail


@pytest.mark.parametrize("trouble", ["extrinsic", "elsewhere"])
def test_two_cameras_that_contradict_each_other_give_no_pose(trouble):
    result = Rig(0, trouble, count=2).localize()
    assert isinstance(result, Lost) and "contradict" in result.detail
    assert all(name in result.detail for name in NAMES[:2])


def test_a_covered_camera_of_two_leaves_the_other(seed=0):
    rig = Rig(seed, "covered", count=2)
    result = rig.localize()
    assert isinstance(result, Localized) and used(result) == {"front": True, "left": False}


def test_cameras_that_are_lost_by_themselves_are_localized_together():
    """Each has too few points for its own pose."""
    rng = np.random.default_rng(0)
    pose = random_rigid(rng)
    found = {
        name: solve_pnp(look(rng, camera, pose, count=24).correspondences, SMALL, CONFIG)
        for name, camera in zip(NAMES, CAMERAS, strict=True)
    }
    assert all(isinstance(result, Lost) for result in found.values())
    pixels = np.zeros((240, 320), np.uint8)
    images = [RigImage(name, pixels, SMALL, mount) for name, mount in zip(NAMES, CAMERAS, strict=True)]
    result = localize_rig(images, None, lambda image, prior: found[image.name], CONFIG)
    assert isinstance(result, Localized), result
    assert translation_distance_m(result.cam_from_world, pose) < 0.05


def test_a_rig_that_sees_nothing_is_lost():
    images = [RigImage(n, np.zeros((240, 320), np.uint8), SMALL, m) for n, m in zip(NAMES, CAMERAS, strict=True)]
    result = localize_rig(images, None, lambda image, prior: NOTHING, CONFIG)
    assert isinstance(result, Lost) and result.reason is Status.FEW_CORRESPONDENCES
