"""How the node's benchmark counts."""

from itertools import pairwise

import numpy as np
import pycolmap
import pytest
from ros_helpers import ROOT

pytest.importorskip("rclpy")

from benchmarks.node.live_robot import Notes, Shot
from benchmarks.node.measures import (
    CUTS,
    ORDER,
    count_growth,
    count_wrong,
    describe_other_drops,
    make_kidnapped_drive,
    pose_errors,
    transform_rows,
)
from benchmarks.node.page import PageTable, make_page
from deviloc_ros.camera import Camera
from deviloc_ros.demo.worlds import DriveFrame

CAMERA = Camera("PINHOLE", 64, 48, (60.0, 60.0, 31.5, 23.5))


def at(x: float) -> pycolmap.Rigid3d:
    return pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([x, 0.0, 0.0]))


def test_odometry_does_not_notice_that_the_robot_is_carried():
    frames = [DriveFrame(at(-0.1 * number), lambda: b"jpeg") for number in range(20)]
    shots, jumps = make_kidnapped_drive(frames, CAMERA, rate_hz=10.0)
    assert len(shots) == 20 and jumps == [4 * number for number in range(CUTS)] and len(ORDER) == CUTS
    poses = [pose for shot in shots for _, pose in shot.odometry]
    steps = [np.linalg.norm((a.inverse() * b).translation) for a, b in pairwise(poses)]
    assert max(steps) < 0.12


def test_wrong_fixes_are_those_far_from_the_truth():
    shots = [Shot(b"", CAMERA, [], at(0.0)), Shot(b"", CAMERA, [], at(1.0))]
    notes = Notes(sent=[10, 20], poses={10: (15, at(0.01)), 20: (25, at(1.6))})
    errors = pose_errors(notes, shots)
    assert [metres for metres, _ in errors] == pytest.approx([0.01, 0.6]) and count_wrong(errors) == 1


def test_transforms_are_judged_by_their_largest_gap():
    notes = Notes(transforms=[(time_ns, time_ns) for time_ns in (0, 50_000_000, 100_000_000, 250_000_000)])
    rows = dict(transform_rows(notes, 0.05))
    assert rows["largest gap of map->odom, as stamped"] == "150 ms (3.0 periods)"
    assert dict(transform_rows(Notes(), 0.05)) == {"map->odom": "none"}


def test_counters_are_compared_and_shown():
    before, after = {"dropped.too_old": "1"}, {"dropped.too_old": "3", "dropped.replaced": "7"}
    assert count_growth(before, after, "dropped.replaced") == "7" and describe_other_drops(before, after) == "2 too_old"
    assert "| frames | 3 |" in str(PageTable("A drive", [("frames", "3")]))


def test_the_page_is_whole():
    written = make_page([PageTable("A drive", [("frames", "3")]), PageTable("Idle", [])], "cpu", 0.25)
    headings = [line for line in written.splitlines() if line.startswith("#")]
    assert headings == ["# The node on real images", "## A drive", "## Idle"]
    assert "the network on\ncpu, load average 0.2 " in written and written.endswith("|\n")
    assert set("{}").isdisjoint(written)
    assert (ROOT / "docs" / "research" / "node.md").read_text().splitlines()[0] == headings[0]
