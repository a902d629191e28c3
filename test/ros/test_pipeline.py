"""One image to a fix or a reason, with a stand-in for the localizer and for TF."""

import gc
import weakref
from collections import Counter
from dataclasses import replace

import numpy as np
import pycolmap
import pytest

pytest.importorskip("rclpy")

from cv_bridge import CvBridge
from rclpy.serialization import deserialize_message, serialize_message
from ros.stand_in import BLACK, WHITE, StandInLocalizer
from sensor_msgs.msg import CameraInfo

from deviloc_ros.config import Config, MatcherConfig, bound_to_map
from deviloc_ros.geometry import covariance_of_moved
from deviloc_ros.ros.conversions import time_msg
from deviloc_ros.ros.parameters import Parameters, changed
from deviloc_ros.ros.pipeline import Pipeline
from deviloc_ros.ros.transforms import Missing
from deviloc_ros.status import Drop
from deviloc_ros.tracking.fix import Fix
from deviloc_ros.tracking.odometry import Odometry

pytestmark = pytest.mark.ros

NOW_NS = 1_700_000_000_000_000_000
BASE_FROM_CAM = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([-0.5, 0.5, -0.5, 0.5])), np.array([0.2, 0.0, 0.4]))
ODOMETRY = Odometry(pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0.0, 0.0, 0.3])), np.array([7.0, 1.0, 0.0])))


class StandInTransforms:
    """Answers from a dictionary; odometry only if one may wait for it."""

    def __init__(self, **known) -> None:
        self.known = known

    def base_from_cam(self, frame: str, time_ns: int, wait_s: float):
        return self.known.get("camera", Missing("no transform base_link <- camera"))

    def odometry(self, time_ns: int, wait_s: float | None):
        missing = Missing("no transform odom <- base_link")
        return self.known.get("odometry", missing) if wait_s is not None or self.known.get("early") else missing


class Bench:
    """A pipeline with known inputs."""

    def __init__(self, transforms=None, **parameters) -> None:
        self.localizer = StandInLocalizer()
        self.dropped = Counter()
        self.parameters = changed(Parameters(), {"tracking.confirmations": 1, **parameters})
        transforms = transforms or StandInTransforms(camera=BASE_FROM_CAM, odometry=ODOMETRY)
        self.pipeline = Pipeline(self.localizer, transforms, self.parameters, lambda: NOW_NS, self.dropped)
        self.pipeline.cameras.note(camera_info())

    def process(self, brightness: int = 50, time_ns: int = NOW_NS - 100_000_000, frame: str = "camera", size=(64, 48)):
        msg = CvBridge().cv2_to_imgmsg(np.full(size[::-1], brightness, np.uint8), "mono8")
        msg.header.frame_id, msg.header.stamp = frame, time_msg(time_ns)
        return self.pipeline.process(serialize_message(msg))


def camera_info(focal: float = 60.0, frame: str = "camera") -> CameraInfo:
    msg = CameraInfo(width=64, height=48, distortion_model="plumb_bob")
    msg.k = [focal, 0.0, 31.5, 0.0, focal, 23.5, 0.0, 0.0, 1.0 if focal else 0.0] if focal else [0.0] * 9
    msg.header.frame_id = frame
    return msg


def test_the_fix_is_of_the_robot_not_of_the_camera():
    outcome = Bench().process(50)
    map_from_cam = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([5.0, 0.0, 0.0]))
    assert outcome.reason == "accepted"
    assert np.allclose(outcome.fix.map_from_base.matrix(), (map_from_cam * BASE_FROM_CAM.inverse()).matrix())
    moved = covariance_of_moved(map_from_cam, np.diag([1e-4] * 3 + [1e-5] * 3), BASE_FROM_CAM.inverse())
    assert np.allclose(outcome.fix.covariance, moved)
    assert outcome.fix.odometry is ODOMETRY
    assert outcome.stages_ms["stamp_to_result"] == pytest.approx(100.0) and outcome.stages_ms["match"] == 1.0


def test_the_next_search_is_near_where_odometry_has_the_robot():
    bench = Bench(StandInTransforms(camera=BASE_FROM_CAM, odometry=ODOMETRY, early=True))
    bench.process(50, NOW_NS - 200_000_000)
    bench.process(50)
    first, second = bench.localizer.priors
    assert first is None
    assert np.allclose(second.cam_from_world.translation, [-5.0, 0, 0]) and second.radius_m < 12


def test_without_odometry_there_is_still_a_pose():
    outcome = Bench(StandInTransforms(camera=BASE_FROM_CAM)).process()
    assert outcome.fix is not None and outcome.fix.odometry is None


@pytest.mark.parametrize("values", [{"tf_mode": "map_to_base"}, {"tf_mode": "none", "odom_frame": ""}])
def test_odometry_is_not_asked_for_where_there_can_be_none(values):
    outcome = Bench(**values).process()
    assert outcome.fix is not None and outcome.fix.odometry is None


def test_two_d_mode_publishes_x_y_and_yaw():
    fix = Bench(two_d_mode=True).process().fix
    assert fix.map_from_base.translation[2] == 0.0
    assert np.allclose(fix.map_from_base.rotation.matrix()[2], [0, 0, 1])


def test_a_first_fix_waits_for_confirmation():
    bench = Bench(**{"tracking.confirmations": 2})
    first, second = bench.process(50, NOW_NS - 200_000_000), bench.process(50)
    assert first.fix is None and first.reason == "unconfirmed" and "1 so far" in first.detail
    assert second.fix is not None


@pytest.mark.parametrize("brightness", [50, BLACK])
def test_what_was_searched_for_before_someone_said_where_the_robot_is_is_outdated(brightness):
    bench = Bench(StandInTransforms(camera=BASE_FROM_CAM, odometry=ODOMETRY, early=True))
    elsewhere = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([60.0, 0.0, 0.0]))
    found = bench.localizer.localize

    def interrupted(*query):
        bench.pipeline.tracker.hint(Fix(NOW_NS, elsewhere, np.eye(6), ODOMETRY))
        bench.localizer.localize = found
        return found(*query)

    bench.localizer.localize = interrupted
    bench.pipeline.tracker.config = replace(bench.parameters.tracking, global_search_after=1)
    outcome = bench.process(brightness, NOW_NS - 200_000_000)
    assert outcome.fix is None and outcome.reason == ("no_features" if brightness == BLACK else "outdated")
    bench.process(50)
    assert bench.localizer.priors[-1] is not None  # still there


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ({"brightness": BLACK}, "no_features"),
        ({"size": (32, 24)}, "bad_image"),
        ({"time_ns": 0}, "no_stamp"),
        ({"time_ns": NOW_NS - 2_000_000_000}, "too_old"),
        ({"time_ns": NOW_NS + 2_000_000_000}, "from_future"),
        ({"frame": "other"}, "no_camera_info"),
    ],
)
def test_no_pose_has_a_reason(image, reason):
    bench = Bench()
    outcome = bench.process(**image)
    assert outcome.fix is None and outcome.reason == reason and outcome.detail
    assert bench.dropped == ({Drop[reason.upper()]: 1} if reason.upper() in Drop.__members__ else {})


def test_images_of_any_age_if_told_so():
    assert Bench(max_image_age_s=0.0).process(time_ns=5).fix is not None


def test_an_unknown_extrinsic_gives_no_pose():
    outcome = Bench(StandInTransforms(odometry=ODOMETRY)).process()
    assert outcome.fix is None and outcome.reason == "no_extrinsic" and "base_link <- camera" in outcome.detail


def test_an_undecodable_image_gives_no_pose():
    bench = Bench()
    msg = CvBridge().cv2_to_imgmsg(np.zeros((48, 64), np.uint8), "mono8")
    msg.header.frame_id, msg.header.stamp, msg.encoding = "camera", time_msg(NOW_NS), "unheard_of"
    assert bench.pipeline.process(serialize_message(msg)).reason == "undecodable"


def test_an_uncalibrated_camera_gives_no_pose():
    bench = Bench()
    bench.pipeline.cameras.note(camera_info(focal=0.0))
    outcome = bench.process()
    assert outcome.reason == "bad_camera_info" and "all zero" in outcome.detail


def test_calibration_is_converted_again_only_when_it_changes():
    cameras = Bench().pipeline.cameras
    camera = cameras.camera("camera")
    assert not cameras.note(camera_info()) and cameras.camera("camera") is camera
    assert cameras.note(camera_info(focal=70.0)) and cameras.camera("camera").focal_px == 70.0
    assert cameras.note(camera_info(frame="second")) and cameras.camera("camera").focal_px == 70.0


def drive_by(bench) -> str:
    """Twenty images from places half a metre apart; what is said of the calibration after them."""
    for number in range(20):
        bench.process(50 + 5 * (number % 4), NOW_NS - (20 - number) * 10_000_000)
    return bench.pipeline.calibration_complaint


def test_a_calibration_that_many_images_contradict_is_complained_of():
    bench = Bench()
    assert drive_by(bench) == ""  # images that do not tell
    bench.localizer.true_focal_px = 63.0
    assert drive_by(bench).startswith("1.050 +- 0.000 times the calibration's fits (20 images)")
    bench.pipeline.cameras.note(camera_info(focal=63.0))
    bench.process(50)
    assert bench.pipeline.calibration_complaint == "" == drive_by(bench)


def test_a_calibration_that_does_not_matter_is_not_complained_of():
    bench = Bench(**{"pose.estimate_focal": True})
    bench.localizer.true_focal_px = 63.0
    assert drive_by(bench) == ""


def test_what_images_of_another_map_said_of_the_calibration_is_forgotten():
    bench = Bench()
    bench.localizer.true_focal_px = 63.0
    assert drive_by(bench)
    bench.pipeline.take(StandInLocalizer())
    bench.process(50)
    assert bench.pipeline.calibration_complaint == ""


def test_a_calibration_with_nan_where_nobody_looks_does_not_change_all_the_time():
    info, cameras = camera_info(focal=80.0), Bench().pipeline.cameras
    info.p = [float("nan")] * 12
    assert cameras.note(info)
    copied = deserialize_message(serialize_message(info), CameraInfo)
    assert not cameras.note(copied)


def test_an_error_of_the_localizer_is_not_swallowed():
    with pytest.raises(RuntimeError, match="white"):
        Bench().process(WHITE)


def test_live_parameters_reach_localizer_and_tracker():
    bench = Bench()
    bench.pipeline.apply(changed(bench.parameters, {"pose.min_inliers": 77, "tracking.confirmations": 9}))
    assert bench.localizer.config.pose.min_inliers == 77
    assert bench.pipeline.tracker.config.confirmations == 9


def test_what_a_map_settled_stays():
    map_config = replace(Config(), matcher=replace(MatcherConfig(), name="xfeat-lighterglue", device="cuda:3"))
    bound = bound_to_map(replace(Config(), matcher=replace(MatcherConfig(), device="cpu")), map_config)
    assert (bound.matcher.name, bound.matcher.device) == ("xfeat-lighterglue", "cpu")


def test_freeing_lets_the_localizer_go():
    bench = Bench()
    localizer = weakref.ref(bench.localizer)
    bench.pipeline.free()
    bench.localizer = None
    gc.collect()
    assert localizer() is None
