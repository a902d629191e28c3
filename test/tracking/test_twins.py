"""Places that look alike, as a world of poses without images: the robot is never told it is in the wrong one."""

from dataclasses import dataclass

import numpy as np
import pycolmap
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from deviloc_ros.config import TrackingConfig
from deviloc_ros.geometry import isotropic_covariance, translation_distance_m
from deviloc_ros.status import Status
from deviloc_ros.tracking.fix import Fix
from deviloc_ros.tracking.odometry import Odometry, move_straight
from deviloc_ros.tracking.sighting import SeenPlace, Sighting
from deviloc_ros.tracking.tracker import Tracker, TrackingState

CONFIG = TrackingConfig()
TIGHT = isotropic_covariance(0.01, 0.002)
IDENTITY = pycolmap.Rigid3d()
PERIOD_NS = 200_000_000
WEAK = 0.04  # of the support of what an image fits clearly


def planar(x: float, y: float = 0.0, yaw: float = 0.0) -> pycolmap.Rigid3d:
    return pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0.0, 0.0, yaw])), np.array([x, y, 0.0]))


@dataclass(eq=False)
class TwinWorld:
    """Two copies of a place, the second `apart_m` along x. `landmark_at`: from this image on only the truth fits."""

    apart_m: float
    rng: np.random.Generator
    landmark_at: int = 10**9

    def look(self, number, truth, in_copy, prior, odometry) -> Sighting:
        """What an image says: the true place and its double, each where the search reaches and with some support."""
        stamp_ns = (number + 1) * PERIOD_NS
        offset = planar(-self.apart_m if in_copy else self.apart_m)
        everywhere = prior is None or prior.everywhere
        found = []
        for pose in (truth, offset * truth):
            is_weak = pose is not truth and number >= self.landmark_at
            if everywhere or self.is_reached(pose, prior):
                support = int(self.rng.uniform(300, 1000) * (WEAK if is_weak else 1))
                found.append(SeenPlace(Fix(stamp_ns, pose, TIGHT, odometry), support, True, str(pose.translation)))
        return Sighting(stamp_ns, odometry, tuple(found), True, everywhere)

    def is_reached(self, pose, prior) -> bool:
        """Whether a search near a prior, and for its rivals, finds a pose."""
        away_m = translation_distance_m(pose.inverse(), prior.cam_from_world)
        return away_m < max(prior.rivals_m, min(2.0, self.apart_m / 2))


@dataclass(eq=False)
class Drive:
    """A robot that drives through such a world. What was published is `wrong` or `right`, and `statuses` has all."""

    world: TwinWorld
    hint: bool
    odometry: bool
    rng: np.random.Generator

    def __post_init__(self):
        self.tracker, self.wrong, self.right, self.statuses, self.usable = Tracker(CONFIG), 0, 0, [], 0
        self.pose, self.in_copy, self.odometer, self.number = planar(self.world.apart_m), True, Odometry(IDENTITY), 0
        if self.hint:
            off = planar(*(self.pose.translation[:2] + self.rng.uniform(-0.4, 0.4, 2)))
            self.tracker.hint(
                Fix(PERIOD_NS, off, isotropic_covariance(0.5, 0.2), self.odometer if self.odometry else None)
            )

    def go(self, images: int, blank: bool = False) -> None:
        for _ in range(images):
            step = planar(0.08, 0.0, self.rng.uniform(-0.05, 0.05))
            self.pose = self.pose * step
            self.odometer = move_straight(self.odometer, self.odometer.odom_from_base * step)
            self.see(blank)

    def carry_to(self, pose, in_copy: bool, images: int) -> None:
        """Odometry feels nothing, and the camera is covered."""
        self.pose, self.in_copy = pose, in_copy
        for _ in range(images):
            self.see(blank=True)

    def see(self, blank: bool) -> None:
        odometry = self.odometer if self.odometry else None
        stamp_ns = (self.number + 1) * PERIOD_NS
        prior = self.tracker.prior(stamp_ns, odometry, IDENTITY)
        if blank:
            self.tracker.count_miss()
        else:
            self.usable += 1
            sighting = self.world.look(self.number, self.pose, self.in_copy, prior, odometry)
            if sighting.found:
                status, fix = self.tracker.judge(sighting, stamp_ns)
                self.statuses.append(status)
                if fix is not None:
                    is_right = translation_distance_m(fix.map_from_base.inverse(), self.pose.inverse()) < 0.5
                    self.right, self.wrong = self.right + is_right, self.wrong + (not is_right)
            else:
                self.tracker.count_miss()
        self.number += 1


def drive(seed: int, apart_m: float, hint: bool, odometry: bool, **world) -> Drive:
    rng = np.random.default_rng(seed)
    return Drive(TwinWorld(apart_m, rng, **world), hint, odometry, rng)


few = settings(max_examples=15)  # a drive takes a tenth of a second
known = {"seed": st.integers(0, 10**6), "apart_m": st.floats(3.0, 40.0)}


@few
@given(**known, blanks=st.lists(st.integers(1, 12), max_size=3), odometry=st.booleans())
def test_what_was_told_apart_stays_so_through_images_that_show_nothing(seed, apart_m, blanks, odometry):
    robot = drive(seed, apart_m, hint=True, odometry=odometry)
    robot.go(8)
    for images in blanks:
        robot.go(images, blank=True)
        robot.go(6)
    assert robot.wrong == 0
    if odometry:
        assert robot.right >= 0.9 * robot.usable


@few
@given(**known, odometry=st.booleans())
def test_nobody_knows_which_of_two_copies_it_is(seed, apart_m, odometry):
    robot = drive(seed, apart_m, hint=False, odometry=odometry)
    robot.go(30)
    assert robot.wrong == robot.right == 0 and set(robot.statuses) == {Status.AMBIGUOUS}
    assert robot.tracker.state(robot.number * PERIOD_NS) is TrackingState.UNLOCALIZED


@few
@given(**known, odometry=st.booleans(), landmark_at=st.integers(2, 20))
def test_what_only_one_place_shows_decides_and_is_remembered(seed, apart_m, odometry, landmark_at):
    robot = drive(seed, apart_m, hint=False, odometry=odometry, landmark_at=landmark_at)
    robot.go(landmark_at + 10)
    assert robot.wrong == 0 and robot.right >= 10 - CONFIG.confirmations
    robot.world.landmark_at = 10**9  # past it
    robot.go(10)
    assert robot.wrong == 0 and robot.right >= 20 - CONFIG.confirmations


@few
@given(**known, hint=st.booleans(), x=st.floats(0.5, 1.5), y=st.floats(-1.5, -0.5))
def test_a_robot_carried_to_the_other_copy_is_told_nothing_until_it_is_told_where(seed, apart_m, hint, x, y):
    robot = drive(seed, apart_m, hint=True, odometry=True)
    robot.go(8)
    published = robot.right
    robot.carry_to(planar(x, y, 0.6), in_copy=False, images=round(apart_m / 1.5 * 5))
    robot.go(15)
    assert robot.wrong == 0 and robot.right == published
    if hint:
        robot.tracker.hint(Fix(robot.number * PERIOD_NS, robot.pose, isotropic_covariance(0.5, 0.2), robot.odometer))
        robot.go(10)
        assert robot.wrong == 0 and robot.right >= published + 9


@few
@given(**known, ahead=st.floats(-1.2, 1.2), yaw=st.floats(-0.4, 0.4), images=st.integers(5, 60))
def test_a_place_that_was_seen_to_be_another_stays_so_however_far_the_prediction_widens(
    seed, apart_m, ahead, yaw, images
):
    """The double of where the robot stands now lies near the prediction, but not where that says."""
    robot = drive(seed, apart_m, hint=True, odometry=True)
    robot.go(8)
    before = len(robot.statuses)
    robot.carry_to(planar(-apart_m) * robot.pose * planar(ahead, 0.0, yaw), in_copy=False, images=images)
    robot.go(25)
    blind_s = images * PERIOD_NS * 1e-9
    assume(
        blind_s > CONFIG.confirmation_window_s or robot.statuses[before] is not Status.ACCEPTED
    )  # else nothing tells
    assert robot.wrong == 0


def test_both_places_are_named():
    robot = drive(0, 10.0, hint=False, odometry=True)
    robot.go(1)
    said = robot.tracker.explain(Status.AMBIGUOUS)
    assert all(str(planar(x).translation)[1:3] in said for x in (0.0, 10.0)) and said.count(";") == 1


@pytest.mark.parametrize(("in_sight", "believed"), [(True, True), (False, False)])
def test_a_far_place_overrules_odometry_only_where_the_place_expected_was_seen_to_fail(in_sight, believed):
    tracker, odometry = Tracker(CONFIG), Odometry(IDENTITY)
    tracker.hint(Fix(PERIOD_NS, planar(0.0), isotropic_covariance(0.5, 0.2), odometry))
    for number in range(2, 10):
        x = 0.0 if number < 4 else 8.0
        seen = SeenPlace(Fix(number * PERIOD_NS, planar(x), TIGHT, odometry), 400)
        sighting = Sighting(number * PERIOD_NS, odometry, (seen,), expected_in_sight=in_sight)
        tracker.judge(sighting, number * PERIOD_NS)
    assert bool(tracker.last is not None and tracker.last.map_from_base.translation[0] > 4) is believed
