"""The transforms of a recording are looked up as tf2 looks them up."""

from types import SimpleNamespace

import numpy as np
import pycolmap
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import random_rigid

from deviloc_ros.bags.transforms import TransformError, TransformTree

SECOND = 1_000_000_000


def stamped(time_ns, parent, child, transform):
    x, y, z = transform.translation
    qx, qy, qz, qw = transform.rotation.quat
    stamp = SimpleNamespace(sec=time_ns // SECOND, nanosec=time_ns % SECOND)
    rigid = SimpleNamespace(
        translation=SimpleNamespace(x=x, y=y, z=z), rotation=SimpleNamespace(x=qx, y=qy, z=qz, w=qw)
    )
    return SimpleNamespace(header=SimpleNamespace(stamp=stamp, frame_id=parent), child_frame_id=child, transform=rigid)


def tree(rng):
    """map -> odom -> base -> camera, odometry at 1 and 2 s; and the poses that it was made of."""
    poses = {name: random_rigid(rng) for name in ("map", "start", "end", "camera")}
    result = TransformTree()
    result.add(SimpleNamespace(transforms=[stamped(0, "/base", "camera", poses["camera"])]), static=True)
    result.add(SimpleNamespace(transforms=[stamped(SECOND, "map", "odom", poses["map"])]), static=False)
    result.add(SimpleNamespace(transforms=[stamped(2 * SECOND, "odom", "/base", poses["end"])]), static=False)
    result.add(SimpleNamespace(transforms=[stamped(SECOND, "odom", "base", poses["start"])]), static=False)
    return result, poses


def test_chains_are_multiplied_both_ways():
    transforms, poses = tree(np.random.default_rng(0))
    expected = poses["map"] * poses["start"] * poses["camera"]
    np.testing.assert_allclose(transforms.lookup("map", "camera", SECOND).matrix(), expected.matrix(), atol=1e-12)
    back = transforms.lookup("camera", "map", SECOND)
    np.testing.assert_allclose(back.matrix(), expected.inverse().matrix(), atol=1e-12)
    np.testing.assert_allclose(transforms.lookup("base", "base", 7).matrix(), np.eye(4)[:3], atol=1e-12)


def test_between_two_times_it_interpolates_and_beyond_them_it_refuses():
    transforms, poses = tree(np.random.default_rng(1))
    middle = transforms.lookup("odom", "base", 3 * SECOND // 2)
    expected = (poses["start"].translation + poses["end"].translation) / 2
    np.testing.assert_allclose(middle.translation, expected, atol=1e-12)
    half = middle.rotation.inverse() * poses["start"].rotation
    whole = poses["end"].rotation.inverse() * poses["start"].rotation
    assert half.angle() == pytest.approx(whole.angle() / 2)
    for time_ns in (SECOND - 1, 2 * SECOND + 1):
        with pytest.raises(TransformError, match=r"odom <- base.*recorded from 1\.000 to 2\.000 s"):
            transforms.lookup("odom", "camera", time_ns)


def test_unknown_and_unconnected_frames_are_named():
    transforms, _ = tree(np.random.default_rng(2))
    with pytest.raises(TransformError, match=r"no frame 'lidar'.*base, camera, map, odom"):
        transforms.lookup("base", "lidar", SECOND)
    transforms.add(
        SimpleNamespace(transforms=[stamped(0, "moon", "crater", random_rigid(np.random.default_rng(3)))]), True
    )
    with pytest.raises(TransformError, match="not connected"):
        transforms.lookup("base", "crater", SECOND)


@pytest.mark.ros
def test_tf2_gives_the_same_answers():
    tf2_ros = pytest.importorskip("tf2_ros")
    from rclpy.time import Time

    from deviloc_ros.ros.conversions import rigid_from_msg, transform_msg

    rng = np.random.default_rng(4)
    buffer, transforms = tf2_ros.Buffer(), TransformTree()
    for time_ns in range(SECOND, 3 * SECOND, SECOND // 10):
        pose = random_rigid(rng)
        buffer.set_transform(transform_msg(pose, time_ns, "odom", "base"), "test")
        transforms.add(SimpleNamespace(transforms=[transform_msg(pose, time_ns, "odom", "base")]), static=False)
    for time_ns in rng.integers(SECOND, 29 * SECOND // 10, 50).tolist():
        expected = rigid_from_msg(buffer.lookup_transform("odom", "base", Time(nanoseconds=time_ns)).transform)
        np.testing.assert_allclose(transforms.lookup("odom", "base", time_ns).matrix(), expected.matrix(), atol=1e-9)


def shift(x):
    return pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([x, 0.0, 0.0]))


sends = st.lists(
    st.tuples(st.integers(1, 4), st.integers(0, 3), st.integers(2, 6), st.integers(-9, 9), st.booleans()), max_size=25
)


@pytest.mark.ros
@given(sends)
@settings(deadline=None, max_examples=60)
def test_whatever_is_published_tf2_decides_the_same(sent):
    """Frames that change parents, that have two, stamps that come twice, mounts that are static and moving."""
    tf2_ros = pytest.importorskip("tf2_ros")
    from rclpy.time import Time

    from deviloc_ros.ros.conversions import transform_msg

    buffer, transforms = tf2_ros.Buffer(), TransformTree()
    first = [(child, child - 1, 1, 0, False) for child in range(1, 5)]  # before all others: each frame is known
    for child, parent, time_s, x, static in [*first, *sent]:
        if parent < child:  # so that there is no loop
            msg = transform_msg(shift(float(x)), time_s * SECOND, f"f{parent}", f"f{child}")
            transforms.add(SimpleNamespace(transforms=[msg]), static=static)
            (buffer.set_transform_static if static else buffer.set_transform)(msg, "test")
    for target, source in (("f0", "f4"), ("f3", "f4"), ("f2", "f1"), ("f4", "f1")):
        for time_ns in range(SECOND, 7 * SECOND, SECOND // 2):
            possible = buffer.can_transform(target, source, Time(nanoseconds=time_ns))
            try:
                found = transforms.lookup(target, source, time_ns).translation[0]
            except TransformError:
                assert not possible
                continue
            answer = buffer.lookup_transform(target, source, Time(nanoseconds=time_ns))
            assert found == pytest.approx(answer.transform.translation.x)


def published(*edges, static=False):
    """A tree of frames that lie on one line; edges: parent, child, x, time [s]."""
    transforms = TransformTree()
    for parent, child, x, time_s in edges:
        transforms.insert(parent, child, round(time_s * SECOND), shift(x), static)
    return transforms


def test_a_second_parent_takes_over_and_is_named():
    transforms = published(
        ("odom", "base", 1.0, 1.0), ("wheel", "base", 2.0, 1.1), ("odom", "base", 3.0, 2.0), ("wheel", "base", 4.0, 2.1)
    )
    assert transforms.lookup("odom", "base", SECOND).translation[0] == 1.0
    assert transforms.lookup("wheel", "base", 3 * SECOND // 2).translation[0] == 2.0
    with pytest.raises(TransformError, match=r"not connected.*'base' was published below 'odom' and 'wheel'"):
        transforms.lookup("odom", "base", 3 * SECOND // 2)


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("question", [("f0", "f1"), ("f1", "f0"), ("f0", "outside"), ("outside", "f1")])
def test_frames_that_go_round_in_a_circle_are_refused_by_name(size, question):
    edges = [(f"f{number}", f"f{(number + 1) % size}", 1.0, 1.0) for number in range(size)]
    transforms = published(*edges, ("f0", "outside", 1.0, 1.0))
    with pytest.raises(TransformError, match=r"go round in a circle: f\d below f\d"):
        transforms.lookup(*question, SECOND)


def test_a_circle_that_is_over_does_not_matter():
    transforms = published(("a", "b", 1.0, 1.0), ("a", "b", 1.0, 2.0), ("b", "a", -1.0, 3.0), ("b", "a", -1.0, 4.0))
    assert transforms.lookup("a", "b", 3 * SECOND // 2).translation[0] == 1.0
    assert transforms.lookup("a", "b", 7 * SECOND // 2).translation[0] == 1.0


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("length", [0.5, 0.99, 1.0, 1.02, 100.0])
def test_a_quaternion_of_another_length_is_scaled_with_a_word(length, static, caplog):
    pose = random_rigid(np.random.default_rng(5))
    msg = stamped(SECOND, "base", "camera", pose)
    for axis in "xyzw":
        setattr(msg.transform.rotation, axis, length * getattr(msg.transform.rotation, axis))
    transforms = TransformTree()
    transforms.add(SimpleNamespace(transforms=[msg]), static=static)
    np.testing.assert_allclose(transforms.lookup("base", "camera", SECOND).matrix(), pose.matrix(), atol=1e-12)
    transforms.log_oddities()
    assert ("base <- camera: quaternion of length" in caplog.text) == (length != 1.0)


@pytest.mark.parametrize(
    ("parent", "child", "number", "says"),
    [
        ("base", "base", 1.0, "its own parent"),
        ("", "camera", 1.0, "without a name"),
        ("base", "camera", 0.0, "not a rotation"),
        ("base", "camera", float("nan"), "not a rotation"),
    ],
)
def test_what_is_no_transform_is_left_out_and_named(parent, child, number, says, caplog):
    msg = stamped(SECOND, parent, child, pycolmap.Rigid3d())
    msg.transform.rotation.w = number
    transforms = TransformTree()
    transforms.add(SimpleNamespace(transforms=[msg]), static=True)
    assert not transforms.frames
    transforms.log_oddities()
    assert says in caplog.text
