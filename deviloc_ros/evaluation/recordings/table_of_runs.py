"""Write one table over the runs of several recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deviloc_ros.evaluation.recordings.headline import describe_errors, format_seconds
from deviloc_ros.evaluation.recordings.run_folder import Run
from deviloc_ros.evaluation.recordings.summary import summarize_frames
from deviloc_ros.evaluation.summary_table import align_table
from deviloc_ros.io.atomic import write_whole

TABLE = "recordings.md"
COLUMNS = (
    "recording", "localized", "wrong", "median error", "95th percentile", "5cm 5deg", "first fix", "longest gap",
)  # fmt: skip


def write_table(folder: Path, runs: list[Run]) -> str:
    """Return the table, which is also written into the folder. Nothing in it is measured on a clock."""
    table = align_table(COLUMNS, make_rows(runs))
    write_whole(folder / TABLE, table + "\n")
    return table


def make_rows(runs: list[Run]) -> list[tuple[str, ...]]:
    """Return a row for each run, and one over the images of all."""
    rows = [(run.name, *figure_cells(run.summary), *time_cells(run.summary)) for run in runs]
    together = summarize_frames([frame for run in runs for frame in run.frames])
    return [*rows, ("all", *figure_cells(together), "", "")]


def figure_cells(summary: dict[str, Any]) -> tuple[str, ...]:
    """Return cells that images of several recordings have together as well."""
    wrong, recall = summary["wrong_fixes"], summary["recall"]
    return (
        f"{summary['localized']} / {summary['tried']}",
        "" if wrong is None else str(wrong),
        describe_errors(summary, "median"),
        describe_errors(summary, "p95"),
        f"{recall['5cm_5deg']:.2f}" if recall else "",
    )


def time_cells(summary: dict[str, Any]) -> tuple[str, ...]:
    """Return cells that only one recording has."""
    return format_seconds(summary["time_to_first_fix_s"]), format_seconds(summary["longest_gap_s"])
