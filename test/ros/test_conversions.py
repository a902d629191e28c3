"""Messages to the core's types and back."""

import cv2
import numpy as np
import pycolmap
import pytest

pytest.importorskip("rclpy")

from cv_bridge import CvBridge
from geometry_msgs.msg import Pose, PoseWithCovarianceStamped, Transform
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest

from deviloc_ros.messages.cameras import camera_from_info
from deviloc_ros.messages.headers import parse_rigid
from deviloc_ros.messages.images import PICTURES, pixels_of
from deviloc_ros.ros.conversions import (
    BRIDGED,
    covariance_from_msg,
    image_from_serialized,
    pixels_from_msg,
    pose_msg,
    pose_with_covariance_msg,
    read_serialized_stamp,
    rigid_from_msg,
    time_msg,
    transform_msg,
)
from deviloc_ros.ros.image_decoder import ImageDecoder

pytestmark = pytest.mark.ros

POINTS = np.array([[0.3, -0.2, 1.0], [-0.4, 0.35, 1.2], [0.0, 0.0, 2.0], [0.5, 0.4, 1.5]])
K = [500.0, 0.0, 320.5, 0.0, 510.0, 239.5, 0.0, 0.0, 1.0]
PLUMB_BOB = [-0.28, 0.07, 0.0005, -0.0003, 0.01]
RATIONAL = [0.4, -0.1, 0.0005, -0.0003, 0.02, 0.6, -0.05, 0.01]


def info(model: str = "plumb_bob", d=(), **fields) -> CameraInfo:
    msg = CameraInfo(width=640, height=480, distortion_model=model, d=list(d), k=K, **fields)
    msg.p = [480.0, 0.0, 315.0, 0.0, 0.0, 485.0, 236.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    msg.header.frame_id = "camera"
    return msg


def matrix() -> np.ndarray:
    return np.array(K).reshape(3, 3)


def transform() -> pycolmap.Rigid3d:
    return pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0.1, -0.7, 0.4])), np.array([1.0, -2.0, 3.0]))


# ---- cameras: the pixels must be those that OpenCV, and so every ROS driver, gives them


@pytest.mark.parametrize("kind", [Image, CompressedImage])
def test_the_stamp_is_read_off_the_bytes(kind):
    msg = kind()
    msg.header.stamp, msg.header.frame_id = time_msg(1_700_000_000_123_456_789), "camera"
    assert read_serialized_stamp(serialize_message(msg)) == 1_700_000_000_123_456_789
    assert read_serialized_stamp(bytes.fromhex("000000000000000200000003")) == 2_000_000_003  # big-endian


@pytest.mark.parametrize(
    ("model", "d", "colmap_model"),
    [
        ("plumb_bob", [], "PINHOLE"),
        ("plumb_bob", [0.0] * 5, "PINHOLE"),
        ("plumb_bob", PLUMB_BOB[:4], "OPENCV"),
        ("plumb_bob", [*PLUMB_BOB[:4], 0.0], "OPENCV"),
        ("plumb_bob", PLUMB_BOB, "FULL_OPENCV"),
        ("rational_polynomial", RATIONAL, "FULL_OPENCV"),
        ("rational_polynomial", [*RATIONAL, 0.0, 0.0, 0.0, 0.0], "FULL_OPENCV"),
    ],
)
def test_camera_projects_as_opencv_does(model, d, colmap_model):
    camera = camera_from_info(info(model, d))
    expected = cv2.projectPoints(POINTS, np.zeros(3), np.zeros(3), matrix(), np.array(d) if d else None)[0]
    assert camera.model == colmap_model
    assert np.allclose(camera.project(POINTS), expected[:, 0], atol=1e-6)


def test_fisheye_camera_projects_as_opencv_does():
    d = [0.05, -0.01, 0.002, -0.0004]
    expected = cv2.fisheye.projectPoints(POINTS[:, None], np.zeros(3), np.zeros(3), matrix(), np.array(d))[0]
    assert np.allclose(camera_from_info(info("equidistant", d)).project(POINTS), expected[:, 0], atol=1e-6)


def test_a_rectified_image_is_described_by_p_without_distortion():
    camera = camera_from_info(info("plumb_bob", PLUMB_BOB), rectified=True)
    assert (camera.model, camera.params) == ("PINHOLE", (480.0, 485.0, 315.0, 236.0))


def test_region_of_interest_and_binning_shift_and_scale_the_full_image():
    roi = RegionOfInterest(x_offset=100, y_offset=40, width=400, height=200)
    camera = camera_from_info(info("plumb_bob", PLUMB_BOB, roi=roi, binning_x=2, binning_y=2))
    full = camera_from_info(info("plumb_bob", PLUMB_BOB)).project(POINTS)
    assert (camera.width, camera.height) == (200, 100)
    assert np.allclose(camera.project(POINTS), (full - [100, 40]) / 2)


@pytest.mark.parametrize(
    ("msg", "says"),
    [
        (CameraInfo(width=640, height=480, distortion_model="plumb_bob"), "not calibrated: K is all zero"),
        (CameraInfo(k=K, distortion_model="plumb_bob"), "no image size"),
        (info("plumb_bob", [0.1] * 3), "'plumb_bob' with 3 coefficients"),
        (info("equidistant", []), "'equidistant' with 0 coefficients"),
        (info("rational_polynomial", [*RATIONAL, 0.1, 0.0, 0.0, 0.0]), "thin prisms or tilt"),
        (info("kannala", [0.1] * 4), "'kannala'"),
        (CameraInfo(width=640, height=480, k=[500.0, 2.0, *K[2:]]), "skew"),
        (CameraInfo(width=640, height=480, k=[float("nan"), *K[1:]]), "finite"),
    ],
)
def test_unusable_camera_info_is_refused_with_the_reason(msg, says):
    with pytest.raises(ValueError, match=says):
        camera_from_info(msg)


def test_rectified_without_p_is_refused():
    msg = info()
    msg.p = [0.0] * 12
    with pytest.raises(ValueError, match="P is all zero"):
        camera_from_info(msg, rectified=True)


# ---- images


def picture() -> np.ndarray:
    """(48, 64, 3) BGR, smooth so that JPEG keeps it."""
    y, x = np.mgrid[:48, :64]
    return np.stack([4 * x, 5 * y, 2 * x + 2 * y], 2).astype(np.uint8)


def by_bridge(msg) -> np.ndarray:
    return pixels_from_msg(msg, CvBridge())


both = pytest.mark.parametrize("decode", [by_bridge, pixels_of])  # of messages over DDS, and in bags


@both
@pytest.mark.parametrize("encoding", ["bgr8", "rgb8", "bgra8", "rgba8", "mono8"])
def test_raw_images_become_bgr_or_gray(decode, encoding):
    codes = {
        "rgb8": cv2.COLOR_BGR2RGB,
        "bgra8": cv2.COLOR_BGR2BGRA,
        "rgba8": cv2.COLOR_BGR2RGBA,
        "mono8": cv2.COLOR_BGR2GRAY,
    }
    pixels = cv2.cvtColor(picture(), codes[encoding]) if encoding in codes else picture()
    result = decode(CvBridge().cv2_to_imgmsg(pixels, encoding))
    assert np.array_equal(result, pixels if encoding == "mono8" else picture())


@both
def test_sixteen_bit_gray_is_scaled(decode):
    gray = np.array([[0, 257 * 100, 65535]], np.uint16)
    assert decode(CvBridge().cv2_to_imgmsg(gray, "mono16")).tolist() == [[0, 100, 255]]


@both
@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_compressed_images_become_bgr(decode, kind):
    result = decode(CvBridge().cv2_to_compressed_imgmsg(picture(), kind))
    assert np.abs(result.astype(int) - picture()).mean() < (3 if kind == "jpg" else 1e-9)


@both
@pytest.mark.parametrize(
    "msg",
    [
        Image(width=64, height=48, encoding="bgr8", step=192, data=bytes(10)),
        Image(width=64, height=48, encoding="nonsense", step=64, data=bytes(64 * 48)),
        CompressedImage(format="jpeg", data=b"not an image"),
        CompressedImage(format="jpeg", data=b""),
        CompressedImage(
            format="16UC1; png compressed", data=bytes(cv2.imencode(".png", np.ones((4, 4), np.uint16))[1])
        ),
        Image(width=64, height=48, encoding="nv12", step=64, data=bytes(64 * 48)),
    ],
)
def test_damaged_images_are_refused(decode, msg):
    with pytest.raises(ValueError):
        decode(msg)


def message_of(encoding: str, padding: int = 0, is_bigendian: bool = False, seed: int = 0) -> Image:
    """An image of random values, 64 x 48 px, whose rows may be longer than their pixels."""
    layout = PICTURES[encoding]
    rows, row_values = int(48 * layout.rows), 64 * layout.channels
    values = np.random.default_rng(seed).integers(0, np.iinfo(layout.dtype).max, (rows, row_values), endpoint=True)
    data = values.astype(np.dtype(layout.dtype).newbyteorder(">" if is_bigendian else "<")).view(np.uint8)
    padded = np.pad(data, ((0, 0), (0, padding)), constant_values=255)
    msg = Image(width=64, height=48, encoding=encoding, step=padded.shape[1], data=padded.tobytes())
    msg.is_bigendian = is_bigendian
    return msg


@pytest.mark.parametrize("encoding", sorted(PICTURES))
@pytest.mark.parametrize("padding", [0, 1, 7, 64])
@pytest.mark.parametrize("is_bigendian", [False, True])
def test_both_decoders_make_the_same_of_every_encoding_however_its_rows_lie(encoding, padding, is_bigendian):
    plain = pixels_of(message_of(encoding))
    msg = message_of(encoding, padding, is_bigendian)
    assert plain.shape[:2] == (48, 64) and plain.dtype == np.uint8
    assert np.array_equal(pixels_of(msg), plain)
    assert np.array_equal(by_bridge(msg), plain)


@both
@pytest.mark.parametrize("encoding", ["16UC1", "32FC1", "32FC3", "64FC1", "8SC1", "16SC1", "8UC2", "", "8UC99999999"])
def test_what_is_no_picture_is_refused_by_both(decode, encoding):
    with pytest.raises(ValueError, match=r"(not that of a camera image|does not say)"):
        decode(Image(width=2, height=2, encoding=encoding, step=2, data=bytes(64)))


@pytest.mark.parametrize("encoding", sorted(set(PICTURES) - BRIDGED))
def test_what_is_not_left_to_cv_bridge_is_decoded_without_it(encoding):
    class Untouched:
        def __getattr__(self, name: str):
            raise AssertionError(name)

    pixels_from_msg(message_of(encoding), Untouched())


@pytest.mark.parametrize(
    ("encoding", "pixel", "expected"),
    [
        ("8UC3", [1, 2, 3], [1, 2, 3]),
        ("8UC4", [1, 2, 3, 9], [1, 2, 3]),
        ("rgb8", [1, 2, 3], [3, 2, 1]),
        ("8UC1", [7], 7),
    ],
)
def test_types_without_colours_are_taken_for_bgr(encoding, pixel, expected):
    msg = Image(width=1, height=1, encoding=encoding, step=len(pixel), data=pixel)
    assert pixels_of(msg)[0, 0].tolist() == expected


@pytest.mark.parametrize("encoding", ["nv12", "nv21"])
def test_images_of_two_planes_keep_their_height(encoding):
    gray = np.full((48, 64), 77, np.uint8)
    data = np.vstack([gray, np.full((24, 64), 128, np.uint8)])
    msg = Image(width=64, height=48, encoding=encoding, step=64, data=data.tobytes())
    assert np.ptp(pixels_of(msg)) == 0 and pixels_of(msg).shape == (48, 64, 3)


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, line: str) -> None:
        self.lines.append(line)


@pytest.mark.parametrize("fault", ["", "it crashes the process (signal 11)"])
def test_a_cv_bridge_that_fails_is_done_without_and_said_once(fault, monkeypatch):
    class Probe:
        has_ended = False

        def wait_for_verdict(self) -> str:
            return fault

    monkeypatch.setattr("deviloc_ros.ros.image_decoder.BridgeProbe", Probe)
    log, msg = Log(), message_of("rgb8")
    decoder = ImageDecoder(log)
    first = decoder.pixels(msg)
    Probe.has_ended = True
    for _ in range(2):
        assert np.array_equal(decoder.pixels(msg), first)
    assert len(log.lines) == (1 if fault else 0) and fault in "".join(log.lines)


def test_serialized_images_come_back_with_their_header():
    msg = CvBridge().cv2_to_imgmsg(picture(), "bgr8")
    msg.header.frame_id, msg.header.stamp = "camera", time_msg(1_700_000_000_123_456_789)
    header, back = image_from_serialized(serialize_message(msg), compressed=False)
    assert (header.frame_id, header.stamp) == ("camera", time_msg(1_700_000_000_123_456_789))
    assert np.array_equal(pixels_from_msg(back), picture())


# ---- poses


def test_poses_and_transforms_come_back():
    for msg in (pose_msg(transform()), transform_msg(transform(), 0, "map", "base_link").transform):
        assert np.allclose(rigid_from_msg(msg).matrix(), transform().matrix())


def test_covariance_is_ordered_as_ros_has_it():
    covariance = np.diag([1.0, 2, 3, 4, 5, 6])
    covariance[0, 5] = covariance[5, 0] = 0.5
    msg = pose_with_covariance_msg(transform(), covariance, 5, "map")
    assert (msg.header.frame_id, msg.header.stamp.nanosec) == ("map", 5)
    assert msg.pose.covariance[0] == 1 and msg.pose.covariance[5] == 0.5 and msg.pose.covariance[35] == 6
    assert np.allclose(covariance_from_msg(msg), covariance)


def test_rviz_leaves_axes_at_zero_and_they_become_unknown():
    msg = PoseWithCovarianceStamped()
    msg.pose.covariance[0] = msg.pose.covariance[7] = 0.25
    msg.pose.covariance[35] = 0.07
    assert np.diag(covariance_from_msg(msg)) == pytest.approx([0.25, 0.25, 100.0, 0.09, 0.09, 0.07])


@pytest.mark.parametrize(("index", "value"), [(0, float("nan")), (1, 0.1), (1, float("inf"))])
def test_impossible_covariances_are_refused(index, value):
    msg = pose_with_covariance_msg(transform(), np.eye(6), 0, "map")
    msg.pose.covariance[index] = value
    with pytest.raises(ValueError):
        covariance_from_msg(msg)


def test_a_covariance_that_is_not_positive_is_refused():
    covariance = np.eye(6)
    covariance[0, 1] = covariance[1, 0] = 7.0
    with pytest.raises(ValueError, match="positive"):
        covariance_from_msg(pose_with_covariance_msg(transform(), covariance, 0, "map"))


@pytest.mark.parametrize("kind", [Pose, Transform])
def test_poses_that_are_none_are_refused(kind):
    msg = kind()
    rotation = msg.orientation if kind is Pose else msg.rotation
    rotation.w = 0.0
    with pytest.raises(ValueError, match="not valid"):
        rigid_from_msg(msg)


def test_a_transform_as_text():
    assert parse_rigid("1 2 3 0 0 0 1").translation.tolist() == [1.0, 2.0, 3.0]
    for wrong in ("1 2 3", "1 2 3 0 0 0 0", "a b c d e f g", "1 2 nan 0 0 0 1"):
        with pytest.raises(ValueError):
            parse_rigid(wrong)
