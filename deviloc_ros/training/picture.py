"""Draw the curves of a training run."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def draw_history(path: Path, history: list[list[float]]) -> None:
    """Write a picture of (step, training loss, median relative error, share of right answers) per row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from deviloc_ros.io.figures import save_figure

    steps, loss, median, right = np.array(history).T
    figure = Figure(figsize=(9, 3), layout="constrained")
    FigureCanvasAgg(figure)  # no display is needed
    titles = ("training loss", "validation: median relative error", "validation: share within 2 %")
    for axes, values, title in zip(figure.subplots(1, 3), (loss, median, right), titles, strict=True):
        axes.plot(steps, values, color="#30638e", linewidth=1)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
    save_figure(figure, path)
