"""The stand-in answers as the real tf2_ros does, whose answers were written down on a machine that has it (Kilted).

Each row: transforms in the order of arrival, a question, and the answer. Where tf2_ros is the real one, the same table
is asked of it.
"""

from typing import NamedTuple

import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import TransformStamped
from rclpy.clock import ClockType
from rclpy.duration import Duration
from rclpy.time import Time
from tf2_ros import Buffer, ConnectivityException, ExtrapolationException, InvalidArgumentException, LookupException

LATEST = 0.0


class Sent(NamedTuple):
    """A transform whose only content is a shift along x."""

    parent: str
    child: str
    x: float
    time_s: float = 0.0
    static: bool = False
    quaternion_length: float = 1.0


def stamped(sent: Sent) -> TransformStamped:
    msg = TransformStamped(child_frame_id=sent.child)
    msg.header.frame_id, msg.header.stamp = sent.parent, Time(nanoseconds=round(sent.time_s * 1e9)).to_msg()
    msg.transform.translation.x, msg.transform.rotation.w = sent.x, sent.quaternion_length
    return msg


def filled(sent: list[Sent], cache_s: float = 10.0) -> Buffer:
    buffer = Buffer(cache_time=Duration(seconds=cache_s))
    for each in sent:
        put = buffer.set_transform_static if each.static else buffer.set_transform
        assert put(stamped(each), "test") is None
    return buffer


RING = [Sent("a", "b", 1.0, 1.0), Sent("b", "c", 2.0, 1.0), Sent("c", "a", 4.0, 1.0)]
TWO_PARENTS = [Sent("odom", "base", 1.0, 1.0), Sent("wheel", "base", 2.0, 2.0), Sent("wheel", "base", 4.0, 3.0)]
SECONDS = [Sent("odom", "base", time_s, time_s) for time_s in (1.0, 2.0, 3.0, 4.0, 5.0)]
ANSWERS = {
    "the newer of two at one time counts": (
        [Sent("a", "b", 1.0, 1.0), Sent("a", "b", 2.0, 1.0)],
        ("a", "b", 1.0),
        2.0,
    ),
    "also between others": (
        [Sent("a", "b", 0.0, 1.0), Sent("a", "b", 9.0, 3.0), Sent("a", "b", 1.0, 2.0), Sent("a", "b", 5.0, 2.0)],
        ("a", "b", 2.0),
        5.0,
    ),
    "a frame in itself needs not be known": ([], ("ghost", "ghost", LATEST), 0.0),
    "not even to have a good name": ([], ("/ghost", "/ghost", 1.0), 0.0),
    "an unknown frame": ([Sent("a", "b", 1.0, 1.0)], ("a", "ghost", LATEST), LookupException),
    "a leading slash": ([Sent("a", "b", 1.0, 1.0)], ("a", "/b", LATEST), InvalidArgumentException),
    "a leading slash is stripped of what arrives": ([Sent("/a", "/b", 1.0, 1.0)], ("a", "b", 1.0), 1.0),
    "a second parent: the first held before": (TWO_PARENTS, ("odom", "base", 1.0), 1.0),
    "and until the second came": (TWO_PARENTS, ("odom", "base", 1.5), 1.0),
    "from then on it is the second's": (TWO_PARENTS, ("odom", "base", 2.5), ConnectivityException),
    "there it interpolates": (TWO_PARENTS, ("wheel", "base", 2.5), 3.0),
    "the latest is the second's": (TWO_PARENTS, ("odom", "base", LATEST), ConnectivityException),
    "a frame off a ring": ([*RING, Sent("x", "y", 1.0, 1.0)], ("x", "a", 1.0), LookupException),
    "a frame off a ring, the latest": ([*RING, Sent("x", "y", 1.0, 1.0)], ("x", "a", LATEST), LookupException),
    "on a ring the way up from the source": (RING, ("a", "c", 1.0), 3.0),
    "and not the shorter one down": (RING, ("c", "b", 1.0), 5.0),
    "a static mount that moves then": (
        [Sent("a", "b", 1.0, 0.0, static=True), Sent("a", "b", 2.0, 5.0)],
        ("a", "b", 1.0),
        ExtrapolationException,
    ),
    "a moving mount that is static then": (
        [Sent("a", "b", 2.0, 5.0), Sent("a", "b", 1.0, 0.0, static=True)],
        ("a", "b", 1.0),
        1.0,
    ),
    "of static ones the last": (
        [Sent("a", "b", 1.0, 0.0, static=True), Sent("c", "b", 2.0, 0.0, static=True)],
        ("c", "b", 7.0),
        2.0,
    ),
    "a quaternion of half the length is refused": (
        [Sent("a", "b", 1.0, 1.0, quaternion_length=0.5)],
        ("a", "b", 1.0),
        LookupException,
    ),
    "one within the tolerance is scaled": ([Sent("a", "b", 1.0, 1.0, quaternion_length=1.004)], ("a", "b", 1.0), 1.0),
    "beyond the samples": (SECONDS, ("odom", "base", 5.5), ExtrapolationException),
    "one sample, another time": ([Sent("a", "b", 1.0, 1.0)], ("a", "b", 1.5), ExtrapolationException),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_answer_is_the_recorded_one(name):
    sent, (target, source, time_s), expected = ANSWERS[name]
    buffer, time = filled(sent), Time(nanoseconds=round(time_s * 1e9))
    possible = buffer.can_transform(target, source, time)
    if isinstance(expected, float):
        answer = buffer.lookup_transform(target, source, time)
        assert answer.transform.translation.x == pytest.approx(expected)
        assert possible == 1 and type(possible) is int
    else:
        with pytest.raises(expected):
            buffer.lookup_transform(target, source, time)
        assert possible == 0


def test_a_loop_is_named():
    with pytest.raises(LookupException, match=r"contains a loop.*\n.*Frame b exists with parent a"):
        filled([*RING, Sent("x", "y", 1.0, 1.0)]).lookup_transform("x", "a", Time(nanoseconds=10**9))


def test_the_cache_keeps_one_sample_more_than_asked():
    buffer = filled(SECONDS, cache_s=2.0)
    assert buffer.can_transform("odom", "base", Time(nanoseconds=2 * 10**9))
    assert not buffer.can_transform("odom", "base", Time(nanoseconds=10**9))


def test_the_latest_common_time_is_of_the_systems_clock():
    common = filled(SECONDS).get_latest_common_time("odom", "base")
    assert (common.nanoseconds, common.clock_type) == (5 * 10**9, ClockType.SYSTEM_TIME)


def test_frames_are_listed():
    buffer = filled([*SECONDS, Sent("base", "cam", 1.0, static=True)])
    assert buffer.all_frames_as_string().splitlines() == [
        "Frame base exists with parent odom.",
        "Frame cam exists with parent base.",
    ]
    assert "base: \n  parent: 'odom'\n  broadcaster: 'test'\n  rate: 1.250" in buffer.all_frames_as_yaml()
    assert filled([]).all_frames_as_yaml() == "[]"
