"""Measure the node on real images, over DDS, at the rate of the recording.

Drives are made of the 7-Scenes kitchen (map from seq-01, drive through seq-02) and, as places that the map does not
know, of the Strecha photographs and a KITTI drive.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pycolmap

from benchmarks.node.live_robot import LiveRobot, Notes, Shot
from benchmarks.node.page import PageTable, Row
from deviloc_ros.camera import Camera
from deviloc_ros.demo.recording import ODOMETRY_PER_FRAME, interpolate_poses, simulate_odometry
from deviloc_ros.demo.worlds import DriveFrame
from deviloc_ros.evaluation.metrics import is_wrong_fix
from deviloc_ros.evaluation.protocols.scenes import load_other_places
from deviloc_ros.geometry import rotation_distance_deg

CUTS = 5  # seq-02 in five parts, of which the robot is carried from one to another
ORDER = (0, 3, 1, 4, 2)
IDLE_S = 20.0


def make_drive(
    frames: list[DriveFrame], camera: Camera, rate_hz: float, start: pycolmap.Rigid3d | None = None, seed: int = 0
) -> list[Shot]:
    """Return images and drifting odometry of frames that follow each other; odometry begins at `start`."""
    period_ns = round(1e9 / rate_hz)
    truth = [(number * period_ns, frame.map_from_base) for number, frame in enumerate(frames)]
    odometry = simulate_odometry(interpolate_poses(truth), np.random.default_rng(seed), start=start)
    shots = []
    for number, frame in enumerate(frames):
        part = odometry[number * ODOMETRY_PER_FRAME : (number + 1) * ODOMETRY_PER_FRAME]
        after_image = [((time_ns - truth[number][0]) * 1e-9, pose) for time_ns, pose in part]
        file = frame.load()
        assert isinstance(file, bytes)
        shots.append(Shot(file, camera, after_image, frame.map_from_base))
    return shots


def make_kidnapped_drive(frames: list[DriveFrame], camera: Camera, rate_hz: float) -> tuple[list[Shot], list[int]]:
    """Return parts of a drive in another order, odometry unaware of it, and the first shots after each jump."""
    length = len(frames) // CUTS
    shots: list[Shot] = []
    jumps = []
    for number in ORDER:
        jumps.append(len(shots))
        end = shots[-1].odometry[-1][1] if shots else None
        shots += make_drive(frames[number * length : (number + 1) * length], camera, rate_hz, end, seed=number)
    return shots, jumps


def load_unknown_shots(data: Path) -> list[Shot]:
    """Return images of places that are not in the map, taken with their own cameras; the robot stands."""
    return [
        Shot(image.path.read_bytes(), image.camera, [(0.0, pycolmap.Rigid3d())]) for image in load_other_places(data)
    ]


def bench_drive(robot: LiveRobot, shots: list[Shot], rate_hz: float, period_s: float) -> PageTable:
    """Tabulate frames, latency and transforms of a plain drive."""
    before = robot.read_settled_status()
    notes = robot.start_anew()
    robot.drive(shots, rate_hz)
    after = robot.read_settled_status()
    latencies_ms = [(arrival - stamp) * 1e-6 for stamp, (arrival, _) in notes.poses.items()]
    errors = pose_errors(notes, shots)
    first_s = (min(notes.poses) - notes.sent[0]) * 1e-9 if notes.poses else float("nan")
    return PageTable(
        f"Kitchen, seq-02 at {rate_hz:g} Hz",
        [
            ("frames sent", str(len(shots))),
            *((f"frames {what}", count_growth(before, after, f"images_{what}")) for what in ("received", "processed")),
            ("frames dropped (a newer one came first)", count_growth(before, after, "dropped.replaced")),
            ("frames dropped otherwise", describe_other_drops(before, after)),
            ("poses published", f"{len(notes.poses)}, {len(notes.poses) * rate_hz / len(shots):.1f} a second"),
            ("first pose after the first image", f"{first_s:.1f} s"),
            (
                "image stamp to pose received, median and 95 %",
                "{:.0f} and {:.0f} ms".format(*median_and_p95(latencies_ms)),
            ),
            ("error, median and 95 %", "{:.1f} and {:.1f} cm".format(*median_and_p95([100 * m for m, _ in errors]))),
            ("wrong fixes", str(count_wrong(errors))),
            *transform_rows(notes, period_s),
        ],
    )


def transform_rows(notes: Notes, period_s: float) -> Iterator[Row]:
    """Yield rate and largest gap of map->odom, sent while the robot drove."""
    sent = [stamp for stamp, _ in notes.transforms]
    arrived = [arrival for _, arrival in notes.transforms]
    if len(sent) < 2:
        yield "map->odom", "none"
        return
    yield "map->odom published", f"{(len(sent) - 1) / ((sent[-1] - sent[0]) * 1e-9):.1f} Hz of {1 / period_s:.0f}"
    for name, times in (("as stamped", sent), ("as received", arrived)):
        gap_s = max(b - a for a, b in pairwise(times)) * 1e-9
        yield f"largest gap of map->odom, {name}", f"{1000 * gap_s:.0f} ms ({gap_s / period_s:.1f} periods)"


def bench_idle(robot: LiveRobot, pid: int) -> PageTable:
    """Tabulate CPU of the node while it broadcasts map->odom and no image comes."""
    count = len(robot.notes.transforms)
    busy_s, start_s = cpu_s(pid), time.monotonic()
    time.sleep(IDLE_S)
    share = (cpu_s(pid) - busy_s) / (time.monotonic() - start_s)
    sent = len(robot.notes.transforms) - count
    return PageTable(
        "Idle", [("CPU of one core, no images", f"{share:.1%}"), ("map->odom meanwhile", f"{sent / IDLE_S:.1f} Hz")]
    )


def bench_kidnapping(robot: LiveRobot, shots: list[Shot], jumps: list[int], rate_hz: float) -> PageTable:
    """Tabulate how long the node needs after it was carried away, and whether it was wrong meanwhile."""
    notes = robot.start_anew()
    robot.drive(shots, rate_hz)
    robot.read_settled_status()
    errors = pose_errors(notes, shots)
    bounds = [*(notes.sent[number] for number in jumps), float("inf")]
    times = []
    for start, end in pairwise(bounds):
        arrivals = [arrival for stamp, (arrival, _) in notes.poses.items() if start <= stamp < end]
        times.append((min(arrivals) - start) * 1e-9 if arrivals else float("nan"))
    recovered = [seconds for seconds in times[1:] if np.isfinite(seconds)]
    shown = ", ".join(f"{seconds:.1f}" if np.isfinite(seconds) else "not" for seconds in times[1:])
    return PageTable(
        f"Kidnapped: seq-02 in {CUTS} parts, in the order {', '.join(map(str, ORDER))}",
        [
            ("jumps, and recovered from within the part", f"{len(times) - 1}, {len(recovered)}"),
            ("time from the first image after a jump to a pose", f"{shown} s"),
            ("poses published", str(len(notes.poses))),
            ("wrong fixes published", str(count_wrong(errors))),
        ],
    )


def bench_unknown_places(robot: LiveRobot, shots: list[Shot], rate_hz: float, seconds: float) -> PageTable:
    """Send images that the map does not know: no pose may come."""
    before = robot.read_settled_status()
    notes = robot.start_anew()
    count = round(seconds * rate_hz)
    robot.drive([shots[number % len(shots)] for number in range(count)], rate_hz)
    after = robot.read_settled_status()
    return PageTable(
        f"Out of the map: {len(shots)} fountain, entry and street images for {seconds:.0f} s",
        [
            ("frames sent", str(count)),
            ("frames processed", count_growth(before, after, "images_processed")),
            ("frames dropped otherwise", describe_other_drops(before, after)),
            ("poses published", str(len(notes.poses))),
            ("map->odom published", str(len(notes.transforms))),
        ],
    )


def pose_errors(notes: Notes, shots: list[Shot]) -> list[tuple[float, float]]:
    """Return translation [m] and rotation [deg] of each published pose."""
    truth = {stamp: shot.map_from_base for stamp, shot in zip(notes.sent, shots, strict=True)}
    pairs = [(pose, truth.get(stamp)) for stamp, (_, pose) in notes.poses.items()]  # one may be of a drive before
    return [
        (float(np.linalg.norm(a.translation - b.translation)), rotation_distance_deg(a.inverse(), b.inverse()))
        for a, b in pairs
        if b is not None
    ]


def count_wrong(errors: list[tuple[float, float]]) -> int:
    """Return how many poses are far off."""
    return sum(is_wrong_fix(*error) for error in errors)


def median_and_p95(values: list[float]) -> tuple[float, float]:
    """Return median and 95th percentile, NaN without values."""
    return (float(np.percentile(values, 50)), float(np.percentile(values, 95))) if values else (np.nan, np.nan)


def count_growth(before: dict[str, str], after: dict[str, str], key: str) -> str:
    """Return how much a counter in diagnostics grew."""
    return str(int(after.get(key, 0)) - int(before.get(key, 0)))


def describe_other_drops(before: dict[str, str], after: dict[str, str]) -> str:
    """Return the images that were not tried for other reasons than a newer one."""
    keys = [key for key in after if key.startswith("dropped.") and key != "dropped.replaced"]
    grown = {key.removeprefix("dropped."): count_growth(before, after, key) for key in keys}
    return ", ".join(f"{count} {name}" for name, count in grown.items() if count != "0") or "0"


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
