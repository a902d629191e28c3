"""One image to a fix or a reason, with a stand-in for the localizer and for TF."""

import cv2
import numpy as np
import pycolmap
import pytest

pytest.importorskip("rclpy")

from cv_bridge import CvBridge
from rclpy.serialization import deserialize_message, serialize_message
from ros.stand_in import BLACK, WHITE, StandInLocalizer
from sensor_msgs.msg import CameraInfo

from deviloc_ros.geometry import move_covariance
from deviloc_ros.imaging import ImageError
from deviloc_ros.parameters.node_config import CameraConfig, NodeConfig, default_camera
from deviloc_ros.ros.conversions import time_msg
from deviloc_ros.ros.mask_book import KEPT, KEPT_BYTES
from deviloc_ros.ros.parameters import Parameters, change_parameters
from deviloc_ros.ros.pipeline import Pipeline
from deviloc_ros.ros.transforms import MissingTransform
from deviloc_ros.status import Status
from deviloc_ros.tracking.follower import Follower
from deviloc_ros.tracking.grouping import GroupedImage
from deviloc_ros.tracking.odometry import Odometry

pytestmark = pytest.mark.ros

NOW_NS = 1_700_000_000_000_000_000
BASE_FROM_CAM = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([-0.5, 0.5, -0.5, 0.5])), np.array([0.2, 0.0, 0.4]))
ODOMETRY = Odometry(pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0.0, 0.0, 0.3])), np.array([7.0, 1.0, 0.0])))


class StandInTransforms:
    """Answers from a dictionary; odometry only if one may wait for it."""

    def __init__(self, **known) -> None:
        self.known = known

    def base_from_cam(self, camera: CameraConfig, frame: str, time_ns: int, wait_s: float):
        return self.known.get("camera", MissingTransform("no transform base_link <- camera"))

    def odometry(self, time_ns: int, wait_s: float | None):
        missing = MissingTransform("no transform odom <- base_link")
        return self.known.get("odometry", missing) if wait_s is not None or self.known.get("early") else missing


class Bench:
    """A pipeline with known inputs."""

    def __init__(self, transforms=None, cameras=(), **parameters) -> None:
        self.localizer = StandInLocalizer()
        values = {"tracking.confirmations": 1, "cameras": cameras, **parameters}
        known = Parameters(NodeConfig(cameras=cameras), named_cameras={name: default_camera(name) for name in cameras})
        self.parameters = change_parameters(known, values)
        transforms = transforms or StandInTransforms(camera=BASE_FROM_CAM, odometry=ODOMETRY)
        follower = Follower(self.localizer, self.parameters.tracking)
        self.pipeline = Pipeline(follower, transforms, self.parameters, lambda: NOW_NS)
        for name, calibrations in self.pipeline.calibrations.items():
            calibrations.note(camera_info(frame=name or "camera"))

    def process(self, *images, **image):
        return self.follow([grouped(**one) for one in images] or [grouped(**image)])

    def follow(self, group):
        self.images = self.pipeline.read(group)
        return self.pipeline.follow(self.images)


def grouped(
    brightness: int = 50, time_ns: int = NOW_NS - 100_000_000, frame: str = "camera", size=(64, 48), camera: str = ""
) -> GroupedImage:
    msg = CvBridge().cv2_to_imgmsg(np.full(size[::-1], brightness, np.uint8), "mono8")
    msg.header.frame_id, msg.header.stamp = frame, time_msg(time_ns)
    return GroupedImage(camera, time_ns, NOW_NS, serialize_message(msg))


def camera_info(focal: float = 60.0, frame: str = "camera") -> CameraInfo:
    msg = CameraInfo(width=64, height=48, distortion_model="plumb_bob")
    msg.k = [focal, 0.0, 31.5, 0.0, focal, 23.5, 0.0, 0.0, 1.0 if focal else 0.0] if focal else [0.0] * 9
    msg.header.frame_id = frame
    return msg


def test_the_fix_is_of_the_robot_not_of_the_camera():
    step = Bench().process(brightness=50)
    map_from_cam = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([5.0, 0.0, 0.0]))
    assert step.status is Status.ACCEPTED
    assert np.allclose(step.fix.map_from_base.matrix(), (map_from_cam * BASE_FROM_CAM.inverse()).matrix())
    moved = move_covariance(map_from_cam, np.diag([1e-4] * 3 + [1e-5] * 3), BASE_FROM_CAM.inverse())
    assert np.allclose(step.fix.covariance, moved)
    assert step.fix.odometry is ODOMETRY
    assert step.stages_ms["stamp_to_result"] == pytest.approx(100.0) and step.stages_ms["match"] == 1.0


def test_without_odometry_there_is_still_a_pose():
    step = Bench(StandInTransforms(camera=BASE_FROM_CAM)).process()
    assert step.fix is not None and step.fix.odometry is None


@pytest.mark.parametrize("values", [{"tf_mode": "map_to_base"}, {"tf_mode": "none", "odom_frame": ""}])
def test_odometry_is_not_asked_for_where_there_can_be_none(values):
    step = Bench(**values).process()
    assert step.fix is not None and step.fix.odometry is None


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ({"brightness": BLACK}, Status.NO_FEATURES),
        ({"size": (32, 24)}, Status.BAD_IMAGE),
        ({"time_ns": 0}, Status.NO_STAMP),
        ({"time_ns": NOW_NS - 2_000_000_000}, Status.TOO_OLD),
        ({"time_ns": NOW_NS + 2_000_000_000}, Status.FROM_FUTURE),
        ({"frame": "other"}, Status.NO_CAMERA_INFO),
    ],
)
def test_no_pose_has_a_reason(image, reason):
    bench = Bench()
    step = bench.process(**image)
    assert step.fix is None and step.status is reason and step.detail


def test_images_of_any_age_if_told_so():
    assert Bench(max_image_age_s=0.0).process(time_ns=5).fix is not None


def test_an_unknown_extrinsic_gives_no_pose():
    step = Bench(StandInTransforms(odometry=ODOMETRY)).process()
    assert step.fix is None and step.status.word == "no_extrinsic" and "base_link <- camera" in step.detail


def test_an_undecodable_image_gives_no_pose():
    bench = Bench()
    msg = CvBridge().cv2_to_imgmsg(np.zeros((48, 64), np.uint8), "mono8")
    msg.header.frame_id, msg.header.stamp, msg.encoding = "camera", time_msg(NOW_NS), "unheard_of"
    step = bench.follow([GroupedImage("", NOW_NS, NOW_NS, serialize_message(msg))])
    assert step.status is Status.UNDECODABLE


def test_an_uncalibrated_camera_gives_no_pose():
    bench = Bench()
    bench.pipeline.calibrations[""].note(camera_info(focal=0.0))
    step = bench.process()
    assert step.status.word == "bad_camera_info" and "all zero" in step.detail


def test_calibration_is_converted_again_only_when_it_changes():
    cameras = Bench().pipeline.calibrations[""]
    camera = cameras.camera("camera")
    assert not cameras.note(camera_info()) and cameras.camera("camera") is camera
    assert cameras.note(camera_info(focal=70.0)) and cameras.camera("camera").focal_px == 70.0
    assert cameras.note(camera_info(frame="second")) and cameras.camera("camera").focal_px == 70.0


def test_a_calibration_with_nan_where_nobody_looks_does_not_change_all_the_time():
    info, cameras = camera_info(focal=80.0), Bench().pipeline.calibrations[""]
    info.p = [float("nan")] * 12
    assert cameras.note(info)
    copied = deserialize_message(serialize_message(info), CameraInfo)
    assert not cameras.note(copied)


def test_an_error_of_the_localizer_is_not_swallowed():
    with pytest.raises(RuntimeError, match="white"):
        Bench().process(brightness=WHITE)


# ---- several cameras

EARLIER_NS = NOW_NS - 140_000_000  # than the other images, by 40 ms


def reports(step) -> dict[str, tuple[str, bool]]:
    return {report.name: (report.status.word, report.used) for report in step.evidence.cameras}


def test_images_of_several_cameras_give_one_step_of_the_newest_s_time():
    transforms = StandInTransforms(camera=BASE_FROM_CAM, odometry=ODOMETRY, early=True)
    bench = Bench(transforms, cameras=("front", "left"))
    step = bench.process(
        {"camera": "front", "frame": "front", "time_ns": EARLIER_NS}, {"camera": "left", "frame": "left"}
    )
    assert step.status is Status.ACCEPTED and step.fix.stamp_ns == NOW_NS - 100_000_000
    assert reports(step) == {"front": ("accepted", True), "left": ("accepted", True)}
    assert [report.stamp_ns for report in step.evidence.cameras] == [EARLIER_NS, NOW_NS - 100_000_000]
    assert set(bench.images.pixels) == {"front", "left"} and len(bench.localizer.ahead) == 2


def test_without_odometry_the_newest_camera_is_alone():
    bench = Bench(StandInTransforms(camera=BASE_FROM_CAM), cameras=("front", "left"))
    step = bench.process(
        {"camera": "front", "frame": "front", "time_ns": EARLIER_NS}, {"camera": "left", "frame": "left"}
    )
    assert step.fix is not None and step.fix.odometry is None
    assert reports(step) == {"left": ("accepted", True), "front": ("no_odometry", False)}


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ({"frame": "other"}, "no_camera_info"),
        ({"size": (32, 24)}, "bad_image"),
        ({"time_ns": NOW_NS - 2_000_000_000}, "too_old"),
        ({"brightness": BLACK}, "no_features"),
    ],
)
def test_an_image_that_is_of_no_use_keeps_no_other_from_being_used(image, reason):
    bench = Bench(cameras=("front", "left"))
    step = bench.process({"camera": "front", "frame": "front", **image}, {"camera": "left", "frame": "left"})
    assert step.fix is not None
    assert reports(step) == {"front": (reason, False), "left": ("accepted", True)}


def test_where_no_image_is_of_use_the_step_says_why():
    bench = Bench(StandInTransforms(odometry=ODOMETRY), cameras=("front", "left"))
    step = bench.process({"camera": "front", "frame": "front"}, {"camera": "left", "frame": "left"})
    assert step.fix is None and step.status is Status.NO_EXTRINSIC
    assert reports(step) == dict.fromkeys(("front", "left"), ("no_extrinsic", False))


# ---- masks that are made for each image


def mask_bytes(hidden_rows: int = 10, time_ns: int = NOW_NS - 100_000_000, size=(64, 48)) -> bytes:
    pixels = np.full(size[::-1], 255, np.uint8)
    pixels[:hidden_rows] = 0
    msg = CvBridge().cv2_to_imgmsg(pixels, "mono8")
    msg.header.stamp = time_msg(time_ns)
    return serialize_message(msg)


def test_a_mask_belongs_to_the_image_of_its_stamp():
    bench = Bench(mask_topic="people", transform_timeout=0.0)
    bench.pipeline.masks[""].note(mask_bytes())
    assert bench.process().fix is not None
    used = bench.localizer.masks[-1].read((64, 48))
    assert not used[:10].any() and used[-10:].all()
    bench.pipeline.masks[""].note(mask_bytes(time_ns=NOW_NS - 90_000_000))
    assert bench.process().status.tried and bench.localizer.masks[-1] is None
    assert bench.pipeline.masks[""].missing == 1


def test_a_mask_of_another_size_is_refused():
    bench = Bench(mask_topic="people", transform_timeout=0.0)
    bench.pipeline.masks[""].note(mask_bytes(size=(32, 24)))
    step = bench.process()
    assert step.status is Status.BAD_IMAGE and "mask is 32 x 24 px, the image is 64 x 48" in step.detail


def test_masks_that_no_image_comes_for_do_not_fill_the_memory():
    bench = Bench(mask_topic="people", transform_timeout=0.0)
    book = bench.pipeline.masks[""]
    for number in range(KEPT + 10):
        book.note(mask_bytes(time_ns=NOW_NS + number))
    assert len(book._by_stamp) == KEPT
    large = mask_bytes() + bytes(KEPT_BYTES // 10)
    for _ in range(20):
        book._by_stamp[len(book._by_stamp)] = large
    book.note(mask_bytes())
    assert sum(map(len, book._by_stamp.values())) <= KEPT_BYTES


def test_a_mask_waits_for_its_image_though_others_come():
    """As while an image waits for its transforms, or in a rig for the mask of another camera."""
    bench = Bench(mask_topic="people", transform_timeout=0.0)
    for late_ns in range(0, 600_000_000, 10_000_000):
        bench.pipeline.masks[""].note(mask_bytes(time_ns=NOW_NS - 100_000_000 + late_ns))
    assert bench.process().fix is not None and bench.localizer.masks[-1] is not None


def test_each_camera_has_a_mask_of_its_own(tmp_path):
    path = tmp_path / "front.png"
    path.write_bytes(cv2.imencode(".png", np.full((48, 64), 255, np.uint8))[1].tobytes())
    bench = Bench(cameras=("front", "left"), **{"front.mask_path": str(path)})
    bench.process({"camera": "front", "frame": "front"}, {"camera": "left", "frame": "left"})
    assert [mask and mask.file for mask in bench.localizer.masks] == [path, None]
    with pytest.raises(ImageError, match=r"nowhere\.png: no such image"):
        Bench(cameras=("front",), **{"front.mask_path": str(tmp_path / "nowhere.png")})
