"""Image messages to arrays and back."""

from array import array

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

from cv_bridge import CvBridge, CvBridgeError
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

BRIDGE = CvBridge()
TYPES = {
    "mono8": (np.uint8, 1),
    "mono16": (np.uint16, 1),
    "bgr8": (np.uint8, 3),
    "rgb8": (np.uint8, 3),
    "bgra8": (np.uint8, 4),
    "rgba8": (np.uint8, 4),
    "bgr16": (np.uint16, 3),
    "bayer_rggb8": (np.uint8, 1),
    "yuv422_yuy2": (np.uint8, 2),
    "8UC1": (np.uint8, 1),
    "8UC3": (np.uint8, 3),
    "16UC1": (np.uint16, 1),
    "16SC1": (np.int16, 1),
    "32SC1": (np.int32, 1),
    "32FC1": (np.float32, 1),
    "64FC2": (np.float64, 2),
}


def noise(dtype, channels, height=4, width=6, seed=0):
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(seed).uniform(0, 250, shape).astype(dtype)


def padded(msg, padding):
    """The same image with `padding` bytes after each row."""
    rows = np.frombuffer(msg.data, np.uint8).reshape(msg.height, msg.step)
    wide = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    msg.data, msg.step = array("B", wide.tobytes()), msg.step + padding
    return msg


@pytest.mark.parametrize("padding", [0, 2, 5])
@pytest.mark.parametrize("encoding", TYPES)
def test_round_trip(encoding, padding):
    image = noise(*TYPES[encoding])
    header = Header(frame_id="camera")
    msg = padded(BRIDGE.cv2_to_imgmsg(image, encoding, header), padding)
    assert (msg.height, msg.width, msg.encoding, msg.header.frame_id) == (4, 6, encoding, "camera")
    back = BRIDGE.imgmsg_to_cv2(msg)
    assert back.dtype == image.dtype
    np.testing.assert_array_equal(back, image)


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_big_endian_data_is_read_as_such(encoding):
    image = noise(*TYPES[encoding])
    msg = BRIDGE.cv2_to_imgmsg(image, encoding)
    msg.data, msg.is_bigendian = array("B", image.byteswap().tobytes()), 1
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(msg), image)


def test_big_endian_array_is_sent_as_such():
    image = noise(np.uint16, 1)
    msg = BRIDGE.cv2_to_imgmsg(image.astype(">u2"))
    assert msg.is_bigendian
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(msg), image)


@pytest.mark.parametrize(
    ("encoding", "desired", "code"),
    [
        ("bgr8", "rgb8", cv2.COLOR_BGR2RGB),
        ("rgb8", "bgr8", cv2.COLOR_RGB2BGR),
        ("bgr8", "mono8", cv2.COLOR_BGR2GRAY),
        ("rgb8", "mono8", cv2.COLOR_RGB2GRAY),
        ("mono8", "bgr8", cv2.COLOR_GRAY2BGR),
        ("bgra8", "rgb8", cv2.COLOR_BGRA2RGB),
        ("yuv422_yuy2", "mono8", cv2.COLOR_YUV2GRAY_YUYV),
        ("bayer_rggb8", "bgr8", cv2.COLOR_BayerBG2BGR),
    ],
)
def test_colours(encoding, desired, code):
    image = noise(*TYPES[encoding])
    converted = BRIDGE.imgmsg_to_cv2(padded(BRIDGE.cv2_to_imgmsg(image, encoding), 3), desired)
    np.testing.assert_array_equal(converted, cv2.cvtColor(image, code))


def test_sixteen_to_eight_bits_scales_colours_and_keeps_plain_numbers():
    image = np.array([[0, 200, 40000, 65535]], np.uint16)
    scaled = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(image, "mono16"), "mono8")
    np.testing.assert_allclose(scaled, image / 257, atol=1)
    cut = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(image, "16UC1"), "8UC1")
    np.testing.assert_array_equal(cut, [[0, 200, 255, 255]])


def test_a_part_of_a_larger_array_is_sent_whole():
    image = noise(np.uint8, 3, height=9, width=12)[2:6, 3:9]
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(image, "bgr8")), image)


def test_passthrough_names_the_type():
    assert BRIDGE.cv2_to_imgmsg(noise(np.uint8, 3)).encoding == "8UC3"
    assert BRIDGE.cv2_to_imgmsg(noise(np.float32, 1)).encoding == "32FC1"


@pytest.mark.parametrize(
    "msg",
    [
        Image(height=2, width=2, encoding="no such thing", step=2, data=[0] * 4),
        Image(height=2, width=2, encoding="mono8", step=2, data=[0] * 3),
        Image(height=2, width=2, encoding="bgr8", step=2, data=[0] * 4),
    ],
)
def test_a_message_that_contradicts_itself_is_refused(msg):
    with pytest.raises(CvBridgeError):
        BRIDGE.imgmsg_to_cv2(msg)


@pytest.mark.parametrize(("encoding", "desired"), [("8UC3", "bgr8"), ("8UC1", "8UC3"), ("mono8", "8UC3")])
def test_conversions_that_make_no_sense_are_refused(encoding, desired):
    with pytest.raises(CvBridgeError):
        BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(noise(*TYPES[encoding]), encoding), desired)


def test_an_encoding_that_does_not_fit_the_array_is_refused():
    with pytest.raises(CvBridgeError):
        BRIDGE.cv2_to_imgmsg(noise(np.uint8, 1), "bgr8")
    with pytest.raises(CvBridgeError):
        BRIDGE.cv2_to_imgmsg(np.zeros((2, 2, 2, 2), np.uint8))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_round_trip(channels):
    image = noise(np.uint8, channels)
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(BRIDGE.cv2_to_compressed_imgmsg(image, "png")), image)


def test_compressed_images_convert_too():
    grey = BRIDGE.cv2_to_compressed_imgmsg(np.full((8, 8), 77, np.uint8), "png")
    assert (BRIDGE.compressed_imgmsg_to_cv2(grey, "bgr8") == 77).all()
    colour = noise(np.uint8, 3)
    msg = BRIDGE.cv2_to_compressed_imgmsg(colour, "png")
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(msg, "rgb8"), colour[..., ::-1])


@pytest.mark.parametrize("data", [[], [1, 2, 3]])
def test_bytes_that_are_no_image_are_refused(data):
    with pytest.raises(CvBridgeError):
        BRIDGE.compressed_imgmsg_to_cv2(CompressedImage(format="jpeg", data=data))
