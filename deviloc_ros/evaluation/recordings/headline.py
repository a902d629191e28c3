"""The figures that are read first, in words."""

from __future__ import annotations

from typing import Any

from deviloc_ros.evaluation.metrics import WRONG_FIX_DEG, WRONG_FIX_M
from deviloc_ros.evaluation.recordings.run_folder import Run
from deviloc_ros.tracking.calibration import FocalLength

NOTHING = "none"


def headline(run: Run) -> list[tuple[str, str]]:
    """Name and value, most important first."""
    summary, latency = run.summary, run.latency
    rate = summary["success_rate"]
    share = f" ({rate:.1%})" if rate is not None else ""
    dropped = summary["images"] - summary["tried"]
    lines = [
        ("localized", f"{summary['localized']} of {summary['tried']} images{share}"),
        ("wrong fixes", wrong_fixes(summary)),
        ("median error", errors(summary, "median")),
        ("95th percentile error", errors(summary, "p95")),
        ("time to first fix", seconds(summary["time_to_first_fix_s"])),
        ("longest gap", seconds(summary["longest_gap_s"])),
    ]
    if focal := summary.get("focal_length"):
        lines.append(("focal length", str(FocalLength(**focal))))
    if latency:
        lines.append(("latency p50 / p95 / p99", " / ".join(f"{latency[f'p{p}']:.0f}" for p in (50, 95, 99)) + " ms"))
    if dropped:
        lines.append(("images not tried", f"{dropped} of {summary['images']}"))
    return lines


def wrong_fixes(summary: dict[str, Any]) -> str:
    """How many, and what counts as one."""
    if summary["wrong_fixes"] is None:
        return "unknown: no ground truth"
    return f"{summary['wrong_fixes']} (over {WRONG_FIX_M} m or {WRONG_FIX_DEG:.0f} deg)"


def errors(summary: dict[str, Any], which: str) -> str:
    """Of the images that were localized."""
    if summary["translation_m"] is None:
        return NOTHING
    return f"{length(summary['translation_m'][which])}, {summary['rotation_deg'][which]:.2f} deg"


def length(metres: float) -> str:
    """Centimetres up to a metre."""
    return f"{100 * metres:.2f} cm" if metres < 1 else f"{metres:.2f} m"


def seconds(value: float | None) -> str:
    """Or that there is none."""
    return "never" if value is None else f"{value:.2f} s"
