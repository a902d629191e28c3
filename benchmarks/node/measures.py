"""Measures the node on real images, over DDS, at the rate of the recording.

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
from benchmarks.node.page import Row, Table
from deviloc_ros.camera import Camera
from deviloc_ros.demo.recording import ODOMETRY_PER_FRAME, interpolate_poses, simulate_odometry
from deviloc_ros.demo.worlds import DriveFrame
from deviloc_ros.evaluation.metrics import is_wrong_fix
from deviloc_ros.evaluation.protocols.scenes import load_other_places
from deviloc_ros.geometry import rotation_distance_deg

CUTS = 5  # seq-02 in five parts, of which the robot is carried from one to another
ORDER = (0, 3, 1, 4, 2)
UNKNOWN_PLACES_S = 120.0
IDLE_S = 20.0


def drive_shots(
    frames: list[DriveFrame], camera: Camera, rate_hz: float, start: pycolmap.Rigid3d | None = None, seed: int = 0
) -> list[Shot]:
    """Images and drifting odometry of frames that follow each other; odometry begins at `start`."""
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


def kidnapped_shots(frames: list[DriveFrame], camera: Camera, rate_hz: float) -> tuple[list[Shot], list[int]]:
    """Parts of a drive in another order, odometry unaware of it. Also the numbers of the first shots after a jump."""
    length = len(frames) // CUTS
    shots: list[Shot] = []
    jumps = []
    for number in ORDER:
        jumps.append(len(shots))
        end = shots[-1].odometry[-1][1] if shots else None
        shots += drive_shots(frames[number * length : (number + 1) * length], camera, rate_hz, end, seed=number)
    return shots, jumps


def unknown_shots(data: Path) -> list[Shot]:
    """Images of places that are not in the map, taken with their own cameras; the robot stands."""
    return [
        Shot(image.path.read_bytes(), image.camera, [(0.0, pycolmap.Rigid3d())]) for image in load_other_places(data)
    ]


def bench_drive(robot: LiveRobot, shots: list[Shot], rate_hz: float, period_s: float) -> Table:
    """Frames, latency and transforms of a plain drive."""
    before = robot.settled_status()
    notes = robot.start_anew()
    robot.drive(shots, rate_hz)
    after = robot.settled_status()
    latencies_ms = [(arrival - stamp) * 1e-6 for stamp, (arrival, _) in notes.poses.items()]
    errors = errors_of(notes, shots)
    first_s = (min(notes.poses) - notes.sent[0]) * 1e-9 if notes.poses else float("nan")
    return Table(
        f"Kitchen, seq-02 at {rate_hz:g} Hz",
        [
            ("frames sent", str(len(shots))),
            *((f"frames {what}", counted(before, after, f"images_{what}")) for what in ("received", "processed")),
            ("frames dropped (a newer one came first)", counted(before, after, "dropped.replaced")),
            ("frames dropped otherwise", dropped_otherwise(before, after)),
            ("poses published", str(len(notes.poses))),
            ("first pose after the first image", f"{first_s:.1f} s"),
            (
                "image stamp to pose received, median and 95 %",
                "{:.0f} and {:.0f} ms".format(*percentiles(latencies_ms)),
            ),
            ("error, median and 95 %", "{:.1f} and {:.1f} cm".format(*percentiles([100 * m for m, _ in errors]))),
            ("wrong fixes", str(wrong(errors))),
            *transform_rows(notes, period_s),
        ],
    )


def transform_rows(notes: Notes, period_s: float) -> Iterator[Row]:
    """Rate and largest gap of map->odom, sent while the robot drove."""
    sent = [stamp for stamp, _ in notes.transforms]
    arrived = [arrival for _, arrival in notes.transforms]
    if len(sent) < 2:
        yield "map->odom", "none"
        return
    yield "map->odom published", f"{(len(sent) - 1) / ((sent[-1] - sent[0]) * 1e-9):.1f} Hz of {1 / period_s:.0f}"
    for name, times in (("as stamped", sent), ("as received", arrived)):
        gap_s = max(b - a for a, b in pairwise(times)) * 1e-9
        yield f"largest gap of map->odom, {name}", f"{1000 * gap_s:.0f} ms ({gap_s / period_s:.1f} periods)"


def bench_idle(robot: LiveRobot, pid: int) -> Table:
    """CPU of the node while it broadcasts map->odom and no image comes."""
    count = len(robot.notes.transforms)
    busy_s, start_s = cpu_s(pid), time.monotonic()
    time.sleep(IDLE_S)
    share = (cpu_s(pid) - busy_s) / (time.monotonic() - start_s)
    sent = len(robot.notes.transforms) - count
    return Table(
        "Idle", [("CPU of one core, no images", f"{share:.1%}"), ("map->odom meanwhile", f"{sent / IDLE_S:.1f} Hz")]
    )


def bench_kidnapping(robot: LiveRobot, shots: list[Shot], jumps: list[int], rate_hz: float) -> Table:
    """How long the node needs after it was carried away, and whether it was wrong meanwhile."""
    notes = robot.start_anew()
    robot.drive(shots, rate_hz)
    robot.settled_status()
    errors = errors_of(notes, shots)
    bounds = [*(notes.sent[number] for number in jumps), float("inf")]
    times = []
    for start, end in pairwise(bounds):
        arrivals = [arrival for stamp, (arrival, _) in notes.poses.items() if start <= stamp < end]
        times.append((min(arrivals) - start) * 1e-9 if arrivals else float("nan"))
    recovered = [seconds for seconds in times[1:] if np.isfinite(seconds)]
    shown = ", ".join(f"{seconds:.1f}" if np.isfinite(seconds) else "not" for seconds in times[1:])
    return Table(
        f"Kidnapped: seq-02 in {CUTS} parts, in the order {', '.join(map(str, ORDER))}",
        [
            ("jumps, and recovered from within the part", f"{len(times) - 1}, {len(recovered)}"),
            ("time from the first image after a jump to a pose", f"{shown} s"),
            ("poses published", str(len(notes.poses))),
            ("wrong fixes published", str(wrong(errors))),
        ],
    )


def bench_unknown_places(robot: LiveRobot, shots: list[Shot], rate_hz: float, seconds: float) -> Table:
    """Images that the map does not know: no pose may come."""
    before = robot.settled_status()
    notes = robot.start_anew()
    count = round(seconds * rate_hz)
    robot.drive([shots[number % len(shots)] for number in range(count)], rate_hz)
    after = robot.settled_status()
    return Table(
        f"Out of the map: {len(shots)} fountain, entry and street images for {seconds:.0f} s",
        [
            ("frames sent", str(count)),
            ("frames processed", counted(before, after, "images_processed")),
            ("frames dropped otherwise", dropped_otherwise(before, after)),
            ("poses published", str(len(notes.poses))),
            ("map->odom published", str(len(notes.transforms))),
        ],
    )


def errors_of(notes: Notes, shots: list[Shot]) -> list[tuple[float, float]]:
    """Translation [m] and rotation [deg] of each published pose."""
    truth = {stamp: shot.map_from_base for stamp, shot in zip(notes.sent, shots, strict=True)}
    pairs = [(pose, truth[stamp]) for stamp, (_, pose) in notes.poses.items()]
    return [
        (float(np.linalg.norm(a.translation - b.translation)), rotation_distance_deg(a.inverse(), b.inverse()))
        for a, b in pairs
        if b is not None
    ]


def wrong(errors: list[tuple[float, float]]) -> int:
    """How many are far off."""
    return sum(is_wrong_fix(*error) for error in errors)


def percentiles(values: list[float]) -> tuple[float, float]:
    """Median and 95th percentile, NaN without values."""
    return (float(np.percentile(values, 50)), float(np.percentile(values, 95))) if values else (np.nan, np.nan)


def counted(before: dict[str, str], after: dict[str, str], key: str) -> str:
    """How much a counter in diagnostics grew."""
    return str(int(after.get(key, 0)) - int(before.get(key, 0)))


def dropped_otherwise(before: dict[str, str], after: dict[str, str]) -> str:
    """Images that were not tried for other reasons than a newer one."""
    keys = [key for key in after if key.startswith("dropped.") and key != "dropped.replaced"]
    grown = {key.removeprefix("dropped."): counted(before, after, key) for key in keys}
    return ", ".join(f"{count} {name}" for name, count in grown.items() if count != "0") or "0"


def cpu_s(pid: int) -> float:
    """CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
