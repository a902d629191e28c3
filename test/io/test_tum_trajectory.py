"""TUM files keep poses and nanoseconds."""

from contextlib import suppress

import numpy as np
import pycolmap
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deviloc_ros.io.tum_trajectory import NANOSECONDS, SECONDS, is_time, parse_seconds, parse_time, read_tum, write_tum


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
    assert parse_seconds(text) == time_ns


@given(
    st.one_of(
        st.sampled_from(["nan", "inf", "-Infinity", "sNaN", ""]),
        st.from_regex(r"-?\d{1,25}(\.\d{1,20})?(e[+-]?\d{1,12})?", fullmatch=True),
    )
)
def test_any_time_fits_a_clock_or_is_refused(number):
    """At once: 1e999999999 has more digits than memory holds."""
    for unit in (SECONDS, NANOSECONDS):
        with suppress(ValueError):
            assert abs(parse_time(number, unit)) < 2**63


def test_rounded_quaternions_are_made_exact(tmp_path):
    (tmp_path / "t.txt").write_text("1 5 0 0 0.27 0.36 0.18 0.87\n")
    ((_, pose),) = read_tum(tmp_path / "t.txt")
    np.testing.assert_allclose((pose * pose.inverse()).matrix(), np.eye(3, 4), atol=1e-12)


TIMES_NS = (1_700_000_000_000_000_001, 1_700_000_000_133_000_000)
POSES = [
    pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0.3, -0.1, 0.2])), np.array([1.0, -2.0, 3.5])),
    pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([-1.3, 0.1, 0.2])), np.array([1.5, -2.0, 3.5])),
]


def dialect(separator=" ", unit="s", w_first=False, heading="", before="", extra=0) -> str:
    """A file of POSES as some tool writes it."""
    lines = [heading] if heading else []
    for time_ns, pose in zip(TIMES_NS, POSES, strict=True):
        time = str(time_ns) if unit == "ns" else f"{time_ns // 10**9}.{time_ns % 10**9:09d}"
        x, y, z, w = pose.rotation.quat
        quaternion = (w, x, y, z) if w_first else (x, y, z, w)
        numbers = [f"{value:.9f}" for value in (*pose.translation, *quaternion, *[0.5] * extra)]
        lines.append(separator.join([time, *numbers]))
    return before + "\n".join(lines) + "\n"


DIALECTS = {
    "commas": {"separator": ","},
    "commas and spaces": {"separator": ", "},
    "semicolons": {"separator": ";"},
    "tabs": {"separator": "\t"},
    "nanoseconds": {"unit": "ns"},
    "heading": {"heading": "timestamp x y z qx qy qz qw"},
    "heading with commas": {"heading": "time,tx,ty,tz,qx,qy,qz,qw", "separator": ","},
    "byte order mark": {"before": "\ufeff"},
    "byte order mark and comment": {"before": "\ufeff# time x y z\n"},
    "w first": {"heading": "# time tx ty tz qw qx qy qz", "w_first": True},
    "EuRoC": {
        "heading": "#timestamp [ns],p_RS_R_x [m],p_RS_R_y [m],p_RS_R_z [m],q_RS_w [],q_RS_x [],q_RS_y [],q_RS_z []",
        "separator": ",",
        "unit": "ns",
        "w_first": True,
    },
    "EuRoC with velocities": {
        "heading": "#timestamp, p_RS_R_x [m], p_RS_R_y [m], p_RS_R_z [m], q_RS_w [], q_RS_x [], q_RS_y [], q_RS_z [], "
        "v",
        "separator": ",",
        "unit": "ns",
        "w_first": True,
        "extra": 9,
    },
    "RTAB-Map": {"heading": "#timestamp x y z qx qy qz qw id", "extra": 1},
    "no poses first": {"before": "1699999999.9 nan nan nan nan nan nan nan\n"},
    "no positions first": {"before": "1699999999.9 nan nan nan 0 0 0 1\n"},
}


@pytest.mark.parametrize("name", DIALECTS)
def test_what_other_tools_write_is_read(tmp_path, name):
    (tmp_path / "t.txt").write_text(dialect(**DIALECTS[name]), encoding="utf-8")
    found = read_tum(tmp_path / "t.txt")
    assert [time_ns for time_ns, _ in found] == list(TIMES_NS)
    for (_, pose), expected in zip(found, POSES, strict=True):
        np.testing.assert_allclose(pose.matrix(), expected.matrix(), atol=1e-8)


def test_nanoseconds_of_another_clock_are_read_where_the_heading_says_so(tmp_path):
    (tmp_path / "t.txt").write_text("#timestamp [ns], x, y, z, qx, qy, qz, qw\n5000000000,0,0,0,0,0,0,1\n")
    assert read_tum(tmp_path / "t.txt")[0][0] == 5_000_000_000


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("1700000000133 0 0 0 0 0 0 1", "milliseconds"),
        ("1700000000133000 0 0 0 0 0 0 1", "microseconds"),
        ("1 0 0 0 0 1 0 0 0 0 1 0", "KITTI"),
        ("0 0 0 0 0 0 1", "no time"),
        ("1 0 0 0", "positions alone"),
        (",".join(["1700000000133000000"] + ["0.5"] * 16), "EuRoC"),
        ("\x00\x01\x02", "text file of poses"),
    ],
)
def test_what_is_not_read_is_told_by_what_it_looks_like(tmp_path, line, says):
    (tmp_path / "t.txt").write_text(f"{line}\n{line}\n")
    with pytest.raises(ValueError, match=rf"t\.txt:\d: .*{says}"):
        read_tum(tmp_path / "t.txt")


@pytest.mark.parametrize(
    "line", ["1 2 3", "x 0 0 0 0 0 0 1", "1 nan 0 0 0 0 0 1", "nan 0 0 0 0 0 0 1", "1 0 0 0 0 0 0 0"]
)
def test_a_bad_line_is_named(tmp_path, line):
    (tmp_path / "t.txt").write_text(f"# comment\n{line}\n")
    with pytest.raises(ValueError, match=r"t\.txt:2"):
        read_tum(tmp_path / "t.txt")


@pytest.mark.parametrize(
    "stem", ["1_2", "17_000123", "12e45", "nan", "inf", "infinity", "-1", "+1", "1.2.3", "", ".5", "٣"]
)
def test_names_that_python_takes_for_numbers_are_no_times(stem):
    assert not is_time(stem)


@given(st.integers(0, 2**63), st.integers(0, 10**9))
def test_digits_are_times(whole, rest):
    assert is_time(str(whole)) and is_time(f"{whole}.{rest:09d}")


@pytest.mark.parametrize("comma", [", ", ",", " "])
@pytest.mark.parametrize("heading", ["", "#timestamp,x,y,z,qw,qx,qy,qz\n", "timestamp x y z qx qy qz qw\n"])
@pytest.mark.parametrize("time", ["1700000000000000001", "1700000000.5"])
def test_what_looks_like_euroc_and_names_no_columns_is_said_to_be_taken_otherwise(
    tmp_path, caplog, comma, heading, time
):
    (tmp_path / "t.csv").write_text(heading + comma.join([time, *"1230001"]) + "\n")
    with suppress(ValueError):
        read_tum(tmp_path / "t.csv")
    assert ("quaternions are taken with w last" in caplog.text) == (not heading and "," in comma and "." not in time)
