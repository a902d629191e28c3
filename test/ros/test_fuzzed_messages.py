"""Any bytes in the place of an image, and any numbers in messages: a reason, and never an exception."""

import math
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pycolmap
import pytest
from fuzzing import examples
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from rclpy.serialization import serialize_message
from rclpy.time import Time
from ros.stand_in import StandInLocalizer
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, NavSatFix
from tf2_msgs.msg import TFMessage
from tf2_ros import Buffer, TransformException

import deviloc_ros.ros
from deviloc_ros.messages.camera_book import CameraBook
from deviloc_ros.messages.images import PICTURES, pixels_of, stated_size
from deviloc_ros.ros.bounded_counter import MAX_NAMES, MAX_TEXT, BoundedCounter, shorten
from deviloc_ros.ros.conversions import (
    covariance_from_msg,
    message_from_serialized,
    read_serialized_stamp,
    rigid_from_msg,
    time_msg,
)
from deviloc_ros.ros.parameters import Parameters, change_parameters
from deviloc_ros.ros.pipeline import Pipeline
from deviloc_ros.ros.transform_checks import TransformSieve
from deviloc_ros.status import NotTried
from deviloc_ros.tracking.follower import Follower
from deviloc_ros.tracking.grouping import GroupedImage

pytestmark = pytest.mark.ros

NOW_NS = 1_000_000_000_000
FLOATS = st.one_of(st.floats(width=64), st.sampled_from([0.0, 1.0, -1.0, 1e200, 1e308, -1e308, 5e-324]))
UINT32 = st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 48, 64, 2**31, 2**32 - 1]))
INT32 = st.integers(-(2**31), 2**31 - 1)
NAMES = st.one_of(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20), st.just("x" * 5000))
ENCODINGS = st.one_of(st.sampled_from([*PICTURES, "32FC1", "16UC1", "8UC9", ""]), NAMES)


class NoTransforms:
    def base_from_cam(self, camera, frame: str, time_ns: int, wait_s: float | None) -> pycolmap.Rigid3d:
        return pycolmap.Rigid3d()


@pytest.fixture(scope="module", params=["raw", "compressed"])
def pipeline(request) -> Pipeline:
    values = {"image_transport": request.param, "tf_mode": "none", "odom_frame": "", "max_image_age_s": 0.0}
    parameters = change_parameters(Parameters(), values)
    pipeline = Pipeline(Follower(StandInLocalizer(), parameters.tracking), NoTransforms(), parameters, lambda: NOW_NS)
    msg = CameraInfo(width=64, height=48, k=[60.0, 0, 31.5, 0, 60, 23.5, 0, 0, 1])
    msg.header.frame_id = "camera"
    pipeline.calibrations[""].note(msg)
    return pipeline


def whole(compressed: bool) -> bytes:
    """A serialized image that is all right, gray."""
    if compressed:
        import cv2

        data = cv2.imencode(".png", np.full((48, 64), 100, np.uint8))[1].tobytes()
        msg = CompressedImage(format="png", data=data)
    else:
        msg = Image(width=64, height=48, encoding="mono8", step=64, data=bytes([100]) * 64 * 48)
    msg.header.frame_id, msg.header.stamp = "camera", time_msg(NOW_NS)
    return serialize_message(msg)


def reason_of(pipeline: Pipeline, data: bytes) -> str:
    step = pipeline.follow(pipeline.read([GroupedImage("", read_serialized_stamp(data), NOW_NS, data)]))
    assert step.detail or step.fix is not None
    assert isinstance(step.stamp_ns, int) and all(math.isfinite(ms) for ms in step.stages_ms.values())
    return step.status.word


@examples(300)
@given(st.binary(max_size=300))
def test_any_bytes_have_a_reason(pipeline, data):
    assert reason_of(pipeline, data) in {"undecodable", "no_camera_info", "no_stamp", "bad_image"}
    read_serialized_stamp(data)


@examples(300)
@given(st.data())
def test_damaged_images_are_localized_or_have_a_reason(pipeline, data):
    serialized = bytearray(whole(pipeline.parameters.node.image_transport == "compressed"))
    head = min(len(serialized), 120)
    for place in data.draw(st.lists(st.integers(0, head - 1), max_size=5)):
        serialized[place] = data.draw(st.integers(0, 255))
    length = data.draw(st.one_of(st.just(len(serialized)), st.integers(0, len(serialized))))
    reason_of(pipeline, bytes(serialized[:length]))


@examples(300)
@given(st.binary(min_size=2, max_size=2), st.integers(0, 200))
def test_padding_that_is_not_there_ends_nothing(pipeline, options, length):
    """The third and fourth byte say how much of the end is padding; Fast CDR crashed where there is less than that."""
    serialized = whole(pipeline.parameters.node.image_transport == "compressed")
    reason_of(pipeline, (serialized[:2] + options + serialized[4:])[:length])
    assert reason_of(pipeline, serialized[:2] + options + serialized[4:]) in {"accepted", "unconfirmed", "out_of_order"}


SERIALIZED = {
    type(msg): serialize_message(msg)
    for msg in (
        CameraInfo(d=[0.0] * 5, distortion_model="plumb_bob"),
        NavSatFix(),
        PoseWithCovarianceStamped(),
        TFMessage(transforms=[TransformStamped(child_frame_id="base_link")]),
        DiagnosticArray(),
    )
}


@examples(300)
@given(st.sampled_from(list(SERIALIZED)), st.binary(min_size=4, max_size=4), st.data())
def test_no_bytes_of_any_topic_end_the_process(kind, head, data):
    body = bytearray(SERIALIZED[kind][4:])
    for place in data.draw(st.lists(st.integers(0, len(body) - 1), max_size=5)):
        body[place] = data.draw(st.integers(0, 255))
    length = data.draw(st.one_of(st.integers(0, 12), st.integers(0, len(body))))
    with suppress(ValueError):
        assert isinstance(message_from_serialized(head + bytes(body[:length]), kind), kind)


def test_every_subscription_is_to_bytes():
    """What rclpy deserializes itself may end the process; scripts that listen to their own node alone may let it."""
    folder = Path(deviloc_ros.ros.__file__).parent
    for file in (*folder.glob("*.py"), folder / "tools" / "doctor.py"):
        text = file.read_text()
        assert text.count("create_subscription(") == text.count("raw=True"), file
        assert "TransformListener(" not in text, file


@examples(300)
@given(UINT32, UINT32, UINT32, ENCODINGS, st.binary(max_size=5000), st.booleans())
def test_images_of_any_size_and_encoding_are_decoded_or_refused(width, height, step, encoding, data, is_bigendian):
    msg = SimpleNamespace(
        width=width, height=height, step=step, encoding=encoding, data=data, is_bigendian=is_bigendian
    )
    assert stated_size(msg) == (width, height)
    try:
        pixels = pixels_of(msg)
    except ValueError as error:
        assert len(str(error)) < 1000
        return
    assert pixels.shape[:2] == (height, width) and pixels.dtype == np.uint8


@examples(300)
@given(NAMES, UINT32, UINT32, NAMES, st.lists(FLOATS, max_size=15), st.lists(FLOATS, min_size=9, max_size=9), UINT32)
def test_any_calibration_is_a_camera_or_has_a_reason(frame, width, height, model, d, k, number):
    msg = CameraInfo(width=width, height=height, distortion_model=model, d=d, k=k, binning_x=number)
    msg.header.frame_id = frame
    msg.roi.x_offset = number
    book = CameraBook(rectified=False)
    book.note(msg)
    try:
        camera = book.camera(frame)
    except NotTried:
        return
    assert camera.width > 0 and np.isfinite(camera.params).all()


TRANSFORMS = st.builds(
    lambda sec, nanosec, parent, child, t, q: (sec, nanosec, parent, child, t, q),
    st.one_of(INT32, st.sampled_from([999, 1000, -1, 2**31 - 1])),
    UINT32,
    st.sampled_from(["odom", "map", "base_link", "", "x" * 300]),
    st.sampled_from(["odom", "map", "base_link", "", "x" * 300]),
    st.lists(FLOATS, min_size=3, max_size=3),
    st.one_of(st.lists(FLOATS, min_size=4, max_size=4), st.just([0.0, 0.0, 0.0, 1.0])),
)


@examples(300)
@given(st.lists(TRANSFORMS, max_size=8), st.booleans())
def test_any_transforms_leave_the_buffer_answering(values, is_static):
    buffer = Buffer()
    sieve = TransformSieve(buffer, 30.0, lambda: NOW_NS)
    for sec, nanosec, parent, child, t, q in values:
        msg = TransformStamped(child_frame_id=child)
        msg.header.frame_id, msg.header.stamp.sec, msg.header.stamp.nanosec = parent, sec, nanosec
        translation, rotation = msg.transform.translation, msg.transform.rotation
        translation.x, translation.y, translation.z = t
        rotation.x, rotation.y, rotation.z, rotation.w = q
        (sieve.set_transform_static if is_static else sieve.set_transform)(msg)
    good = TransformStamped(child_frame_id="camera")
    good.header.frame_id, good.header.stamp, good.transform.rotation.w = "lens", time_msg(NOW_NS), 1.0
    sieve.set_transform(good)
    assert buffer.lookup_transform("lens", "camera", Time(nanoseconds=NOW_NS)).header.frame_id == "lens"
    for target, source in (("odom", "base_link"), ("map", "odom")):
        with suppress(TransformException, ValueError):
            rigid_from_msg(buffer.lookup_transform(target, source, Time(nanoseconds=NOW_NS)).transform)
    assert len(sieve.refused) < 8


@examples(200)
@given(st.lists(FLOATS, min_size=36, max_size=36), st.lists(FLOATS, min_size=7, max_size=7))
def test_any_initial_pose_is_one_or_is_refused(covariance, pose):
    msg = PoseWithCovarianceStamped()
    msg.pose.covariance = covariance
    p, q = msg.pose.pose.position, msg.pose.pose.orientation
    p.x, p.y, p.z, q.x, q.y, q.z, q.w = pose
    for read in (lambda: covariance_from_msg(msg), lambda: rigid_from_msg(msg.pose.pose).matrix()):
        with suppress(ValueError):
            assert np.isfinite(read()).all()


@given(st.lists(NAMES, max_size=200))
def test_counters_and_texts_that_strangers_fill_stay_small(names):
    counter = BoundedCounter()
    for name in names:
        counter.count(name)
    assert sum(counter.values()) == len(names) and len(counter) <= MAX_NAMES + 1
    assert all(len(name) <= MAX_TEXT and len(shorten(name)) <= MAX_TEXT for name in counter)
