"""A robot among several maps: which one it is in, and how it comes from one to another."""

from dataclasses import replace

import numpy as np
import pycolmap
import pytest
from ros.stand_in import BLACK, StandInLocalizer

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config, PoseConfig, TrackingConfig
from deviloc_ros.status import Status
from deviloc_ros.tracking.fix import Fix
from deviloc_ros.tracking.follower import Follower
from deviloc_ros.tracking.odometry import Odometry
from deviloc_ros.tracking.rig_images import StampedImage
from deviloc_ros.tracking.tracker import TrackingState

NOW_NS = 1_700_000_000_000_000_000
CAMERA = Camera("PINHOLE", 64, 48, (60.0, 60.0, 31.5, 23.5))
STILL = Odometry(pycolmap.Rigid3d())


class Floor(StandInLocalizer):
    """A map that answers images of some brightnesses, with so many inliers: 0 is no answer."""

    def __init__(self, name: str, inliers) -> None:
        super().__init__(map_path=f"/maps/{name}")
        self.map.identity, self.inliers, self.asked = name, inliers, 0

    def localize(self, image, *query, **more):
        self.asked += 1
        result = super().localize(image, *query, **more)
        count = self.inliers(round(float(image.mean())))
        if not count:
            return super().localize(np.zeros_like(image), *query, **more)
        return replace(result, evidence=replace(result.evidence, inlier_mask=np.ones(count, bool)))


class Building:
    """A robot that stands still by its odometry; brightness v puts it at v / 10 m of whatever map answers."""

    def __init__(self, confirmations=2, **tracking) -> None:
        self.first = Floor("first", lambda v: 100 if v < 50 or v == 90 else 10 if v == 70 else 0)
        self.second = Floor("second", lambda v: 100 if v >= 50 else 0)
        self.follower = Follower([self.first, self.second], TrackingConfig(confirmations=confirmations, **tracking))
        self.now_ns = NOW_NS

    def see(self, *brightnesses, seconds=0.2):
        for brightness in brightnesses:
            self.now_ns += round(1e9 * seconds)
            pixels = np.full((48, 64), brightness, np.uint8)
            image = StampedImage(self.now_ns, pixels, CAMERA, pycolmap.Rigid3d())
            step = self.follower.follow([image], lambda *_: STILL, self.now_ns)
        return step


def test_the_map_that_answers_is_named_once_images_agree():
    building = Building()
    first = building.see(20)
    assert first.status is Status.UNCONFIRMED and first.map_name == "first" and building.follower.map_name == ""
    assert building.follower.state(building.now_ns) is TrackingState.UNLOCALIZED
    second = building.see(20)
    assert second.fix is not None and (second.map_name, building.follower.map_name) == ("first", "first")
    assert building.follower.localizer is building.first


def test_where_the_robot_is_expected_only_its_map_is_searched():
    building = Building()
    building.see(20, 20)
    asked = building.second.asked
    building.see(20, 20, 20)
    assert building.second.asked == asked


def test_what_two_maps_answer_about_as_well_is_ambiguous_and_both_are_named():
    building = Building()
    step = building.see(90, 90, 90, 90)
    assert step.status is Status.AMBIGUOUS and step.fix is None and building.follower.map_name == ""
    assert "first: 100 inliers" in step.detail and "second: 100 inliers" in step.detail
    assert building.see(70, 70).map_name == "second"  # a tenth of the inliers is no rival


def test_another_floor_is_a_jump_that_is_confirmed():
    building = Building(confirmations=3, global_search_after=2)
    building.see(20, 20, 20)
    lift = [building.see(60) for _ in range(6)]
    assert [step.fix is not None for step in lift] == [False] * 4 + [True] * 2
    assert building.follower.map_name == "second" and building.follower.localizer is building.second
    assert np.allclose(building.follower.last_fix.map_from_base.translation, [6, 0, 0])
    assert np.allclose(building.follower.map_from_odom(building.now_ns).translation, [6, 0, 0])


def test_images_that_name_maps_by_turns_confirm_none():
    building = Building(confirmations=2)
    assert all(building.see(20).fix is None and building.see(60).fix is None for _ in range(6))


def test_in_its_map_a_robot_is_where_it_should_be_whatever_others_show():
    building = Building(global_search_after=1)
    building.follower.hint(Fix(NOW_NS, at(9.0), np.eye(6) * 1e-3, STILL))
    assert building.see(90).status is Status.AMBIGUOUS  # of which map is the hint?
    building.see(20, 20)
    building.first.inliers = lambda v: 100  # it moves on to 9 m, where both maps answer
    building.follower.hint(Fix(building.now_ns, at(9.0), np.eye(6) * 1e-3, STILL))
    asked = building.second.asked
    assert building.see(90).map_name == "first" and building.second.asked == asked
    building.see(BLACK, BLACK)
    assert building.see(90).fix is not None and building.second.asked > asked


def at(x: float) -> pycolmap.Rigid3d:
    return pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([x, 0.0, 0.0]))


def test_long_without_a_fix_odometry_does_not_decide_between_maps():
    building = Building(confirmation_window_s=1.0)
    building.first.inliers = lambda v: 100
    building.follower.hint(
        Fix(NOW_NS, at(9.0), np.eye(6) * 1e-3, STILL),
    )
    building.see(20, 20)
    building.see(*[BLACK] * 10)
    assert building.see(60).status is Status.AMBIGUOUS


def test_a_hint_is_of_the_map_that_the_robot_is_in_or_of_each():
    building = Building(confirmations=3)
    building.follower.hint(Fix(NOW_NS, at(6.0), np.eye(6) * 1e-3, STILL))
    assert building.see(60).fix is not None and building.follower.map_name == "second"
    building.follower.hint(Fix(building.now_ns, at(7.0), np.eye(6) * 1e-3, STILL))
    assert building.see(70).fix is not None and building.follower.map_name == "second"


def test_a_remembered_pose_is_of_its_map():
    building = Building(confirmations=3)
    building.follower.hint_if_untouched(lambda: ("second", Fix(NOW_NS, at(9.0), np.eye(6) * 1e-3, STILL)))
    asked = building.first.asked
    assert building.see(90).fix is not None and building.follower.map_name == "second"
    assert building.first.asked == asked


def test_forgetting_forgets_the_map():
    building = Building()
    building.see(20, 20)
    building.follower.forget()
    assert building.follower.map_name == "" and building.follower.map_from_odom(building.now_ns) is None
    assert building.see(60, 60).fix is not None and building.follower.map_name == "second"


def test_new_parameters_reach_all_maps():
    building = Building()
    building.follower.configure(Config(pose=PoseConfig(min_inliers=77)), TrackingConfig(), is_planar=False)
    assert {floor.config.pose.min_inliers for floor in (building.first, building.second)} == {77}
    assert building.follower.map_ids == ("first", "second")


@pytest.mark.parametrize("maps", [1, 2])
def test_others_take_the_place_of_all_maps(maps):
    building = Building()
    building.see(20, 20)
    others = [Floor(f"other {number}", lambda v: 100 * (v > 30)) for number in range(maps)]
    building.follower.use_maps(others)
    assert building.follower.last_fix is None and building.follower.map_name == ("other 0" if maps == 1 else "")
    assert building.see(40).status is (Status.UNCONFIRMED if maps == 1 else Status.AMBIGUOUS)
