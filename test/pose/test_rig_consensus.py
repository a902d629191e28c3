"""A camera of a rig that sees nothing, or something wrong, does not spoil the others, and is named."""

from dataclasses import replace

import numpy as np
import pytest
from rigs import CAMERAS, CONFIG, look
from worlds import SMALL, random_rigid, rigid_of

from deviloc_ros.geometry import rotation_distance_deg, translation_distance_m
from deviloc_ros.pose.rig_consensus import solve_rig_by_consensus
from deviloc_ros.pose.solve import solve_pnp
from deviloc_ros.status import Status
from deviloc_ros.types import Correspondences, Evidence, Localized, Lost, Place, Prior, RigImage

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
        return solve_rig_by_consensus(self.images, prior, lambda image, prior: self.results[image.name], CONFIG)


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
    result = solve_rig_by_consensus(images, None, lambda image, prior: found[image.name], CONFIG)
    assert isinstance(result, Localized), result
    assert translation_distance_m(result.cam_from_world, pose) < 0.05


def test_a_rig_that_sees_nothing_is_lost():
    images = [RigImage(n, np.zeros((240, 320), np.uint8), SMALL, m) for n, m in zip(NAMES, CAMERAS, strict=True)]
    result = solve_rig_by_consensus(images, None, lambda image, prior: NOTHING, CONFIG)
    assert isinstance(result, Lost) and result.reason is Status.FEW_CORRESPONDENCES


def test_images_of_other_times_make_the_pose_less_sure():
    rig = Rig(0)
    sure = rig.localize()
    rig.images = [replace(image, std_m=0.03, std_rad=0.01) for image in rig.images]
    added = rig.localize().covariance - sure.covariance
    np.testing.assert_allclose(added, np.diag(np.diag(added)), atol=1e-9)
    assert np.sqrt(added[0, 0]) == pytest.approx(0.03 / np.sqrt(3), rel=0.05)  # three that say about as much
    assert np.sqrt(added[5, 5]) == pytest.approx(0.01 / np.sqrt(3), rel=0.05)


def test_what_odometry_may_be_off_by_is_no_contradiction():
    rig = Rig(0, "extrinsic", count=2)
    assert isinstance(rig.localize(), Lost)
    rig.images[1] = replace(rig.images[1], std_m=0.1, std_rad=np.deg2rad(5.0))
    assert "contradict" not in str(rig.localize())


def test_places_that_look_alike_are_places_of_the_rig():
    rig = Rig(0)
    for image in rig.images:
        places = [rig.pose, rigid_of([0, 0, 0], [9.0, 0, 0]) * rig.pose, rigid_of([0, 0, 0], [0, 9.0, 0]) * rig.pose]
        left = places[:2] if image.name == "left" else places  # the camera that knows best
        seen = tuple(Place(image.rig_from_cam.inverse() * pose, np.eye(6), 100, True, "view") for pose in left)
        rig.results[image.name] = Lost(Status.AMBIGUOUS, "two", Evidence(places=seen, everywhere=True, in_sight=True))
    result = rig.localize()
    assert isinstance(result, Lost) and result.reason is Status.AMBIGUOUS
    assert result.evidence.everywhere and result.evidence.in_sight and len(result.evidence.places) == 2
    np.testing.assert_allclose(result.evidence.places[0].cam_from_world.matrix(), rig.pose.matrix(), atol=1e-6)


@pytest.mark.parametrize("near", [True, False])
def test_a_camera_is_asked_again_unless_it_was_searched_for_there(near):
    rig, asked = Rig(0, "covered"), []
    prior = Prior(rig.pose if near else random_rigid(np.random.default_rng(5)))

    def localize_one(image, prior):
        asked.append(image.name)
        return rig.results[image.name]

    result = solve_rig_by_consensus(rig.images, prior, localize_one, CONFIG)
    assert isinstance(result, Localized) and result.evidence.cameras[1].evidence is NOTHING.evidence
    assert sorted(asked) == sorted([*NAMES, *([] if near else ["left"])])


def test_a_rig_says_what_a_single_camera_says_of_its_place():
    result = Rig(0).localize()
    (place,) = result.evidence.places
    assert place.passes and place.inliers == result.evidence.inliers
    np.testing.assert_allclose(place.covariance, result.covariance)
    assert set(result.evidence.stages_ms) == {"cameras", "rig"}
