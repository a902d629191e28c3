"""The transform buffer against analytic truth."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

pytest.importorskip("rclpy")

from geometry_msgs.msg import TransformStamped
from rclpy.clock import ClockType
from rclpy.duration import Duration
from rclpy.time import Time
from tf2_ros import (
    Buffer,
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TransformException,
)

SECOND_NS = 10**9
LATEST = Time()


def stamped(parent, child, matrix=None, time_s=0.0):
    """TransformStamped of a (4, 4) parent_from_child."""
    matrix = np.eye(4) if matrix is None else matrix
    msg = TransformStamped(child_frame_id=child)
    msg.header.frame_id = parent
    msg.header.stamp = at(time_s).to_msg()
    t, q = msg.transform.translation, msg.transform.rotation
    t.x, t.y, t.z = matrix[:3, 3].tolist()
    q.x, q.y, q.z, q.w = Rotation.from_matrix(matrix[:3, :3]).as_quat().tolist()
    return msg


def at(time_s):
    return Time(nanoseconds=round(time_s * SECOND_NS), clock_type=ClockType.ROS_TIME)


def matrix_of(msg):
    t, q = msg.transform.translation, msg.transform.rotation
    return rigid([t.x, t.y, t.z], Rotation.from_quat([q.x, q.y, q.z, q.w]))


def rigid(translation, rotation):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation.as_matrix(), translation
    return matrix


def moving(time_s):
    """Constant velocity and a constant turn rate: what linear interpolation and slerp hit exactly."""
    turn = Rotation.from_rotvec(time_s * np.array([0.3, -0.2, 0.5]))
    return rigid(np.array([1.0, 2.0, 3.0]) + time_s * np.array([0.5, -1.0, 0.25]), turn)


def path(length_m):
    return rigid([length_m, 0, 0], Rotation.identity())


finite = st.floats(-100, 100)
rigids = st.builds(
    lambda translation, rotvec: rigid(translation, Rotation.from_rotvec(rotvec)),
    st.tuples(finite, finite, finite),
    st.tuples(*[st.floats(-3, 3)] * 3),
)


@given(st.lists(rigids, max_size=4), st.lists(rigids, max_size=4))
@settings(deadline=None, max_examples=50)
def test_a_chain_through_the_common_ancestor_is_the_product_of_its_matrices(to_target, to_source):
    buffer = Buffer()
    truth = {}
    for branch, matrices in (("t", to_target), ("s", to_source)):
        truth[branch] = np.eye(4)
        for index, matrix in enumerate(matrices):
            parent = f"{branch}{index - 1}" if index else "root"
            buffer.set_transform(stamped(parent, f"{branch}{index}", matrix, 1.0), "test")
            truth[branch] = truth[branch] @ matrix
    buffer.set_transform_static(stamped("root", "elsewhere"), "test")
    target = f"t{len(to_target) - 1}" if to_target else "root"
    source = f"s{len(to_source) - 1}" if to_source else "root"
    answer = buffer.lookup_transform(target, source, at(1.0))
    np.testing.assert_allclose(matrix_of(answer), np.linalg.inv(truth["t"]) @ truth["s"], atol=1e-9)
    assert (answer.header.frame_id, answer.child_frame_id) == (target, source)


@given(st.floats(1.0, 3.0))
@settings(deadline=None)
def test_interpolation_follows_a_steady_motion(time_s):
    buffer = Buffer()
    for sample_s in (3.0, 1.0, 2.0):  # the order of arrival does not matter
        buffer.set_transform(stamped("odom", "base", moving(sample_s), sample_s), "test")
    answer = buffer.lookup_transform("odom", "base", at(time_s))
    np.testing.assert_allclose(matrix_of(answer), moving(at(time_s).nanoseconds / SECOND_NS), atol=1e-9)
    assert Time.from_msg(answer.header.stamp) == at(time_s)


def test_interpolation_takes_the_short_way_between_opposite_quaternion_signs():
    buffer = Buffer()
    start, end = stamped("a", "b", time_s=1.0), stamped("a", "b", moving(0.1), 2.0)
    q = end.transform.rotation
    q.x, q.y, q.z, q.w = -q.x, -q.y, -q.z, -q.w
    buffer.set_transform(start, "test")
    buffer.set_transform(end, "test")
    angle = Rotation.from_matrix(matrix_of(buffer.lookup_transform("a", "b", at(1.5)))[:3, :3]).magnitude()
    whole = Rotation.from_matrix(moving(0.1)[:3, :3]).magnitude()
    assert angle == pytest.approx(whole / 2)


def test_time_zero_is_the_latest_time_common_to_the_chain():
    buffer = Buffer()
    for time_s in (1.0, 2.0, 3.0):
        buffer.set_transform(stamped("odom", "base", path(time_s), time_s), "test")
    for time_s in (1.0, 2.5):
        buffer.set_transform(stamped("map", "odom", path(10 * time_s), time_s), "test")
    buffer.set_transform_static(stamped("base", "camera", path(100.0)), "test")
    answer = buffer.lookup_transform("map", "camera", LATEST)
    assert Time.from_msg(answer.header.stamp) == at(2.5)
    assert answer.transform.translation.x == pytest.approx(127.5)
    common = buffer.get_latest_common_time("map", "camera")
    assert (common.nanoseconds, common.clock_type) == (at(2.5).nanoseconds, ClockType.SYSTEM_TIME)


def test_static_transforms_hold_at_any_time():
    buffer = Buffer()
    buffer.set_transform_static(stamped("base", "camera", path(1.0), 5.0), "test")
    for time in (LATEST, at(1.0), at(1e6)):
        assert buffer.lookup_transform("base", "camera", time).transform.translation.x == 1.0


def test_full_lookup_joins_two_times_in_a_fixed_frame():
    buffer = Buffer()
    for time_s in (1.0, 2.0):
        buffer.set_transform(stamped("odom", "base", moving(time_s), time_s), "test")
    answer = buffer.lookup_transform_full("base", at(2.0), "base", at(1.0), "odom")
    np.testing.assert_allclose(matrix_of(answer), np.linalg.inv(moving(2.0)) @ moving(1.0), atol=1e-12)


def test_a_frame_may_change_parents():
    buffer = Buffer()
    buffer.set_transform(stamped("a", "tool", path(1.0), 1.0), "test")
    buffer.set_transform(stamped("b", "tool", path(2.0), 2.0), "test")
    assert buffer.lookup_transform("a", "tool", at(1.5)).transform.translation.x == 1.0
    assert buffer.lookup_transform("b", "tool", at(2.0)).transform.translation.x == 2.0


@pytest.mark.parametrize(("time_s", "words"), [(0.5, "into the past"), (2.5, "into the future")])
def test_outside_the_samples_is_extrapolation(time_s, words):
    buffer = Buffer()
    for sample_s in (1.0, 2.0):
        buffer.set_transform(stamped("odom", "base", time_s=sample_s), "test")
    with pytest.raises(ExtrapolationException, match=rf"{words}.*{time_s}.*\[base\].*\[odom\]"):
        buffer.lookup_transform("odom", "base", at(time_s))


def test_one_sample_answers_for_its_own_time_only():
    buffer = Buffer()
    buffer.set_transform(stamped("odom", "base", time_s=1.0), "test")
    assert buffer.can_transform("odom", "base", at(1.0))
    with pytest.raises(ExtrapolationException, match="only time"):
        buffer.lookup_transform("odom", "base", at(1.1))


def test_an_unknown_frame_is_named():
    buffer = Buffer()
    buffer.set_transform_static(stamped("map", "odom"), "test")
    with pytest.raises(LookupException, match=r'"ghost".*source_frame'):
        buffer.lookup_transform("map", "ghost", LATEST)
    with pytest.raises(LookupException, match=r'"ghost".*target_frame'):
        buffer.lookup_transform("ghost", "map", LATEST)


@pytest.mark.parametrize("time", [LATEST, at(1.0)])
def test_two_trees_are_not_connected(time):
    buffer = Buffer()
    buffer.set_transform(stamped("map", "odom", time_s=1.0), "test")
    buffer.set_transform(stamped("moon", "rover", time_s=1.0), "test")
    with pytest.raises(ConnectivityException, match="'map' and 'rover'"):
        buffer.lookup_transform("map", "rover", time)


@pytest.mark.parametrize("frame", ["", "/base"])
def test_frame_names_that_tf2_refuses(frame):
    buffer = Buffer()
    buffer.set_transform_static(stamped("map", "base"), "test")
    with pytest.raises(InvalidArgumentException):
        buffer.lookup_transform("map", frame, LATEST)


def test_a_loop_is_an_error_not_a_hang():
    buffer = Buffer()
    buffer.set_transform(stamped("a", "b", time_s=1.0), "test")
    buffer.set_transform(stamped("b", "a", time_s=1.0), "test")
    buffer.set_transform_static(stamped("x", "y"), "test")
    with pytest.raises(LookupException, match="loop"):
        buffer.lookup_transform("x", "a", at(1.0))


def test_malformed_transforms_are_refused():
    not_finite = stamped("map", "base", path(np.nan))
    not_unit = stamped("map", "base")
    not_unit.transform.rotation.w = 2.0
    for msg in (stamped("map", "map"), stamped("", "base"), stamped("map", ""), not_finite, not_unit):
        buffer = Buffer()
        for put in (buffer.set_transform, buffer.set_transform_static):
            assert put(msg, "test") is None
        assert buffer.all_frames_as_string() == ""


def test_all_errors_are_transform_exceptions_and_the_reason_is_on_offer():
    possible, reason = Buffer().can_transform("map", "base", LATEST, return_debug_tuple=True)
    assert not possible and "map" in reason
    with pytest.raises(TransformException):
        Buffer().lookup_transform("map", "base", LATEST)


def test_old_samples_are_forgotten_and_refused():
    buffer = Buffer(cache_time=Duration(seconds=2.0))
    for time_s in (1.0, 2.0, 3.5):
        buffer.set_transform(stamped("odom", "base", time_s=time_s), "test")
    assert buffer.can_transform("odom", "base", at(1.5))  # what is too old goes before the next sample comes
    buffer.set_transform(stamped("odom", "base", time_s=3.6), "test")
    assert buffer.can_transform("odom", "base", at(2.0))
    assert not buffer.can_transform("odom", "base", at(1.9))
    buffer.set_transform(stamped("odom", "base", time_s=1.5), "test")
    assert not buffer.can_transform("odom", "base", at(1.9))


def test_a_timeout_waits_for_the_transform_to_arrive():
    buffer = Buffer()
    timer = threading.Timer(0.1, lambda: buffer.set_transform(stamped("odom", "base", path(1.0), 1.0), "test"))
    timer.start()
    answer = buffer.lookup_transform("odom", "base", at(1.0), timeout=Duration(seconds=10.0))
    assert answer.transform.translation.x == 1.0
    timer.join()


def test_a_timeout_ends():
    with pytest.raises(LookupException):
        Buffer().lookup_transform("odom", "base", at(1.0), timeout=Duration(seconds=0.05))


def test_the_future_is_done_when_the_transform_is_there():
    buffer = Buffer()
    future = buffer.wait_for_transform_async("odom", "base", at(1.5))
    buffer.set_transform(stamped("odom", "base", time_s=1.0), "test")
    assert not future.done()
    buffer.set_transform(stamped("odom", "base", time_s=2.0), "test")
    assert future.done() and future.result()


def test_many_threads_may_write_and_ask():
    buffer = Buffer(cache_time=Duration(seconds=0.1))
    buffer.set_transform(stamped("odom", "base", path(0.001), 0.001), "test")
    wrong = []

    def write():
        for index in range(1, 1000):
            buffer.set_transform(stamped("odom", "base", path(index * 1e-3), index * 1e-3), "test")

    def ask():
        for _ in range(1000):
            answer = buffer.lookup_transform("odom", "base", LATEST)
            if abs(answer.transform.translation.x - Time.from_msg(answer.header.stamp).nanoseconds * 1e-9) > 1e-9:
                wrong.append(answer)

    threads = [threading.Thread(target=work) for work in (write, ask, ask)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.ros
def test_a_clock_that_jumps_back_clears_moving_frames_only(ros_node):
    clock = ros_node.get_clock()
    clock._set_ros_time_is_active(True)
    clock.set_ros_time_override(at(100.0))
    buffer = Buffer(node=ros_node)
    buffer.set_transform(stamped("odom", "base", time_s=100.0), "test")
    buffer.set_transform_static(stamped("base", "camera"), "test")
    clock.set_ros_time_override(at(101.0))
    assert buffer.can_transform("odom", "camera", at(100.0))
    clock.set_ros_time_override(at(1.0))
    assert not buffer.can_transform("odom", "camera", at(100.0))
    assert buffer.can_transform("base", "camera", at(1.0))
    buffer.set_transform(stamped("odom", "base", time_s=1.0), "test")
    assert buffer.can_transform("odom", "camera", at(1.0))
