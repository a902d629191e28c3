"""A satellite receiver says where to search and decides between doubles; it never is the pose."""

from dataclasses import replace

import numpy as np
import pycolmap
import pytest
from test_rivals import APART_M, SHIFT, twin_map
from worlds import rigid_of

from deviloc_ros.config import GnssConfig, TrackingConfig
from deviloc_ros.geometry import translation_distance_m
from deviloc_ros.localizer import Localizer
from deviloc_ros.maps.georeference import EARTH, Georeference
from deviloc_ros.messages.gnss import GnssFix
from deviloc_ros.status import Status
from deviloc_ros.tracking.fix import Fix
from deviloc_ros.tracking.follower import Follower
from deviloc_ros.tracking.gnss import CONTRADICTIONS, GnssBuffer, agrees, make_area
from deviloc_ros.tracking.rig_images import StampedImage
from deviloc_ros.types import Area

__all__ = ["twin_map"]

LATITUDE, LONGITUDE = 48.137, 11.575
PERIOD_NS, NOW_NS = 200_000_000, 1_700_000_000_000_000_000
TRACKING = TrackingConfig(search_radius_m=3.0)
STD_M = 1.0  # of the receiver: doubles are 10 m apart


def at(east: float, north: float = 0.0, stamp_ns: int = NOW_NS, std_m: float = STD_M) -> GnssFix:
    latitude, longitude, _ = EARTH.enu_to_ellipsoid(np.array([[east, north, 0.0]]), LATITUDE, LONGITUDE, 0.0)[0]
    return GnssFix(stamp_ns, latitude, longitude, np.eye(2) * std_m**2)


@pytest.fixture(scope="module")
def localizer(twin_map):
    """In a map whose x is east."""
    twin_map.georeference = Georeference(LATITUDE, LONGITUDE, 0.0, pycolmap.Rigid3d())
    return Localizer(twin_map)


class Drive:
    """A robot that stands still, without odometry, and knows nothing but what a receiver says."""

    def __init__(self, localizer, room, tracking=TRACKING) -> None:
        self.book, self.room, self.now_ns = GnssBuffer(GnssConfig(min_std_m=0.5)), room, NOW_NS
        self.follower = Follower(localizer, tracking, gnss=self.book)
        self.truth = room.query_poses[0]
        self.x = self.truth.tgt_origin_in_src()

    def see(self, place=None, std_m=STD_M):
        """One image; place: where the receiver has the robot, None: it says nothing."""
        self.now_ns += PERIOD_NS
        if place is not None:
            self.book.note(at(place[0], place[1], self.now_ns, std_m))
        image = StampedImage(self.now_ns, self.room.queries[0], self.room.camera, pycolmap.Rigid3d())
        return self.follower.follow([image], lambda *_: None, self.now_ns)

    def off_m(self, step, shift=0.0) -> float:
        there = self.truth * pycolmap.Rigid3d(pycolmap.Rotation3d(), -np.array([shift, 0, 0]))
        return translation_distance_m(step.fix.map_from_base.inverse(), there)


def test_without_a_receiver_doubles_stay_ambiguous(localizer, room):
    drive = Drive(localizer, room)
    assert [drive.see().status for _ in range(4)] == [Status.AMBIGUOUS] * 4


@pytest.mark.parametrize("shift", [0.0, APART_M])
def test_a_receiver_decides_between_doubles_and_the_pose_is_the_image_s(localizer, room, shift):
    drive = Drive(localizer, room)
    place = drive.x + np.array([shift + 1.0, -0.7, 0])  # it is 1.2 m off
    steps = [drive.see(place) for _ in range(3)]
    assert isinstance(steps[0].prior, Area)
    assert steps[-1].status is Status.ACCEPTED and drive.off_m(steps[-1], shift) < 0.03


def test_a_receiver_that_reaches_both_doubles_decides_nothing(localizer, room):
    drive = Drive(localizer, room)
    assert [drive.see(drive.x + SHIFT / 2, std_m=3.0).fix for _ in range(4)] == [None] * 4


def test_a_receiver_that_is_wrong_is_no_pose_and_prevents_none_for_ever(localizer, room):
    """It has the robot half a kilometre away, where the map has no views."""
    drive = Drive(localizer, room)
    steps = [drive.see((500.0, 0.0)) for _ in range(4)]
    assert [step.fix for step in steps] == [None] * 4 and steps[0].status is Status.NO_REFERENCES
    assert steps[-1].status is Status.AMBIGUOUS  # the whole map is searched, and the receiver decides nothing


def test_fixes_that_a_receiver_contradicts_are_given_and_in_the_end_complained_of(room_map, room):
    room_map.georeference = Georeference(LATITUDE, LONGITUDE, 0.0, pycolmap.Rigid3d())
    drive = Drive(Localizer(room_map), room)
    steps = [drive.see((500.0, 0.0)) for _ in range(CONTRADICTIONS + 5)]
    assert steps[-1].status is Status.ACCEPTED and drive.off_m(steps[-1]) < 0.03
    assert "m away: is the map aligned to the right coordinates?" in drive.follower.gnss_complaint
    drive.see(drive.x)
    assert drive.follower.gnss_complaint == ""
    del room_map.__dict__["georeference"]


def test_of_a_map_that_is_nowhere_on_earth_a_receiver_says_nothing(room_map, room):
    drive = Drive(Localizer(room_map), room)
    assert room_map.georeference is None
    assert [drive.see((500.0, 0.0)).status for _ in range(3)][-1] is Status.ACCEPTED
    assert "no map is aligned to coordinates" in drive.follower.gnss_complaint


def test_the_position_nearest_in_time_counts_with_how_far_the_robot_may_have_moved():
    book, tracking = GnssBuffer(GnssConfig(max_age_s=1.0)), TrackingConfig(max_speed_m_per_s=4.0)
    for second in (0, 2, 5):
        book.note(at(second, stamp_ns=NOW_NS + second * 10**9, std_m=3.0))
    found = book.find_near(NOW_NS + 2_500_000_000, tracking)
    assert found.latitude == pytest.approx(LATITUDE) and np.allclose(found.covariance, np.eye(2) * (9 + 4))
    assert book.find_near(NOW_NS + 3_500_000_000, tracking) is None
    assert GnssBuffer().find_near(NOW_NS, tracking) is None


def test_what_is_upright_on_earth_may_lie_in_the_map():
    """The map's z is north, its y down."""
    enu_from_map = rigid_of((np.pi / 2, 0, 0), (3.0, 4.0, 0.0)).inverse()
    georeference = Georeference(LATITUDE, LONGITUDE, 0.0, enu_from_map)
    area = make_area(at(20.0, 10.0), georeference, TRACKING)
    inside = georeference.map_from_enu * np.array([20.0, 11.0, 300.0])
    outside = georeference.map_from_enu * np.array([20.0, 30.0, 0.0])
    assert area.contains(np.stack([inside, outside])).tolist() == [True, False]
    fix = Fix(NOW_NS, pycolmap.Rigid3d(pycolmap.Rotation3d(), inside), np.eye(6) * 1e-4)
    assert agrees(fix, at(20.0, 10.0), georeference, 5.0)
    assert not agrees(replace(fix, map_from_base=rigid_of((0, 0, 0), outside)), at(20.0, 10.0), georeference, 5.0)
