"""TUM files keep poses and nanoseconds."""

import numpy as np
import pycolmap
import pytest

from deviloc_ros.io.tum_trajectory import nanoseconds, read_tum, write_tum


def test_a_trajectory_comes_back(tmp_path):
    pose = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0.3, -0.1, 0.2])), np.array([1.0, -2.0, 3.5]))
    write_tum(tmp_path / "t.txt", [(1_700_000_000_123_456_789, pose), (5, pose.inverse())])
    (first_ns, first), (second_ns, second) = read_tum(tmp_path / "t.txt")
    assert (first_ns, second_ns) == (1_700_000_000_123_456_789, 5)
    np.testing.assert_allclose(first.matrix(), pose.matrix(), atol=1e-8)
    np.testing.assert_allclose(second.matrix(), pose.inverse().matrix(), atol=1e-8)


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("12.5", 12_500_000_000),
        ("7", 7_000_000_000),
        ("0.000000001", 1),
        ("1.403636579763555527e+09", 1_403_636_579_763_555_527),  # as numpy.savetxt writes it
        ("1.4e+09", 1_400_000_000_000_000_000),
        ("-0.5", -500_000_000),
    ],
)
def test_seconds_are_read_without_rounding(text, time_ns):
    assert nanoseconds(text) == time_ns


def test_rounded_quaternions_are_made_exact(tmp_path):
    (tmp_path / "t.txt").write_text("1 5 0 0 0.27 0.36 0.18 0.87\n")
    ((_, pose),) = read_tum(tmp_path / "t.txt")
    np.testing.assert_allclose((pose * pose.inverse()).matrix(), np.eye(3, 4), atol=1e-12)


@pytest.mark.parametrize(
    "line", ["1 2 3", "x 0 0 0 0 0 0 1", "1 nan 0 0 0 0 0 1", "nan 0 0 0 0 0 0 1", "1 0 0 0 0 0 0 0"]
)
def test_a_bad_line_is_named(tmp_path, line):
    (tmp_path / "t.txt").write_text(f"# comment\n{line}\n")
    with pytest.raises(ValueError, match=r"t\.txt:2"):
        read_tum(tmp_path / "t.txt")
