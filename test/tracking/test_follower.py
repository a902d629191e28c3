"""One step of the robot, with a stand-in for the localizer that reads the pose off the image's brightness."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pycolmap
import pytest
from ros.stand_in import BLACK, StandInLocalizer

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config, MatcherConfig, PoseConfig, TrackingConfig, bind_to_map
from deviloc_ros.geometry import move_covariance
from deviloc_ros.status import Status
from deviloc_ros.tracking.fix import Fix
from deviloc_ros.tracking.follower import Follower
from deviloc_ros.tracking.odometry import Odometry
from deviloc_ros.tracking.rig_images import StampedImage

NOW_NS = 1_700_000_000_000_000_000
CAMERA = Camera("PINHOLE", 64, 48, (60.0, 60.0, 31.5, 23.5))
BASE_FROM_CAM = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([-0.5, 0.5, -0.5, 0.5])), np.array([0.2, 0.0, 0.4]))
ODOMETRY = Odometry(pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0.0, 0.0, 0.3])), np.array([7.0, 1.0, 0.0])))
ELSEWHERE = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([60.0, 0.0, 0.0]))


class Robot:
    """A follower with known inputs."""

    def __init__(self, odometry=ODOMETRY, is_planar=False, **tracking) -> None:
        self.localizer, self.odometry = StandInLocalizer(), odometry
        self.tracking = TrackingConfig(**{"confirmations": 1, **tracking})
        self.follower = Follower(self.localizer, self.tracking, is_planar=is_planar)

    def see(self, brightness=50, stamp_ns=NOW_NS, camera=CAMERA, again=None):
        """again: answers for odometry that may be waited for."""
        pixels = np.full((48, 64), brightness, np.uint8)
        image = StampedImage(stamp_ns, pixels, camera, BASE_FROM_CAM)
        return self.follower.follow([image], lambda _, wait: again() if again and wait else self.odometry, stamp_ns)

    def drive_by(self, camera=CAMERA) -> str:
        """Twenty images from places half a metre apart; what is said of the calibration after them."""
        for number in range(20):
            self.see(50 + 5 * (number % 4), NOW_NS - (20 - number) * 10_000_000, camera)
        return self.follower.calibration_complaint


def is_expected_somewhere(follower) -> bool:
    return follower._maps.shown.tracker.expected_fix(NOW_NS, ODOMETRY) is not None


def test_the_fix_is_of_the_robot_not_of_the_camera():
    step = Robot().see(50)
    map_from_cam = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([5.0, 0.0, 0.0]))
    assert step.status is Status.ACCEPTED and step.fix.odometry is ODOMETRY
    assert np.allclose(step.fix.map_from_base.matrix(), (map_from_cam * BASE_FROM_CAM.inverse()).matrix())
    moved = move_covariance(map_from_cam, np.diag([1e-4] * 3 + [1e-5] * 3), BASE_FROM_CAM.inverse())
    assert np.allclose(step.fix.covariance, moved)


def test_the_next_search_is_near_where_odometry_has_the_robot():
    robot = Robot()
    robot.see(50, NOW_NS - 100_000_000)
    step = robot.see(50)
    first, second = robot.localizer.priors
    assert first is None and step.prior is second
    assert np.allclose(second.cam_from_world.translation, [-5.0, 0, 0]) and second.radius_m < 12


def test_odometry_that_arrives_while_an_image_is_localized_counts():
    robot = Robot(odometry=None)
    asked = []
    step = robot.see(again=lambda: asked.append(1) or ODOMETRY)
    assert step.fix.odometry is ODOMETRY and asked == [1] and "odometry" in step.stages_ms
    assert Robot().see(again=lambda: pytest.fail("it is known")).fix is not None


def test_a_lost_image_asks_for_nothing_and_says_why():
    step = Robot(odometry=None).see(BLACK, again=lambda: pytest.fail("nothing to move"))
    assert step.status is Status.NO_FEATURES and step.fix is None and "black" in step.detail


def test_a_planar_robot_has_x_y_and_yaw():
    fix = Robot(is_planar=True).see().fix
    assert fix.map_from_base.translation[2] == 0.0
    assert np.allclose(fix.map_from_base.rotation.matrix()[2], [0, 0, 1])


def test_a_first_fix_waits_for_confirmation():
    robot = Robot(confirmations=2)
    first, second = robot.see(50, NOW_NS - 100_000_000), robot.see(50)
    assert first.fix is None and first.status is Status.UNCONFIRMED and "1 so far" in first.detail
    assert second.fix is not None


@pytest.mark.parametrize("brightness", [50, BLACK])
@pytest.mark.parametrize("interruption", ["hint", "forget", "use_maps"])
def test_what_was_searched_for_before_someone_spoke_is_not_believed(brightness, interruption):
    robot = Robot(global_search_after=1)
    follower, localize = robot.follower, robot.localizer.localize
    says = {
        "hint": (lambda: follower.hint(Fix(NOW_NS, ELSEWHERE, np.eye(6), ODOMETRY)), Status.OUTDATED),
        "forget": (follower.forget, Status.OUTDATED),
        "use_maps": (lambda: follower.use_maps(StandInLocalizer()), Status.MAP_CHANGED),
    }
    interrupt, status = says[interruption]

    def interrupted(*query, **more):
        interrupt()
        return localize(*query, **more)

    robot.localizer.localize = interrupted
    step = robot.see(brightness, NOW_NS - 200_000_000)
    assert step.fix is None and step.status is (Status.NO_FEATURES if brightness == BLACK else status)
    assert is_expected_somewhere(follower) == (interruption == "hint")


def test_a_remembered_pose_is_a_hint_only_while_nothing_else_is_known():
    remembered = Fix(NOW_NS, ELSEWHERE, np.eye(6), ODOMETRY)
    fresh, told = Robot().follower, Robot().follower
    told.forget()
    for follower in (fresh, told):
        follower.hint_if_untouched(lambda: ("", remembered))
    assert is_expected_somewhere(fresh) and not is_expected_somewhere(told)


def test_a_calibration_that_many_images_contradict_is_complained_of():
    robot = Robot()
    assert robot.drive_by() == ""  # images that do not tell
    robot.localizer.true_camera = calibrated = Camera("PINHOLE", 64, 48, (63.0, 63.0, 31.5, 23.5))
    assert robot.drive_by() == (
        "1.050 +- 0.001 times the calibration's focal length fits (20 images): calibrate the camera"
    )
    robot.see(50, NOW_NS, calibrated)
    assert robot.follower.calibration_complaint == "" == robot.drive_by(calibrated)


def test_a_calibration_that_is_known_to_be_wrong_is_trusted_no_more_than_that():
    robot = Robot()
    robot.localizer.true_camera = CAMERA.change_intrinsics(np.array([0.0, 5.0, 0.0, 0.0]))
    assert robot.drive_by().startswith("the principal point is off by about -5.0 +- 0.2 px in x (20 images)")
    assert robot.localizer.config.pose.principal_point_std_px == pytest.approx(5.0, abs=0.1)
    robot.see(50, NOW_NS, robot.localizer.true_camera)
    assert robot.localizer.config == Config()


def test_images_stamped_late_are_named_and_why_their_fixes_are_not_believed():
    """The robot speeds up and slows down; an image that shows it at a time is stamped 133 ms later."""
    robot, late_s = Robot(confirmations=3, drift_m_per_s=0.0, drift_m_per_m=0.0), 0.133
    steps = 1 + np.round(4 * np.sin(0.4 * np.arange(30)) ** 2).astype(int)  # tenths of a metre per image
    brightness, seconds = 10 + np.cumsum(steps), np.arange(30) / 7.5
    details = []
    for number in range(29):
        x = np.interp(seconds[number] + late_s, seconds, brightness / 10)
        odom_from_base = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([x, 0.0, 0.0])) * BASE_FROM_CAM.inverse()
        robot.odometry = Odometry(odom_from_base)
        step = robot.see(int(brightness[number]), NOW_NS + round(1e9 * (seconds[number] + late_s)))
        details.append(step.detail)
    assert "images are stamped 133" in robot.follower.calibration_complaint
    assert "ms after the odometry" in robot.follower.calibration_complaint
    assert any("images are stamped" in detail for detail in details)


def test_a_calibration_that_does_not_matter_is_not_complained_of():
    robot = Robot()
    robot.follower.configure(Config(pose=PoseConfig(estimate_focal=True)), robot.tracking, is_planar=False)
    robot.localizer.true_camera = CAMERA.scale_focal(1.05)
    assert robot.drive_by() == ""


def test_what_images_of_another_map_said_of_the_calibration_is_forgotten():
    robot = Robot()
    robot.localizer.true_camera = CAMERA.scale_focal(1.05)
    assert robot.drive_by()
    robot.follower.use_maps(StandInLocalizer())
    robot.see()
    assert robot.follower.calibration_complaint == ""


def test_new_parameters_reach_localizer_and_tracker():
    robot = Robot()
    robot.follower.configure(
        Config(pose=PoseConfig(min_inliers=77)), replace(robot.tracking, confirmations=2), is_planar=True
    )
    assert robot.localizer.config.pose.min_inliers == 77
    assert robot.see().status is Status.UNCONFIRMED


def test_what_a_map_settled_stays():
    map_config = replace(Config(), matcher=replace(MatcherConfig(), name="xfeat-lighterglue", device="cuda:3"))
    bound = bind_to_map(replace(Config(), matcher=replace(MatcherConfig(), device="cpu")), map_config)
    assert (bound.matcher.name, bound.matcher.device) == ("xfeat-lighterglue", "cpu")


def test_releasing_lets_the_localizer_go():
    robot = Robot()
    localizer = weakref.ref(robot.localizer)
    robot.follower.release()
    robot.localizer = None
    gc.collect()
    assert localizer() is None
