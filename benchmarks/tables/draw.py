"""Draw what commands wrote as SVG: the same file for the same figures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.tables.render import RECALLS, all_summaries, cost_cells, recall_titles, select_default_lift
from deviloc_ros.evaluation import covariance as nees
from deviloc_ros.evaluation.reliability import Reliability, draw_reliability
from deviloc_ros.io.figures import save_figure


def draw_recall(path: Path, results: list[Any]) -> None:
    """Draw axes for each protocol: recall over the thresholds, a line for each matcher and lift."""
    by_protocol: dict[str, list[dict[str, Any]]] = {}
    for summary in all_summaries(results):
        by_protocol.setdefault(summary["protocol"], []).append(summary)
    columns = min(len(by_protocol), 4)
    rows = math.ceil(len(by_protocol) / columns)
    figure = Figure((2.6 * columns, 2.4 * rows + 0.4), layout="constrained")
    grid: Any = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, (protocol, summaries) in zip(grid.flat, by_protocol.items(), strict=False):
        for summary in summaries:
            names = list(summary["recall"])
            axes.plot(recall_titles(names), list(summary["recall"].values()), marker=".", label=summary["lift"])
        axes.set(title=protocol, ylim=(0, 1.03))
        axes.tick_params(axis="x", labelrotation=30, labelsize=7)
        axes.grid(alpha=0.3)
    for axes in grid.flat[len(by_protocol) :]:
        axes.set_axis_off()
    figure.legend(*grid.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")
    save_without_display(figure, path)


def draw_robustness(path: Path, results: list[Any]) -> None:
    """Draw recall over the disturbances, a line for each lift and axes for each threshold."""
    figure = Figure((9, 3.6), layout="constrained")
    grid: Any = figure.subplots(1, len(RECALLS), sharey=True)
    for axes, name, title in zip(grid, RECALLS, recall_titles(RECALLS), strict=True):
        lines: dict[str, dict[str, float]] = {}
        for summary in all_summaries(results):
            lift, disturbance = summary["lift"].split(", ", 1)
            lines.setdefault(lift, {})[disturbance.replace(" of landmarks", "")] = summary["recall"][name]
        for lift, values in lines.items():
            axes.plot(list(values), list(values.values()), marker=".", label=lift)
        axes.set(title=title, ylim=(0, 1.03))
        axes.tick_params(axis="x", labelrotation=60, labelsize=7)
        axes.grid(alpha=0.3)
    grid[0].legend(fontsize="small", loc="lower left")
    save_without_display(figure, path)


def draw_costs(path: Path, results: list[Any]) -> None:
    """Draw axes for what is varied: milliseconds of a query in the median, a line for each way of searching."""
    lines: dict[str, dict[str, dict[int, float]]] = {}
    for name, value, summaries in cost_cells(results):
        for summary in summaries:
            lines.setdefault(name, {}).setdefault(summary["retrieval"], {})[value] = summary["latency_ms"]["p50"]
    figure = Figure((2.6 * len(lines), 2.8), layout="constrained")
    grid: Any = figure.subplots(1, len(lines), sharey=True)
    for axes, (name, ways) in zip(grid, lines.items(), strict=True):
        for way, values in ways.items():
            axes.plot(list(values), list(values.values()), marker=".", label=way)
        axes.set(xlabel=name, ylim=(0, None))
        axes.grid(alpha=0.3)
    grid[0].set_ylabel("a query, median [ms]")
    grid[0].legend(fontsize="small")
    save_without_display(figure, path)


def draw_covariance(path: Path, results: list[Any]) -> None:
    """Draw the NEES with the default lift."""
    nees.draw_nees(path, nees.collect_nees(select_default_lift(results)))


def draw_confidence(path: Path, results: list[Any]) -> None:
    """Draw the share of right answers over confidence."""
    diagrams = {
        f"{cell['scene']}, {cell['landmarks']} landmarks": Reliability(
            **{name: np.array(values) for name, values in cell["reliability"].items()}
        )
        for cell in results[0]["cells"]
    }
    draw_reliability(path, diagrams)


def save_without_display(figure: Figure, path: Path) -> None:
    """Save a figure where there is no display."""
    FigureCanvasAgg(figure)
    save_figure(figure, path)
