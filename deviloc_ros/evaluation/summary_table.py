"""Format summaries as a Markdown table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

COLUMNS = (
    "protocol", "matcher", "lift", "K", "retrieval", "localized", "wrong", "median (95 % interval)",
    "1cm 1deg", "2cm 2deg", "5cm 5deg", "10cm 5deg", "inliers", "ms p50", "ms p95",
)  # fmt: skip
WITHOUT_TIMES = COLUMNS[:-2]


def summary_cells(summary: dict[str, Any]) -> tuple[str, ...]:
    """Return one summary's cells, in the order of COLUMNS."""
    recall, latency = summary["recall"], summary["latency_ms"]
    return (
        summary["protocol"],
        summary["matcher"],
        summary["lift"],
        str(summary["references"]),
        summary["retrieval"],
        f"{summary['localized']} / {summary['queries']}",
        str(summary["wrong_fixes"]),
        f"{format_median(summary)}, {summary['median_rotation_deg']:.2f} deg",
        *(f"{recall[name]:.2f}" for name in ("1cm_1deg", "2cm_2deg", "5cm_5deg", "10cm_5deg")),
        f"{summary['median_inliers']:.0f}",
        f"{latency['p50']:.0f}",
        f"{latency['p95']:.0f}",
    )


def format_median(summary: dict[str, Any]) -> str:
    """Format the median translation error, and where that of more such queries lies."""
    low, high = (f"{end * 100:.2f}" for end in summary["median_translation_interval_m"])
    return f"{summary['median_translation_m'] * 100:.2f} cm ({low} to {high})"


def format_summaries(summaries: Iterable[dict[str, Any]], columns: Sequence[str] = COLUMNS) -> str:
    """Format a line for each summary."""
    shown = [COLUMNS.index(column) for column in columns]
    rows = [summary_cells(summary) for summary in summaries]
    return align_table(columns, [[cells[column] for column in shown] for cells in rows])


def align_table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Format a Markdown table whose columns are as wide in the source as they are on the page."""
    rows = [head, *body]
    widths = [max(len(line[column]) for line in rows) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def format_stages(summary: dict[str, Any]) -> str:
    """Format the median milliseconds by stage, on one line."""
    return ", ".join(f"{name} {ms:.1f}" for name, ms in summary["latency_ms"]["stages"].items())
