"""Stamps and mounting by many fixes: simulated drives whose images are stamped late or whose camera sits otherwise."""

import numpy as np
import pycolmap
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import random_rigid, rigid_of

from deviloc_ros.geometry import isotropic_covariance
from deviloc_ros.tracking.fix import Fix
from deviloc_ros.tracking.motion_check import DRIFT, LEAST_STEPS, MotionCheck
from deviloc_ros.tracking.odometry import Odometry

RATE_HZ = 7.5
STD_M, STD_RAD = 0.006, 0.002  # of a fix
NOWHERE = pycolmap.Rigid3d()


def winding_course(seconds):
    """Return (N, 3) x, y, yaw at a step of 5 ms of a robot that speeds up, slows down and turns."""
    times = np.arange(0, seconds, 0.005)
    speed, yaw = 0.8 + 0.5 * np.sin(0.9 * times), 0.8 * np.sin(0.5 * times)
    return 0.005 * np.column_stack([np.cumsum(speed * np.cos(yaw)), np.cumsum(speed * np.sin(yaw)), yaw / 0.005])


def straight_course(seconds):
    """Return the same of one that drives straight ahead at constant speed."""
    times = np.arange(0, seconds, 0.005)
    return np.column_stack([0.8 * times, 0 * times, 0 * times])


def pose_at(course, seconds):
    x, y, yaw = (np.interp(seconds, 0.005 * np.arange(len(course)), column) for column in course.T)
    return rigid_of([0, 0, yaw], [x, y, 0])


def drive(offset_s=0.0, mounting=NOWHERE, course=winding_course, count=60, seed=0, wrong=0.0, drift=0.01):
    """Return a check after a drive: images are of `offset_s` after their stamps, the base seen off by `mounting`."""
    rng, check = np.random.default_rng(seed), MotionCheck()
    course, map_from_odom = course(count / RATE_HZ + 2), rigid_of([0, 0, 1], [3, 4, 0])
    odom_from_base, before = NOWHERE, None
    for number in range(count):
        seconds = 0.7 + number / RATE_HZ
        here = pose_at(course, seconds)
        if before is not None:
            step = before.inverse() * here
            stretched = 1 + drift * rng.normal()
            odom_from_base *= pycolmap.Rigid3d(step.rotation, stretched * step.translation)
        before = here
        seen = map_from_odom * pose_at(course, seconds + offset_s) * mounting
        noise = pycolmap.Rotation3d(rng.normal(0, STD_RAD, 3))
        fix = pycolmap.Rigid3d(noise * seen.rotation, seen.translation + rng.normal(0, STD_M, 3))
        if rng.random() < wrong:
            fix = random_rigid(rng)
        check.add_fix(Fix(round(1e9 * seconds), fix, isotropic_covariance(STD_M, STD_RAD), Odometry(odom_from_base)))
    return check


@settings(max_examples=25, deadline=None)
@given(offset_s=st.floats(-0.3, 0.3), seed=st.integers(0, 100))
def test_the_time_between_stamps_and_odometry_is_found_within_its_deviation(offset_s, seed):
    found = drive(offset_s, seed=seed).fit()
    assert abs(found.change[0] - offset_s) < 4 * found.stds[0] + 0.02 * abs(offset_s)
    assert found.stds[0] < 0.02


@settings(max_examples=15, deadline=None)
@given(
    shift=st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)),
    turn=st.tuples(*[st.floats(-0.1, 0.1)] * 3),
    seed=st.integers(0, 100),
)
def test_a_camera_that_sits_otherwise_is_found_but_for_its_height(shift, turn, seed):
    found = drive(mounting=rigid_of(turn, [*shift, 0.0]), seed=seed).fit()
    expected = np.array([0.0, *shift, 0.0, *turn])
    told = np.arange(7) != 3  # a robot that drives on a plane does not tell the camera's height
    assert (np.abs(found.change - expected) < 4 * found.stds + 0.02 * np.abs(expected) + 1e-3)[told].all()
    assert found.stds[3] > 0.5


def test_what_is_wrong_is_said_with_sign_and_size():
    late = drive(-0.133).complaint()
    assert late.startswith("images are stamped 13") and "ms after the odometry" in late and ";" not in late
    assert "ms before the odometry" in drive(0.1).complaint()
    turned = drive(mounting=rigid_of([0, 0.05, 0], [0, 0, 0])).complaint()
    assert "turned by +2." in turned and "about the base's y" in turned and "ms" not in turned
    assert "m off base_from_cam along the base's x" in drive(mounting=rigid_of([0, 0, 0], [0.2, 0, 0])).complaint()


def test_nothing_wrong_is_not_complained_of():
    assert [drive(seed=seed).complaint() for seed in range(20)] == [""] * 20


def test_odometry_that_veers_steadily_is_not_taken_for_a_camera_that_is_turned():
    veering = [
        drive(mounting=rigid_of([0, 0, turn], [0, 0, 0]), seed=seed) for seed, turn in enumerate((-DRIFT, DRIFT))
    ]
    assert all(abs(check.fit().change[6]) > DRIFT / 2 for check in veering)
    assert [check.complaint() for check in veering] == ["", ""]


def test_the_deviations_are_not_smaller_than_the_errors():
    errors = [(fit.change / fit.stds)[[0, 1, 2, 4, 5, 6]] for fit in (drive(seed=seed).fit() for seed in range(30))]
    assert (np.std(errors, axis=0) < 1.3).all()


def test_a_robot_that_drives_straight_on_or_stands_does_not_tell():
    for course in (straight_course, lambda seconds: 0 * straight_course(seconds)):
        check = drive(0.2, course=course)
        assert check.complaint() == "" and check.fit().stds[0] > 0.05


def test_wrong_fixes_among_right_ones_change_little():
    found = drive(-0.133, wrong=0.1).fit()
    assert found.change[0] == pytest.approx(-0.133, abs=0.03)


def test_too_few_fixes_and_fixes_without_odometry_say_nothing():
    assert drive(0.2, count=LEAST_STEPS).fit() is None
    check = MotionCheck()
    check.add_fix(Fix(1, NOWHERE, np.eye(6)))
    assert check.fit() is None and check.complaint() == ""


def test_an_image_that_comes_twice_counts_once():
    once, twice = drive(0.2), MotionCheck()
    for fix in once._fixes:
        twice.add_fix(fix)
        twice.add_fix(fix)
    assert list(twice._fixes) == list(once._fixes)


def test_fixes_far_apart_do_not_count_and_time_that_goes_back_starts_anew():
    check, poses = MotionCheck(), drive(0.2)._fixes
    for number, fix in enumerate(poses):
        check.add_fix(Fix(number * 2_000_000_000, fix.map_from_base, fix.covariance, fix.odometry))
    assert check.fit() is None
    check = drive(0.2)
    check.add_fix(poses[0])
    assert check.fit() is None
