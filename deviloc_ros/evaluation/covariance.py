"""Check covariances by normalised estimation errors squared (NEES), which should follow the chi-squared distribution.

The NEES of a pose is e^T C^-1 e, with e its error in six degrees of freedom and C its covariance. If C is right, half
of them are below 5.35, and 99 % below 16.8 (Bar-Shalom, Li and Kirubarajan 2001, section 5.4).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import chi2

Runs = dict[tuple[str, str, str], list[float]]  # NEES of the localized queries by protocol, matcher and lift

EXPECTED = chi2(6)
EXPECTED_MEDIAN, LIMIT_99 = float(EXPECTED.median()), float(EXPECTED.ppf(0.99))
HEADER = """\
| protocol | matcher | lift | poses | median NEES / expected | inside the 99 % ellipsoid |
|---|---|---|---|---|---|"""


def measure_consistency(nees: list[float]) -> dict[str, float]:
    """Return the median relative to the expected one (above 1: overconfident), and the share within the 99 % bound."""
    if not nees:
        return {"median_nees_ratio": float("nan"), "inside_99": float("nan")}
    return {
        "median_nees_ratio": float(np.median(nees)) / EXPECTED_MEDIAN,
        "inside_99": float(np.mean(np.array(nees) <= LIMIT_99)),
    }


def collect_nees(summaries: Iterable[dict[str, Any]]) -> Runs:
    """Collect the NEES of summaries as `evaluate` makes them."""
    return {(s["protocol"], s["matcher"], s["lift"]): s["nees"] for s in summaries}


def format_table(runs: Runs) -> str:
    """Format a Markdown table with a row for each run and one for all poses together."""
    pooled: Runs = {("all", "", ""): [value for nees in runs.values() for value in nees]}
    return "\n".join([HEADER, *(format_row(*names, nees) for names, nees in (runs | pooled).items())])


def format_row(protocol: str, matcher: str, lift: str, nees: list[float]) -> str:
    """Format one run's line of the table."""
    figures = measure_consistency(nees)
    ratio, share = f"{figures['median_nees_ratio']:.2f}", f"{figures['inside_99']:.1%}"
    return f"| {protocol} | {matcher} | {lift} | {len(nees)} | {ratio} | {share} |"


def draw_nees(path: Path, runs: Runs) -> None:
    """Write a picture: the share of poses below each NEES, beside the chi-squared law."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from deviloc_ros.io.figures import save_figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)  # no display is needed
    axes: Any = figure.add_subplot()
    values = np.geomspace(0.05, 200, 400)
    axes.plot(values, EXPECTED.cdf(values), color="black", linewidth=2, label="chi-squared, 6 degrees of freedom")
    for names, nees in runs.items():
        axes.step(np.sort(nees), np.arange(1, len(nees) + 1) / len(nees), where="post", label=", ".join(names))
    axes.axvline(LIMIT_99, color="gray", linestyle=":", label="99 % ellipsoid")
    axes.set_xscale("log")
    axes.set_xlim(values[0], values[-1])
    axes.set_xlabel("normalised estimation error squared")
    axes.set_ylabel("share of poses below")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="upper left")
    save_figure(figure, path)
