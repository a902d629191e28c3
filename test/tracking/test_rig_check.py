"""Many images together tell which camera of a rig is off, and by how much."""

import re

import numpy as np
import pytest
from worlds import random_rigid, rigid_of

from deviloc_ros.status import Status
from deviloc_ros.tracking.rig_check import LEAST_IMAGES, RigCheck
from deviloc_ros.types import CameraReport

NAMES = ("front", "left", "back")
NOISE_M, NOISE_DEG = 0.01, 0.2


def watch(off, cameras=3, images=20, used=True, moves=True, seed=0) -> dict[str, str]:
    """What is said after so many images of a rig whose second camera is off by a motion of the rig."""
    rng, check = np.random.default_rng(seed), RigCheck()
    pose = random_rigid(rng)
    for _ in range(images):
        pose = random_rigid(rng) if moves else pose
        reports = []
        for name in NAMES[:cameras]:
            noise = rigid_of(rng.normal(0, np.deg2rad(NOISE_DEG), 3), rng.normal(0, NOISE_M, 3))
            own = noise * (off if name == "left" else rigid_of([0, 0, 0], [0, 0, 0])) * pose
            reports.append(CameraReport(name, Status.ACCEPTED, used or name != "left", 100, "far off", own))
        check.add_images(reports)
    return check.complaints


@pytest.mark.parametrize("seed", range(5))
def test_a_rig_that_is_right_is_not_complained_of(seed):
    assert watch(rigid_of([0, 0, 0], [0, 0, 0]), seed=seed) == {}


@pytest.mark.parametrize("seed", range(5))
def test_the_camera_that_is_off_is_named_with_how_much(seed):
    said = watch(rigid_of([0, np.deg2rad(3.0), 0], [0.0, 0.1, 0.0]), seed=seed)
    assert list(said) == ["left"]
    metres, degrees = re.search(r"off by ([\d.]+) m .* and ([\d.]+) deg", said["left"]).groups()
    assert float(metres) == pytest.approx(0.1, abs=0.02) and float(degrees) == pytest.approx(3.0, abs=0.3)


def test_of_two_cameras_nobody_knows_which_is_off():
    said = watch(rigid_of([0, np.deg2rad(3.0), 0], [0, 0, 0]), cameras=2)
    assert set(said) == {"front", "left"} and all("or the other camera's" in text for text in said.values())


def test_a_few_images_or_many_of_one_place_do_not_tell_by_how_much():
    off = rigid_of([0, np.deg2rad(3.0), 0], [0, 0, 0])
    assert watch(off, images=LEAST_IMAGES - 1) == {} == watch(off, moves=False)


def test_a_camera_that_contradicts_the_others_is_named_soon():
    off = rigid_of([0, np.deg2rad(9.0), 0], [0, 0, 0])
    assert watch(off, images=2, used=False) == {}
    assert watch(off, images=3, used=False) == {"left": "it contradicts the others: far off"}


def test_one_camera_that_is_alone_is_compared_with_nobody():
    assert watch(rigid_of([0, 0.1, 0], [0, 0, 0]), cameras=1) == {}
