"""Images of several times are those of one rig, where odometry says how the robot moved between them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import SMALL, rigid_of, rigids

from deviloc_ros.config import RigConfig, TrackingConfig
from deviloc_ros.status import Status
from deviloc_ros.tracking.odometry import Odometry
from deviloc_ros.tracking.rig_images import StampedImage, take_together

RIG, TRACKING = RigConfig(), TrackingConfig()
MS, NOW_NS = 1_000_000, 10_000_000_000
PIXELS = np.zeros((240, 320), np.uint8)


def image(name: str, age_ms: float, base_from_cam) -> StampedImage:
    return StampedImage(NOW_NS - round(age_ms * MS), PIXELS, SMALL, base_from_cam, None, name)


@given(rigids, rigids, rigids, rigids)
def test_a_camera_sits_where_the_robot_has_left_it(odom_from_then, odom_from_now, map_from_odom, base_from_cam):
    """The camera's pose in the map is the same by the rig's pose now, and by the robot's when the image was taken."""
    odometry = {NOW_NS: Odometry(odom_from_now), NOW_NS - 60 * MS: Odometry(odom_from_then)}
    images = [image("left", 60, base_from_cam), image("front", 0, base_from_cam)]
    taken = take_together(images, lambda time_ns, _: odometry[time_ns], RIG, TRACKING)
    left, front = taken.rig_images
    by_rig = map_from_odom * odom_from_now * left.rig_from_cam
    np.testing.assert_allclose(by_rig.matrix(), (map_from_odom * odom_from_then * base_from_cam).matrix(), atol=1e-6)
    assert front.rig_from_cam is base_from_cam and not taken.left_out
    assert front.std_m == front.std_rad == 0 < min(left.std_m, left.std_rad)


@pytest.mark.parametrize("known", [(), (NOW_NS,)])
def test_without_odometry_images_of_other_times_are_left_out_and_named(known):
    mount = rigid_of([0, 0, 0], [0, 0, 0])

    def odometry_at(time_ns: int, _: bool) -> Odometry | None:
        return Odometry(mount) if time_ns in known else None

    images = [image("left", 30, mount), image("right", 4, mount), image("front", 0, mount)]
    taken = take_together(images, odometry_at, RIG, TRACKING)
    assert [image.name for image in taken.rig_images] == ["right", "front"]
    (report,) = taken.left_out
    assert (report.name, report.status, report.used) == ("left", Status.NO_ODOMETRY, False)
    assert "30 ms" in report.detail


@given(st.floats(0, 1), st.floats(0, 1))
def test_odometry_adds_more_the_farther_the_robot_went(metres, radians):
    def spread(share: float) -> tuple[float, float]:
        moved = Odometry(rigid_of([0, 0, share * radians], [share * metres, 0, 0]))
        still = Odometry(rigid_of([0, 0, 0], [0, 0, 0]))
        images = [image("left", 50, still.odom_from_base), image("front", 0, still.odom_from_base)]
        odometry = {NOW_NS: moved}
        (left, _) = take_together(images, lambda time_ns, _: odometry.get(time_ns, still), RIG, TRACKING).rig_images
        return left.std_m, left.std_rad

    assert all(more >= less - 1e-9 for more, less in zip(spread(1.0), spread(0.5), strict=True))
