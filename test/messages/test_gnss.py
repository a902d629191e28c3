"""What of a satellite receiver's messages is taken, and by which word the rest is counted."""

from types import SimpleNamespace

import numpy as np
import pytest
from fuzzing import examples
from hypothesis import given
from hypothesis import strategies as st

from deviloc_ros.config import GnssConfig
from deviloc_ros.messages.gnss import GnssRefused, read_gnss

STATED = [4.0**2, 0, 0, 0, 5.0**2, 0, 0, 0, 100.0]


def nav_sat_fix(latitude=48.0, longitude=11.0, covariance=STATED, status=0, kind=2, seconds=7):
    return SimpleNamespace(
        header=SimpleNamespace(stamp=SimpleNamespace(sec=seconds, nanosec=0), frame_id="gnss"),
        status=SimpleNamespace(status=status, service=1),
        latitude=latitude,
        longitude=longitude,
        altitude=float("nan"),  # not every receiver knows
        position_covariance=covariance,
        position_covariance_type=kind,
    )


def test_a_position_is_taken_with_what_it_states():
    fix = read_gnss(nav_sat_fix(), GnssConfig())
    assert (fix.stamp_ns, fix.latitude, fix.longitude) == (7_000_000_000, 48.0, 11.0)
    np.testing.assert_allclose(fix.covariance, np.diag([16, 25]))


def test_a_position_is_no_better_than_is_allowed_in_any_direction():
    exact = [0.01, 0, 0, 0, 25.0, 0, 0, 0, 1.0]
    np.testing.assert_allclose(read_gnss(nav_sat_fix(covariance=exact), GnssConfig()).covariance, np.diag([9, 25]))


def test_of_a_position_that_states_nothing_someone_must_say_what_it_is_worth():
    unknown = nav_sat_fix(covariance=[0.0] * 9, kind=0)
    with pytest.raises(GnssRefused, match="no_covariance"):
        read_gnss(unknown, GnssConfig())
    np.testing.assert_allclose(read_gnss(unknown, GnssConfig(std_m=10.0)).covariance, np.diag([100, 100]))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"status": -1}, "no_fix"),
        ({"status": -2}, "no_fix"),
        ({"latitude": 0.0, "longitude": 0.0}, "no_fix"),
        ({"latitude": float("nan")}, "no_position"),
        ({"longitude": float("inf")}, "no_position"),
        ({"latitude": 91.0}, "no_position"),
        ({"longitude": -181.0}, "no_position"),
        ({"covariance": [0.0] * 9}, "bad_covariance"),
        ({"covariance": [float("nan")] * 9}, "bad_covariance"),
        ({"covariance": [-1.0, 0, 0, 0, 1, 0, 0, 0, 1]}, "bad_covariance"),
        ({"covariance": [1e6, 0, 0, 0, 1e6, 0, 0, 0, 1]}, "bad_covariance"),
        ({"covariance": [1e308] * 9}, "bad_covariance"),
        ({"covariance": [16, 99, 0, 0, 25, 0, 0, 0, 1]}, "bad_covariance"),
        ({"seconds": 0}, "no_stamp"),
    ],
)
def test_what_is_no_position_is_counted_by_a_word(change, word):
    with pytest.raises(GnssRefused, match=f"^{word}$"):
        read_gnss(nav_sat_fix(**change), GnssConfig())


numbers = st.floats() | st.sampled_from([0.0, 1e-300, 1e308, -1e308, 9.0])


@given(numbers, numbers, st.lists(numbers, min_size=9, max_size=9), st.integers(-128, 127), st.integers(0, 255))
@examples(300)
def test_of_any_numbers_only_usable_positions_are_taken(latitude, longitude, covariance, status, kind):
    try:
        fix = read_gnss(nav_sat_fix(latitude, longitude, covariance, status, kind), GnssConfig(std_m=5.0))
    except GnssRefused:
        return
    assert abs(fix.latitude) <= 90 and abs(fix.longitude) <= 180 and status >= 0
    stds = np.sqrt(np.linalg.eigvalsh(fix.covariance))
    assert stds[0] > 2.999 and stds[1] < 101
