"""The way that odometry counts, against drives whose length is known."""

import math

import numpy as np
import pycolmap
import pytest

from deviloc_ros.config import TrackingConfig
from deviloc_ros.tracking.odometry import Odometer, Odometry, motion_length, path_between

SECOND = 1_000_000_000


def planar(x: float, yaw: float = 0.0) -> pycolmap.Rigid3d:
    return pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0.0, 0.0, yaw])), np.array([x, 0.0, 0.0]))


def pendulum(time_ns: int) -> pycolmap.Rigid3d:
    """A metre to and fro in ten seconds, turning by half a radian meanwhile."""
    share = abs((time_ns / SECOND + 5) % 10 - 5) / 5
    return planar(share, 0.5 * share)


def readings(source, times_ns: list[int]) -> list[Odometry]:
    odometer = Odometer(source)
    return [odometer.read_at(time_ns, source(time_ns)) for time_ns in times_ns]


@pytest.mark.parametrize("times_s", [[0, 20], [0, 0.5, 17.1, 20], np.linspace(0, 20, 601).tolist()])
def test_the_way_does_not_depend_on_when_it_is_asked_for(times_s):
    first, *_, last = readings(pendulum, [round(s * SECOND) for s in times_s])
    assert motion_length(first.odom_from_base.inverse() * last.odom_from_base)[0] < 1e-9
    assert path_between(first, last) == pytest.approx((4.0, 2.0), rel=0.05)  # turning points lie within steps


def test_it_is_counted_between_steps_as_well():
    first, last = readings(lambda time_ns: planar(time_ns / SECOND), [0, SECOND // 20])
    assert path_between(first, last)[0] == pytest.approx(0.05)


@pytest.mark.parametrize("rate_hz", [2, 30])
def test_trembling_of_a_robot_that_stands_adds_less_than_time_does(rate_hz):
    rng, config = np.random.default_rng(4), TrackingConfig()
    poses: dict[int, pycolmap.Rigid3d] = {}

    def trembling(time_ns: int) -> pycolmap.Rigid3d:
        """5 mm and 0.1 degrees about each axis: far more than wheels do."""
        rotation = pycolmap.Rotation3d(rng.normal(0, math.radians(0.1), 3))
        return poses.setdefault(time_ns, pycolmap.Rigid3d(rotation, rng.normal(0, 0.005, 3)))

    first, *_, last = readings(trembling, [SECOND * i // rate_hz for i in range(10 * rate_hz + 1)])
    metres, radians = path_between(first, last)
    assert config.drift_m_per_m * metres < 0.2 * config.drift_m_per_s * 10
    degrees = config.drift_deg_per_m * metres + config.drift_per_turn * math.degrees(radians)
    assert degrees < 0.7 * config.drift_deg_per_s * 10


def test_where_odometry_is_not_known_the_straight_way_counts():
    ends = {0: planar(0), 100 * SECOND: planar(3, 1.0)}
    first, last = readings(ends.get, list(ends))
    assert path_between(first, last) == pytest.approx((3.0, 1.0))


def test_a_long_pause_costs_little():
    asked: list[int] = []
    odometer = Odometer(lambda time_ns: asked.append(time_ns))
    odometer.read_at(0, planar(0))
    odometer.read_at(86400 * SECOND, planar(1))
    assert len(asked) < 200


def test_a_stamp_from_before_the_last_reading_takes_the_way_back():
    source = lambda time_ns: planar(time_ns / SECOND)  # noqa: E731
    first, _, earlier, last = readings(source, [0, 2 * SECOND, 3 * SECOND // 2, 3 * SECOND])
    assert path_between(first, earlier)[0] == pytest.approx(1.5) and path_between(earlier, last)[0] == pytest.approx(
        1.5
    )


def test_when_the_clock_is_set_back_nothing_was_driven():
    _, before, after, last = readings(lambda time_ns: planar(time_ns / SECOND), [0, 60 * SECOND, 0, SECOND])
    assert after.travelled_m == before.travelled_m and path_between(after, last)[0] == pytest.approx(1.0)


def test_readings_that_do_not_count_give_the_straight_way():
    assert path_between(Odometry(planar(0)), Odometry(planar(2, 0.3))) == pytest.approx((2.0, 0.3))
