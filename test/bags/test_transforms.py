"""The transforms of a recording are looked up as tf2 looks them up."""

from types import SimpleNamespace

import numpy as np
import pytest
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
