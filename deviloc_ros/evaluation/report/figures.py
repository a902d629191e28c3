"""Draw figures that compare runs, legible on a phone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray

from deviloc_ros.evaluation.covariance import EXPECTED
from deviloc_ros.evaluation.metrics import RECALL_THRESHOLDS, WRONG_FIX_M
from deviloc_ros.evaluation.recordings.frames import JudgedFrame, list_stamps
from deviloc_ros.evaluation.recordings.run_folder import Run
from deviloc_ros.io.encoded_images import to_data_uri
from deviloc_ros.status import Status

SIZE_IN = (5.0, 3.2)
COLORS = ("#1f6fb2", "#d1495b", "#2a9d6f", "#8e5ea2", "#e08e1a", "#5c6b73")
LOST_COLORS = ("#f4a9a8", "#f6d186", "#c9b6e4", "#a8d5ba", "#b8d8e8", "#d9d9d9")
LONG_LABEL = 24  # characters
SMALLEST = 1e-3  # cm or deg: a logarithmic scale has no zero
# Without a salt of its own matplotlib names things in a file at random.
SVG: dict[Any, Any] = {
    "svg.hashsalt": "deviloc",
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.fontsize": 8,
}


def svg_uri(figure: Figure) -> str:
    """Return the figure as a data URI, the same for the same figure."""
    file = io.BytesIO()
    with matplotlib.rc_context(SVG):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return to_data_uri(file.getvalue(), "svg+xml")


def new_figure(rows: int = 1, height_in: float = SIZE_IN[1]) -> tuple[Figure, list[Axes]]:
    """Make axes above each other that share their x."""
    with matplotlib.rc_context(SVG):
        figure = Figure((SIZE_IN[0], height_in), layout="constrained")
        axes = figure.subplots(rows, 1, sharex=True, squeeze=False)
    return figure, list(axes[:, 0])


def assign_colors(runs: Sequence[Run]) -> list[tuple[Run, str]]:
    """Pair each run with its colour."""
    return [(run, COLORS[number % len(COLORS)]) for number, run in enumerate(runs)]


def add_legend(axes: Axes) -> None:
    """Add a legend above the axes, where it hides nothing; none where nothing is named."""
    labels = axes.get_legend_handles_labels()[1]
    if labels:
        columns = 1 if max(map(len, labels)) > LONG_LABEL else 2  # a legend that is too wide squeezes the axes
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, frameon=False, borderaxespad=0.2)


def run_labels(runs: Sequence[Run], alone: str = "") -> list[str]:
    """Return what each run is called in a legend; a single one needs no name of its own."""
    return [run.name for run in runs] if len(runs) > 1 else [alone]


def set_plain_log(axes: Axes, which: str) -> None:
    """Make an axis logarithmic, with numbers as people write them, over a factor of ten at least."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    if high < 10 * low:
        middle = np.sqrt(low * high)
        (axes.set_xlim if which == "x" else axes.set_ylim)(middle / np.sqrt(10), middle * np.sqrt(10))
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def plot_share_at_most(axes: Axes, values: Sequence[float], of: int, color: str, label: str = "") -> None:
    """Plot the share of `of` things whose value is at most so large; nothing without values."""
    if len(values):
        shares = np.arange(1, len(values) + 1) / of
        axes.step(np.sort(values), shares, where="post", color=color, label=label)


def seconds_since_start(run: Run, frames: Sequence[JudgedFrame]) -> NDArray:
    """Return (N,) seconds after the run's first image that has a stamp."""
    start_ns = min(list_stamps(f.estimate for f in run.frames), default=0)
    return np.array([(f.estimate.stamp_ns - start_ns) * 1e-9 for f in frames])


def draw_errors_over_time(runs: Sequence[Run]) -> Figure:
    """Draw translation and rotation error; of a single run also where there was no pose, and why."""
    figure, (above, below) = new_figure(2, 4.2)
    for (run, color), name in zip(assign_colors(runs), run_labels(runs), strict=True):
        fixes = [f for f in run.frames if f.localized and f.has_truth]
        style: dict[str, Any] = {"color": color, "marker": ".", "markersize": 4, "linestyle": "none", "label": name}
        if fixes:
            times_s = seconds_since_start(run, fixes)
            above.plot(times_s, [max(100 * f.translation_m, SMALLEST) for f in fixes], **style)
            below.plot(times_s, [max(f.rotation_deg, SMALLEST) for f in fixes], **style)
    set_plain_log(above, "y")
    set_plain_log(below, "y")
    above.set_ylabel("position error [cm]")
    below.set_ylabel("rotation error [deg]")
    below.set_xlabel("time since the first image [s]")
    if len(runs) == 1:
        mark_lost(runs[0], [above, below])
    add_legend(above)
    return figure


def mark_lost(run: Run, axes: Sequence[Axes]) -> None:
    """Shade the stretches without a pose, a colour for each reason."""
    tried = [f for f in run.frames if f.estimate.tried]
    times_s = seconds_since_start(run, tried)
    period_s = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 0.1
    colors: dict[Status, str] = {}
    for time_s, frame in zip(times_s, tried, strict=True):
        status = frame.estimate.status
        if frame.localized:
            continue
        known = status in colors
        color = colors.setdefault(status, LOST_COLORS[len(colors) % len(LOST_COLORS)])
        for number, part in enumerate(axes):
            label = None if known or number else status.sentence
            part.axvspan(time_s - period_s / 2, time_s + period_s / 2, color=color, linewidth=0, label=label)


def draw_cumulative_errors(runs: Sequence[Run]) -> Figure:
    """Draw the share of all images with ground truth whose position error is at most so large; lost ones never are."""
    figure, (axes,) = new_figure()
    for (run, color), name in zip(assign_colors(runs), run_labels(runs), strict=True):
        judged = [f for f in run.frames if f.estimate.tried and f.has_truth]
        errors_cm = [max(100 * f.translation_m, SMALLEST) for f in judged if f.localized]
        plot_share_at_most(axes, errors_cm, len(judged), color, name)
    axes.axvline(100 * WRONG_FIX_M, color="#c0392b", linestyle=":", linewidth=1)
    axes.text(100 * WRONG_FIX_M, 0.03, "wrong fix ", color="#c0392b", ha="right", fontsize=8)
    set_plain_log(axes, "x")
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("position error at most [cm]")
    axes.set_ylabel("share of images")
    add_legend(axes)
    return figure


def draw_recall(runs: Sequence[Run]) -> Figure:
    """Draw the share of all images within t centimetres and t degrees, with the usual thresholds marked."""
    figure, (axes,) = new_figure()
    thresholds = np.geomspace(0.2, 50, 120)
    for (run, color), name in zip(assign_colors(runs), run_labels(runs), strict=True):
        judged = [f for f in run.frames if f.estimate.tried and f.has_truth]
        if not judged:
            continue
        errors = [(100 * f.translation_m, f.rotation_deg) if f.localized else (np.inf, np.inf) for f in judged]
        worst = np.max(errors, axis=1)
        axes.plot(thresholds, [(worst <= t).mean() for t in thresholds], color=color, label=name)
        for threshold, share in (run.summary["recall"] or {}).items():
            axes.plot(100 * RECALL_THRESHOLDS[threshold][0], share, "o", color=color, markersize=4)
    set_plain_log(axes, "x")
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("threshold t: within t cm and t deg")
    axes.set_ylabel("recall")
    add_legend(axes)
    return figure


def draw_consistency(runs: Sequence[Run]) -> Figure:
    """Draw the distribution of the normalised errors beside the one that right covariances would give."""
    figure, (axes,) = new_figure()
    grid = np.geomspace(0.1, 100, 200)
    axes.plot(grid, EXPECTED.cdf(grid), "--", color="#555555", label="if the covariances were right")
    for (run, color), name in zip(assign_colors(runs), run_labels(runs, "as measured"), strict=True):
        nees = [f.nees for f in run.frames if np.isfinite(f.nees)]
        plot_share_at_most(axes, nees, len(nees), color, name)
    axes.set_xlim(0.1, 100)
    set_plain_log(axes, "x")
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("squared error in units of its covariance (NEES)")
    axes.set_ylabel("share of poses")
    add_legend(axes)
    return figure


def draw_inliers(runs: Sequence[Run]) -> Figure:
    """Draw the inliers of the poses; images without a pose are crosses."""
    figure, (axes,) = new_figure()
    for (run, color), name in zip(assign_colors(runs), run_labels(runs, "localized"), strict=True):
        for localized, marker in ((True, "."), (False, "x")):
            frames = [f for f in run.frames if f.estimate.tried and f.localized == localized]
            if frames:
                label = name if localized else "no pose" if len(runs) == 1 else None
                counts = [f.estimate.inliers for f in frames]
                axes.plot(
                    seconds_since_start(run, frames), counts, linestyle="none", color=color, label=label, marker=marker
                )
    needed = runs[0].summary.get("parameters", {}).get("pose", {}).get("min_inliers")
    if needed and len(runs) == 1:
        axes.axhline(needed, color="#c0392b", linestyle=":", label=f"at least {needed} are needed")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("time since the first image [s]")
    axes.set_ylabel("inliers")
    add_legend(axes)
    return figure


def draw_latency_distribution(runs: Sequence[Run]) -> Figure:
    """Draw the share of images that took at most so long."""
    figure, (axes,) = new_figure()
    for (run, color), name in zip(assign_colors(runs), run_labels(runs), strict=True):
        totals = [f.estimate.latency_ms for f in run.frames if f.estimate.tried and f.estimate.stages_ms]
        plot_share_at_most(axes, totals, len(totals), color, name)
    for share in (0.5, 0.95, 0.99):
        axes.axhline(share, color="#999999", linestyle=":", linewidth=0.8)
        axes.text(0.01, share - 0.02, f"p{100 * share:.0f}", transform=axes.get_yaxis_transform(), fontsize=7, va="top")
    axes.set_xlim(left=0)
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("time for one image at most [ms]")
    axes.set_ylabel("share of images")
    add_legend(axes)
    return figure


def draw_latency_by_stage(runs: Sequence[Run]) -> Figure:
    """Draw the median of each stage, and its 95th percentile as a whisker."""
    stages = list(dict.fromkeys(stage for run in runs for f in run.frames for stage in f.estimate.stages_ms))
    figure, (axes,) = new_figure(height_in=1.0 + 0.28 * len(stages) * len(runs))
    height = 0.8 / len(runs)
    for number, ((run, color), name) in enumerate(zip(assign_colors(runs), run_labels(runs), strict=True)):
        times = [[f.estimate.stages_ms[s] for f in run.frames if s in f.estimate.stages_ms] or [0.0] for s in stages]
        middle = np.array([np.median(values) for values in times])
        beyond = np.array([np.percentile(values, 95) for values in times]) - middle
        rows = np.arange(len(stages)) + (number - (len(runs) - 1) / 2) * height
        whiskers = [np.zeros(len(stages)), beyond]
        axes.barh(rows, middle, height, xerr=whiskers, color=color, label=name, error_kw={"elinewidth": 1})
    axes.set_yticks(range(len(stages)), stages)
    axes.invert_yaxis()
    axes.set_xlabel("median, and 95th percentile [ms]")
    add_legend(axes)
    return figure
