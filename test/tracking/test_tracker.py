"""Which fixes are believed, where odometry carries the robot, and where the camera is searched."""

import math
from collections.abc import Callable

import numpy as np
import pycolmap
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deviloc_ros.config import TrackingConfig
from deviloc_ros.geometry import rotation_distance_deg
from deviloc_ros.status import Status
from deviloc_ros.tracking.fix import Fix, flatten, largest_stds, mahalanobis_distance, map_from_odom, predict_fix
from deviloc_ros.tracking.odometry import Odometer, Odometry
from deviloc_ros.tracking.sighting import SeenPlace, Sighting
from deviloc_ros.tracking.tracker import CLOCK_JUMP_IMAGES, Tracker, TrackingState, isotropic_covariance
from deviloc_ros.types import Prior

CONFIG = TrackingConfig(confirmations=3)
TIGHT = isotropic_covariance(0.01, 0.002)
SECOND = 1_000_000_000
CAM_FROM_BASE = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0.5, -0.5, 0.5, 0.5])), np.array([0.0, 0.3, -0.1]))


def planar(x: float, y: float = 0.0, yaw: float = 0.0) -> pycolmap.Rigid3d:
    return pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0.0, 0.0, yaw])), np.array([x, y, 0.0]))


def odometry(x: float, y: float = 0.0, yaw: float = 0.0) -> Odometry:
    return Odometry(planar(x, y, yaw))


def on_circle(radius_m: float, angle_rad: float) -> pycolmap.Rigid3d:
    """A robot that drives around a circle, from the origin along x."""
    return planar(radius_m * math.sin(angle_rad), radius_m * (1 - math.cos(angle_rad)), angle_rad)


def fix(seconds: float, map_from_base: pycolmap.Rigid3d, odometry: Odometry | None = None) -> Fix:
    return Fix(round(seconds * SECOND), map_from_base, TIGHT, odometry)


def observe(tracker: Tracker, seconds: float, x: float, odom_x: float | None = None) -> Status:
    odom = None if odom_x is None else odometry(odom_x)
    return see(tracker, fix(seconds, planar(x), odom), round(seconds * SECOND))


def see(tracker: Tracker, fix: Fix, now_ns: int) -> Status:
    """Show the tracker an image that fits one place."""
    return tracker.judge(Sighting(fix.stamp_ns, fix.odometry, (SeenPlace(fix),)), now_ns)[0]


@pytest.fixture
def localized() -> Tracker:
    """Standing at x = 1 m in the map and 0 in odometry, at second 10."""
    tracker = Tracker(CONFIG)
    for seconds in (9.8, 9.9, 10.0):
        verdict = observe(tracker, seconds, 1.0, 0.0)
    assert verdict is Status.ACCEPTED
    return tracker


def close(a: pycolmap.Rigid3d, b: pycolmap.Rigid3d, tolerance: float = 1e-9) -> bool:
    return bool(np.allclose(a.translation, b.translation, atol=tolerance)) and rotation_distance_deg(a, b) < 1e-5


# ---- algebra


def test_map_from_odom_takes_odometry_to_the_fix():
    robot = fix(0, planar(3, 2, 1.0), odometry(1, -1, 0.4))
    assert close(map_from_odom(robot) * robot.odometry.odom_from_base, robot.map_from_base)


def test_prediction_follows_odometry():
    start = fix(0, planar(3, 2, math.pi / 2), odometry(0, 0, 0))
    moved = predict_fix(start, SECOND, odometry(1, 0, 0.2), CONFIG)
    assert close(moved.map_from_base, planar(3, 3, math.pi / 2 + 0.2))


def test_prediction_grows_with_distance_and_without_odometry_with_time():
    start = fix(0, planar(0), odometry(0))
    std_near = largest_stds(predict_fix(start, SECOND, odometry(1), CONFIG).covariance)[0]
    std_far = largest_stds(predict_fix(start, SECOND, odometry(10), CONFIG).covariance)[0]
    blind = predict_fix(start, 2 * SECOND, None, CONFIG)
    assert 0.05 < std_near < 0.2 and std_far > 0.5
    assert close(blind.map_from_base, start.map_from_base) and largest_stds(blind.covariance)[0] > 4.0


def test_rotation_error_becomes_position_error_over_distance():
    start = Fix(0, planar(0), isotropic_covariance(0.001, 0.1), odometry(0))
    assert predict_fix(start, 0, odometry(5), CONFIG).covariance[1, 1] > 0.5**2


def test_mahalanobis_counts_sigmas_of_the_difference():
    a, b = Fix(0, planar(0), isotropic_covariance(3.0, 1.0)), Fix(0, planar(10), isotropic_covariance(4.0, 1.0))
    assert mahalanobis_distance(a, b) == pytest.approx(2.0)
    turned = Fix(0, planar(0, 0, 0.3), isotropic_covariance(1.0, 0.1 / math.sqrt(2)))
    assert mahalanobis_distance(Fix(0, planar(0), turned.covariance), turned) == pytest.approx(3.0)


def test_mahalanobis_of_fixes_drawn_from_their_covariance_is_that_of_six_dimensions():
    rng = np.random.default_rng(1)
    truth = planar(4, -2, 0.7)
    covariance = np.diag([0.01, 0.02, 0.03, 0.001, 0.002, 0.003])
    squared = []
    for _ in range(500):
        noise = rng.multivariate_normal(np.zeros(6), 2 * covariance)
        rotation = pycolmap.Rotation3d(noise[3:]) * truth.rotation
        drawn = Fix(0, pycolmap.Rigid3d(rotation, truth.translation + noise[:3]), covariance)
        squared.append(mahalanobis_distance(drawn, Fix(0, truth, covariance)) ** 2)
    assert np.mean(squared) == pytest.approx(6.0, rel=0.1)


def test_flattened_keeps_x_y_yaw_and_their_covariance():
    rotation = pycolmap.Rotation3d(np.array([0.0, 0.0, 0.8])) * pycolmap.Rotation3d(np.array([0.05, -0.03, 0.0]))
    full = Fix(5, pycolmap.Rigid3d(rotation, np.array([1.0, 2.0, 0.3])), np.diag([1.0, 2, 3, 4, 5, 6]) + 0.1)
    flat = flatten(full)
    assert flat.map_from_base.translation.tolist() == [1.0, 2.0, 0.0]
    assert np.allclose(flat.map_from_base.rotation.matrix()[2], [0, 0, 1])
    assert flat.covariance[5, 5] == pytest.approx(6.1) and flat.covariance[0, 5] == pytest.approx(0.1)
    assert flat.covariance[2, 2] < 1e-3 and np.linalg.eigvalsh(flat.covariance)[0] > 0


def after_drive(odom_from_base: Callable[[int], pycolmap.Rigid3d], seconds: float) -> Fix:
    """The prediction for a robot that was seen at the start of a drive and not since."""
    odometer, end_ns = Odometer(odom_from_base), round(seconds * SECOND)
    start = Fix(0, planar(0), isotropic_covariance(1e-6, 1e-6), odometer.read_at(0, odom_from_base(0)))
    return predict_fix(start, end_ns, odometer.read_at(end_ns, odom_from_base(end_ns)), CONFIG)


def test_a_turn_on_the_spot_counts_though_it_ends_where_it_began():
    expected = after_drive(lambda time_ns: planar(0, 0, math.tau * time_ns / (8 * SECOND)), 8.0)
    std_rad = CONFIG.drift_per_turn * math.tau + math.radians(CONFIG.drift_deg_per_s * 8)
    assert close(expected.map_from_base, planar(0), 1e-6)
    assert largest_stds(expected.covariance) == pytest.approx(
        (CONFIG.drift_m_per_s * 8, math.degrees(std_rad)), rel=1e-3
    )


def test_a_loop_counts_by_its_length_though_it_ends_where_it_began():
    expected = after_drive(lambda time_ns: on_circle(2.0, math.tau * time_ns / (20 * SECOND)), 20.0)
    metres = math.tau * 2.0
    degrees = CONFIG.drift_deg_per_m * metres + CONFIG.drift_per_turn * 360 + CONFIG.drift_deg_per_s * 20
    stds = CONFIG.drift_m_per_m * metres + CONFIG.drift_m_per_s * 20, degrees
    assert close(expected.map_from_base, planar(0), 1e-6)
    assert largest_stds(expected.covariance) == pytest.approx(stds, rel=1e-2)


@pytest.mark.parametrize(("turned", "verdict"), [(math.tau, Status.ACCEPTED), (0.0, Status.UNCONFIRMED)])
def test_a_fix_that_is_off_by_what_odometry_may_be_after_a_turn_is_believed_and_not_without_it(turned, verdict):
    odometer = Odometer(lambda time_ns: planar(0, 0, turned * time_ns / (8 * SECOND)))
    tracker = Tracker(TrackingConfig(confirmations=1))
    see(tracker, fix(0, planar(0), odometer.read_at(0, planar(0))), 0)
    tracker.config = CONFIG
    off = planar(0, 0, 1.2 * CONFIG.drift_per_turn * math.tau)
    assert see(tracker, fix(8, off, odometer.read_at(8 * SECOND, planar(0))), 8 * SECOND) is verdict


# ---- believing


def test_the_first_fix_needs_others_that_agree():
    tracker = Tracker(CONFIG)
    verdicts = [observe(tracker, 0.1 * i, 1.0, 0.0) for i in range(3)]
    assert verdicts == [Status.UNCONFIRMED, Status.UNCONFIRMED, Status.ACCEPTED]


def test_first_fixes_that_contradict_each_other_are_never_believed():
    tracker = Tracker(CONFIG)
    assert all(observe(tracker, 0.1 * i, 5.0 * (i % 2), 0.0) is Status.UNCONFIRMED for i in range(20))
    assert tracker.last is None and tracker.map_from_odom(0) is None


def test_confirmation_follows_a_robot_that_drives():
    tracker = Tracker(CONFIG)
    assert [observe(tracker, i, 1.0 + i, 0.0 + i) for i in range(3)][-1] is Status.ACCEPTED


def test_old_fixes_do_not_confirm():
    tracker = Tracker(CONFIG)
    assert all(observe(tracker, 6.0 * i, 1.0, 0.0) is Status.UNCONFIRMED for i in range(5))


def test_a_fix_that_agrees_with_odometry_is_believed_at_once(localized):
    assert observe(localized, 10.5, 1.5, 0.5) is Status.ACCEPTED
    assert close(localized.map_from_odom(round(10.5 * SECOND)), planar(1.0))


def test_a_glitch_does_not_move_the_robot(localized):
    assert observe(localized, 10.1, 8.0, 0.0) is Status.UNCONFIRMED
    assert close(localized.map_from_odom(round(10.1 * SECOND)), planar(1.0))
    assert observe(localized, 10.2, 1.0, 0.0) is Status.ACCEPTED
    assert localized.agreeing_count == 0


@pytest.mark.parametrize("factor", [1.0, 1.4])
def test_fixes_that_scatter_as_their_covariance_says_or_somewhat_more_are_believed(factor):
    tracker, rng = Tracker(CONFIG), np.random.default_rng(0)
    verdicts = []
    for i in range(100):
        noise = factor * rng.normal(0, [0.01, 0.01, 0.002])
        fix = Fix(i * SECOND // 10, planar(1 + noise[0], noise[1], noise[2]), TIGHT, odometry(0))
        verdicts.append(see(tracker, fix, fix.stamp_ns))
    assert verdicts.count(Status.ACCEPTED) >= 95


def test_a_kidnapped_robot_recovers(localized):
    verdicts = [observe(localized, 10.1 + 0.1 * i, 8.0, 0.0) for i in range(3)]
    assert verdicts == [Status.UNCONFIRMED, Status.UNCONFIRMED, Status.ACCEPTED]
    assert close(localized.map_from_odom(round(10.3 * SECOND)), planar(8.0))


def test_late_fixes_are_refused_and_a_clock_set_back_starts_anew(localized):
    assert observe(localized, 9.95, 1.0, 0.0) is Status.OUT_OF_ORDER
    assert observe(localized, 10.0, 1.0, 0.0) is Status.OUT_OF_ORDER
    verdicts = [observe(localized, 1.0 + 0.1 * number, 1.0, 0.0) for number in range(5)]
    assert verdicts == [Status.OUT_OF_ORDER] * 2 + [Status.UNCONFIRMED] * 2 + [Status.ACCEPTED]


@given(st.lists(st.lists(st.floats(0.0, 9.0), max_size=CLOCK_JUMP_IMAGES - 1), min_size=1, max_size=10))
def test_images_of_another_clock_between_make_nothing_forgotten(late_ones):
    """As of two cameras of a rig whose clocks differ, or over a network that delivers some images late."""
    tracker = Tracker(CONFIG)
    for seconds in (9.8, 9.9, 10.0):
        observe(tracker, seconds, 1.0, 0.0)
    for number, late in enumerate(late_ones, 1):
        assert all(observe(tracker, seconds, 1.0, 0.0) is Status.OUT_OF_ORDER for seconds in late)
        assert observe(tracker, 10.0 + 0.1 * number, 1.0, 0.0) is Status.ACCEPTED


def test_without_odometry_the_robot_may_have_moved():
    tracker = Tracker(TrackingConfig(confirmations=1, max_speed_m_per_s=2.0, max_mahalanobis=3.0))
    assert observe(tracker, 0.0, 0.0) is Status.ACCEPTED
    tracker.config = TrackingConfig(confirmations=2, max_speed_m_per_s=2.0, max_mahalanobis=3.0)
    assert observe(tracker, 1.0, 3.0) is Status.ACCEPTED
    assert observe(tracker, 1.1, 30.0) is Status.UNCONFIRMED
    assert tracker.map_from_odom(SECOND) is None


def test_a_fix_without_odometry_leaves_map_from_odom_as_it_was(localized):
    assert observe(localized, 10.1, 1.05, None) is Status.ACCEPTED
    assert close(localized.map_from_odom(round(10.1 * SECOND)), planar(1.0))


def test_a_jump_that_is_confirmed_without_odometry_ends_what_the_old_place_said_of_it(localized):
    verdicts = [observe(localized, 10.1 + 0.1 * i, 8.0, None) for i in range(3)]
    assert verdicts[-1] is Status.ACCEPTED
    assert localized.map_from_odom(round(10.3 * SECOND)) is None  # it would contradict the pose


def test_on_a_plane_only_what_moves_in_it_is_compared():
    tracker, verdicts = Tracker(CONFIG), []
    for i in range(20):
        pitched = pycolmap.Rotation3d(np.array([0.02 * (-1) ** i, 0.03 * (-1) ** i, 0.0]))  # braking, bumps
        odom = Odometry(pycolmap.Rigid3d(pitched, np.array([0.1 * i, 0.0, 0.05 * (i % 3)])))
        verdicts.append(see(tracker, flatten(fix(0.2 * i, planar(1 + 0.1 * i), odom)), i * SECOND // 5))
    assert verdicts[2:] == [Status.ACCEPTED] * 18
    assert see(tracker, flatten(fix(4.0, planar(6.0), odom)), 4 * SECOND) is Status.UNCONFIRMED


# ---- states


def test_states_by_the_age_of_the_last_fix(localized):
    assert Tracker(CONFIG).state(0) is TrackingState.UNLOCALIZED
    assert localized.state(round(10.9 * SECOND)) is TrackingState.LOCALIZED
    assert localized.state(15 * SECOND) is TrackingState.COASTING
    assert localized.state(41 * SECOND) is TrackingState.LOST
    assert localized.map_from_odom(41 * SECOND) is None


def test_without_odometry_there_is_nothing_to_coast_on():
    tracker = Tracker(TrackingConfig(confirmations=1))
    observe(tracker, 0.0, 0.0)
    assert tracker.state(5 * SECOND) is TrackingState.LOST


def test_a_lost_robot_needs_confirmation_again(localized):
    assert observe(localized, 60.0, 1.0, 0.0) is Status.UNCONFIRMED


# ---- searching


def test_nothing_known_searches_the_whole_map():
    assert Tracker(CONFIG).prior(0, None, CAM_FROM_BASE) is None


def test_prior_is_the_camera_where_odometry_has_the_robot(localized):
    prior = localized.prior(11 * SECOND, odometry(2.0), CAM_FROM_BASE)
    assert close(prior.cam_from_world, CAM_FROM_BASE * planar(3.0).inverse())
    assert CONFIG.search_radius_m < prior.radius_m < CONFIG.search_radius_m + 1.0
    assert CONFIG.search_angle_deg < prior.angle_deg < 180


def test_misses_and_contradictions_widen_the_search_to_the_whole_map(localized):
    def prior() -> Prior:
        return localized.prior(11 * SECOND, odometry(0), CAM_FROM_BASE)

    localized.count_miss()
    assert not prior().everywhere
    localized.count_miss()
    assert prior().everywhere and close(prior().cam_from_world, CAM_FROM_BASE * planar(1.0).inverse())
    assert observe(localized, 11.0, 1.0, 0.0) is Status.ACCEPTED
    assert not prior().everywhere
    observe(localized, 11.1, 50.0, 0.0)
    assert prior().everywhere and close(prior().cam_from_world, CAM_FROM_BASE * planar(1.0).inverse())
    (other,) = prior().others
    assert close(other, CAM_FROM_BASE * planar(50.0).inverse())


def test_a_hint_narrows_the_search_but_is_no_fix():
    tracker = Tracker(CONFIG)
    tracker.hint(fix(0, planar(5.0), odometry(0)))
    assert tracker.state(0) is TrackingState.UNLOCALIZED and tracker.map_from_odom(0) is None
    prior = tracker.prior(SECOND, odometry(1.0), CAM_FROM_BASE)
    assert close(prior.cam_from_world, CAM_FROM_BASE * planar(6.0).inverse())


def test_a_fix_that_agrees_with_the_hint_is_believed_at_once_and_any_other_waits():
    tracker = Tracker(CONFIG)
    tracker.hint(fix(0, planar(5.0), odometry(0)))
    assert observe(tracker, 1.0, 20.0, 0.0) is Status.UNCONFIRMED
    assert observe(tracker, 1.1, 5.5, 0.0) is Status.ACCEPTED
    assert observe(tracker, 1.2, 6.5, 0.0) is Status.UNCONFIRMED  # from now on the fix counts, not the hint


def test_an_epoch_ends_when_the_pose_is_given_or_forgotten(localized):
    epochs = [localized.epoch]
    for change in (lambda: localized.hint(fix(10.5, planar(5.0))), localized.reset):
        change()
        epochs.append(localized.epoch)
    observe(localized, 11.0, 1.0, 0.0)
    assert epochs == [0, 1, 2] and localized.epoch == 2


def test_a_hint_makes_the_old_pose_void(localized):
    localized.hint(fix(10.5, planar(5.0), odometry(0)))
    assert localized.map_from_odom(round(10.5 * SECOND)) is None


# ---- smoothing


def test_small_corrections_are_spread_over_time(localized):
    localized.config = TrackingConfig(smoothing_s=1.0)
    assert observe(localized, 10.1, 1.03, 0.0) is Status.ACCEPTED
    xs = [localized.map_from_odom(round(s * SECOND)).translation[0] for s in (10.1, 11.1, 20.0)]
    assert xs == pytest.approx([1.0, 1.03 - 0.03 / math.e, 1.03], abs=1e-4)


def test_a_second_correction_starts_where_the_first_had_come_to(localized):
    localized.config = TrackingConfig(smoothing_s=1.0)
    observe(localized, 10.1, 1.03, 0.0)
    before = localized.map_from_odom(round(10.6 * SECOND))
    observe(localized, 10.6, 1.0, 0.0)
    assert close(localized.map_from_odom(round(10.6 * SECOND)), before)


def test_a_confirmed_jump_is_not_smoothed(localized):
    localized.config = TrackingConfig(smoothing_s=1.0)
    for i in range(3):
        observe(localized, 10.1 + 0.1 * i, 8.0, 0.0)
    assert close(localized.map_from_odom(round(10.3 * SECOND)), planar(8.0))
