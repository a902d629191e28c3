"""Let the node work for an hour at a fast camera's rate, change its map a hundred times, and see what grows.

    python -m benchmarks.node.soak --data DATA [--minutes 60] [--reloads 100]

A program plays the robot, as for `bench node`; it drives to and fro. Memory, threads and open files of the node's
process are read every ten seconds, and after each change of the map; what grows is a slope of least squares.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from tqdm import tqdm

from benchmarks.node.live_robot import LIMIT_S, LiveRobot
from benchmarks.node.measures import count_growth, count_wrong, make_drive, median_and_p95, pose_errors
from benchmarks.node.page import PageTable, Row
from benchmarks.node.run import FAST_HZ, run_node
from deviloc_ros.config import Config
from deviloc_ros.demo.worlds import World, load_kitchen
from deviloc_ros.mapping.build import build_map

WARM_UP_S = 120.0  # memory is not looked at before: what is allocated once has been by then
SAMPLE_EVERY_S = 10.0
COUNTED = ("images_received", "images_processed")


@dataclass(slots=True)
class Samples:
    """Hold what was read of a process, row by row: when [h, or changes of the map], memory [MiB], threads, files."""

    rows: list[tuple[float, float, int, int]] = field(default_factory=list)

    def add(self, at: float, pid: int) -> None:
        """Read the process now."""
        process = Path("/proc", str(pid))
        pages = int((process / "statm").read_text().split()[1])
        threads, files = (len(list((process / folder).iterdir())) for folder in ("task", "fd"))
        self.rows.append((at, pages * os.sysconf("SC_PAGE_SIZE") / 2**20, threads, files))

    def describe(self, per: str) -> list[Row]:
        """Return a row of a table for each column: from what to what, and the slope."""
        at, *columns = np.array(self.rows).T
        names = ("resident memory [MiB]", "threads", "open files")
        return [(name, describe_slope(at, column, per)) for name, column in zip(names, columns, strict=True)]


def describe_slope(at: NDArray, values: NDArray, per: str) -> str:
    """Say where values begin and end, and their slope with its standard error."""
    (slope, _), covariance = np.polyfit(at, values, 1, cov=True)
    return f"{values[0]:.0f} to {values[-1]:.0f}; {slope:+.2f} +- {covariance[0, 0] ** 0.5:.2f} {per}"


def drive_on(robot: LiveRobot, world: World, pid: int, minutes: float) -> PageTable:
    """Drive to and fro for so long, and tabulate what grew."""
    there_and_back = [*world.frames, *reversed(world.frames)]
    before, samples = robot.read_settled_status(), Samples()
    errors: list[tuple[float, float]] = []
    latencies: list[tuple[float, float]] = []  # when [h], and the median of seven seconds [ms]
    robot.start_anew()
    start_s, sampled_s, end = time.monotonic(), 0.0, None
    with tqdm(total=round(60 * minutes), desc="soak", unit="s") as bar:
        while (age_s := time.monotonic() - start_s) < 60 * minutes:
            bar.update(round(age_s) - bar.n)
            notes = robot.begin_notes()
            shots = make_drive(there_and_back, world.camera, FAST_HZ, end)
            robot.drive(shots, FAST_HZ)
            end = shots[-1].odometry[-1][1]
            if age_s > WARM_UP_S:
                errors += pose_errors(notes, shots)
                waits_ms = [(arrival - stamp) * 1e-6 for stamp, (arrival, _) in notes.poses.items()]
                latencies.append((age_s / 3600, float(np.median(waits_ms)) if waits_ms else np.nan))
                if age_s > sampled_s + SAMPLE_EVERY_S:
                    samples.add(age_s / 3600, pid)
                    sampled_s = age_s
    after, waits = robot.read_settled_status(), np.array([pair for pair in latencies if np.isfinite(pair[1])])
    grown = {
        key: count_growth(before, after, key)
        for key in after
        if (key in COUNTED or key.startswith("dropped.")) and count_growth(before, after, key) != "0"
    }
    threads = {key: value for key, value in after.items() if key.startswith("thread.")}
    return PageTable(
        f"{minutes:g} minutes at {FAST_HZ:g} Hz",
        [
            *samples.describe("an hour"),
            ("stamp to pose [ms], medians of seven seconds", describe_slope(waits[:, 0], waits[:, 1], "an hour")),
            ("images", ", ".join(f"{key.removeprefix('images_')} {value}" for key, value in grown.items())),
            ("poses, error in the median and 95 %", "{}, {:.1f} and {:.1f} cm".format(
                len(errors), *median_and_p95([100 * m for m, _ in errors])
            )),
            ("wrong fixes", str(count_wrong(errors))),
            ("threads", ", ".join(f"{key.removeprefix('thread.')} {value}" for key, value in threads.items())),
        ],
    )  # fmt: skip


def change_maps(robot: LiveRobot, maps: list[Path], pid: int, count: int) -> PageTable:
    """Change the map so often, and tabulate what grew."""
    client, samples, times_s = AsyncParameterClient(robot, "deviloc"), Samples(), []
    if not client.wait_for_services(LIMIT_S):
        raise TimeoutError("the node offers no parameters")
    for number in tqdm(range(count), desc="changes of the map", unit="map"):
        started_s = time.monotonic()
        future = client.set_parameters([Parameter("map_path", value=str(maps[(number + 1) % len(maps)]))])
        while not future.done():
            if time.monotonic() - started_s > LIMIT_S:
                raise TimeoutError(f"change {number} of the map was not answered within {LIMIT_S:.0f} s")
            time.sleep(0.01)
        answer: Any = future.result()
        (result,) = answer.results
        if not result.successful:
            raise ValueError(f"the map is not taken: {result.reason}")
        times_s.append(time.monotonic() - started_s)
        if number >= count // 10:
            samples.add(number, pid)
    took = "{:.2f} and {:.2f} s".format(*median_and_p95(times_s))
    return PageTable(
        f"{count} changes of the map", [*samples.describe("a change"), ("a change, median and 95 %", took)]
    )


def main() -> None:
    """Run the node, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of 7scenes, strecha and kitti")
    parser.add_argument("--minutes", type=float, default=60.0, metavar="N", help="default: 60")
    parser.add_argument("--reloads", type=int, default=100, metavar="N", help="default: 100")
    arguments = parser.parse_args()
    if 60 * arguments.minutes < WARM_UP_S + 10 * SAMPLE_EVERY_S or arguments.reloads < 10:
        parser.error("--minutes must be 4 or more, --reloads 10 or more: fewer samples give no slope")
    with tempfile.TemporaryDirectory() as name:
        world, first, second = load_kitchen(arguments.data), Path(name, "first.map"), Path(name, "second.map")
        build_map(world.map_images, first, Config())
        shutil.copytree(first, second)
        with run_node(first) as (robot, pid):
            print(drive_on(robot, world, pid, arguments.minutes), flush=True)
            print(change_maps(robot, [first, second], pid, arguments.reloads), flush=True)


if __name__ == "__main__":
    main()
