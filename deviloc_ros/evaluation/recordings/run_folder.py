"""Write and read the files of a run: written by the evaluation, read by `compare`.

summary.json     figures; two runs give the same
frames.csv       one image a line; two runs give the same
estimated.tum    the poses that were given, for evo and rpg_trajectory_evaluation
truth.tum        the true poses of all images
estimates/       poses, path and truth as a bag (mcap), for RViz and Foxglove
latency.json     figures of latency.csv
latency.csv      milliseconds by stage, one image a line: measured, so no two runs give the same
report.html      all of it on one page
"""

from __future__ import annotations

import csv
import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap

from deviloc_ros.bags.writer import BagWriter
from deviloc_ros.evaluation.recordings.frames import Estimate, JudgedFrame
from deviloc_ros.geometry import rigid_from_quaternion
from deviloc_ros.io.atomic import replace_on_success, write_whole
from deviloc_ros.io.plain_files import read_json
from deviloc_ros.io.tum_trajectory import write_tum
from deviloc_ros.status import Status

SUMMARY, FRAMES, LATENCY, STAGES = "summary.json", "frames.csv", "latency.json", "latency.csv"
ESTIMATED, TRUTH, ESTIMATES, REPORT = "estimated.tum", "truth.tum", "estimates", "report.html"
POSE_COLUMNS = ("x_m", "y_m", "z_m", "qx", "qy", "qz", "qw")
EVIDENCE_COLUMNS = ("inliers", "inlier_ratio", "coverage", "references")
MAP_COLUMN = "map"  # there where a run is in several maps
NUMBERS = ("translation_m", "rotation_deg", "std_m", "std_deg", "nees")


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Hold a run as it is reported; summary and latency are as in the files, name is what comparisons call it."""

    name: str
    summary: dict[str, Any]
    latency: dict[str, Any] | None
    frames: list[JudgedFrame]

    @property
    def figures(self) -> dict[str, Any]:
        """Return what requirements are put on."""
        return self.summary | {"latency_ms": self.latency}


def prepare_folder(folder: Path) -> None:
    """Make an empty place for a run; an earlier run there is replaced.

    Raises:
        ValueError: there is something else.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / SUMMARY).is_file():
        raise ValueError(f"{folder} is not empty and holds no earlier run; choose another --output")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; choose another --output")
    folder.mkdir(parents=True, exist_ok=True)


def write_run(folder: Path, run: Run, map_frame: str, base_frame: str) -> None:
    """Write all files but the report, in place of an earlier run's; the summary last: with it the run is complete."""
    (folder / SUMMARY).unlink(missing_ok=True)
    shutil.rmtree(folder / ESTIMATES, ignore_errors=True)
    estimated = [(f.estimate.stamp_ns, f.map_from_base) for f in run.frames if f.localized and f.map_from_base]
    true = [(f.estimate.stamp_ns, f.true_map_from_base) for f in run.frames if f.true_map_from_base]
    write_tum(folder / ESTIMATED, sorted(estimated, key=lambda pose: pose[0]))
    write_tum(folder / TRUTH, sorted(true, key=lambda pose: pose[0]))
    write_frames(folder / FRAMES, run.frames)
    write_stages(folder / STAGES, run.frames)
    write_estimates(folder / ESTIMATES, run.frames, map_frame, base_frame)
    write_whole(folder / LATENCY, json.dumps(run.latency, indent=1) + "\n")
    write_whole(folder / SUMMARY, json.dumps(run.summary, indent=1) + "\n")


def write_frames(path: Path, frames: list[JudgedFrame]) -> None:
    """Write a line per image; empty cells are what is not known."""
    with replace_on_success(path) as beside, beside.open("w", newline="") as file:
        table = csv.writer(file)
        true_columns = [f"true_{name}" for name in POSE_COLUMNS]
        columns = [*POSE_COLUMNS, *true_columns, *NUMBERS, *EVIDENCE_COLUMNS]
        are_several = any(f.estimate.map_name for f in frames)
        table.writerow(["received_ns", "stamp_ns", "status", "detail", *columns, *[MAP_COLUMN] * are_several])
        for f in frames:
            e = f.estimate
            table.writerow(
                [
                    e.received_ns,
                    e.stamp_ns,
                    e.status.word,
                    e.detail,
                    *pose_to_cells(f.map_from_base),
                    *pose_to_cells(f.true_map_from_base),
                ]
                + [format_cell(getattr(f, name)) for name in NUMBERS]
                + [e.inliers, format_cell(e.inlier_ratio), format_cell(e.coverage), "|".join(e.references)]
                + [e.map_name] * are_several
            )


def pose_to_cells(pose: pycolmap.Rigid3d | None) -> list[str]:
    """Return the seven cells of a pose."""
    if pose is None:
        return [""] * len(POSE_COLUMNS)
    return [f"{value:.9f}" for value in (*pose.translation, *pose.rotation.quat)]


def format_cell(value: float) -> str:
    """Return a cell; empty for NaN."""
    return "" if math.isnan(value) else f"{value:.9g}"


def write_stages(path: Path, frames: list[JudgedFrame]) -> None:
    """Write milliseconds, a column a stage."""
    names = list(dict.fromkeys(name for f in frames for name in f.estimate.stages_ms))
    with replace_on_success(path) as beside, beside.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["stamp_ns", *names])
        for f in frames:
            stages = f.estimate.stages_ms
            table.writerow([f.estimate.stamp_ns, *(f"{stages[n]:.3f}" if n in stages else "" for n in names)])


def write_estimates(path: Path, frames: list[JudgedFrame], map_frame: str, base_frame: str) -> None:
    """Write a bag: poses with covariance, truth, and base_frame in /tf under a name of its own."""
    with BagWriter(path) as bag:
        for f in frames:
            time_ns = f.estimate.stamp_ns
            if f.true_map_from_base is not None:
                bag.write_pose("/ground_truth", time_ns, map_frame, f.true_map_from_base)
            if f.localized and f.map_from_base is not None:
                covariance = f.estimate.covariance if f.estimate.covariance is not None else np.zeros((6, 6))
                bag.write_pose_with_covariance("/estimate", time_ns, map_frame, f.map_from_base, covariance)
                bag.write_transform(time_ns, map_frame, f"{base_frame}_estimated", f.map_from_base)


def read_run(folder: Path) -> Run:
    """Read a run that was written; raise ValueError naming the file."""
    try:
        summary = read_json(folder / SUMMARY)
        latency = read_json(folder / LATENCY)
        stages = read_stages(folder / STAGES)
        with (folder / FRAMES).open(newline="") as file:
            frames = [read_frame(row, stages) for row in csv.DictReader(file)]
    except FileNotFoundError as error:
        raise ValueError(f"{folder}: not the output of evaluate-bag: {error.filename} is missing") from error
    except (ValueError, KeyError, TypeError) as error:  # the last of a line that was cut off
        raise ValueError(f"{folder}: damaged: {error!r}") from error
    return Run(folder.resolve().name, summary, latency, frames)


def read_stages(path: Path) -> dict[int, dict[str, float]]:
    """Read milliseconds by stage, by stamp."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {int(row.pop("stamp_ns")): {name: float(ms) for name, ms in row.items() if ms} for row in rows}


def read_frame(row: dict[str, str], stages: dict[int, dict[str, float]]) -> JudgedFrame:
    """Read one line of frames.csv; the covariance is not there, what was made of it is."""
    stamp_ns = int(row["stamp_ns"])
    estimate = Estimate(
        int(row["received_ns"]),
        stamp_ns,
        Status.from_word(row["status"]),
        row["detail"],
        pose_from_cells([row[name] for name in POSE_COLUMNS]),
        inliers=int(row["inliers"]),
        inlier_ratio=float(row["inlier_ratio"]),
        coverage=float(row["coverage"]),
        references=tuple(filter(None, row["references"].split("|"))),
        stages_ms=stages.get(stamp_ns, {}),
        map_name=row.get(MAP_COLUMN, ""),
    )
    true_from_base = pose_from_cells([row[f"true_{name}"] for name in POSE_COLUMNS])
    numbers = {name: float(row[name]) if row[name] else math.nan for name in NUMBERS}
    return JudgedFrame(estimate, estimate.map_from_base, true_from_base, **numbers)


def pose_from_cells(values: list[str]) -> pycolmap.Rigid3d | None:
    """Return the pose that `pose_to_cells` wrote."""
    if not values[0]:
        return None
    numbers = [float(value) for value in values]
    return rigid_from_quaternion(numbers[3:], numbers[:3])
