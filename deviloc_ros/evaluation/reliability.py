"""Check confidences by reliability diagrams: with a confidence of 0.8, 80 % should be right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BINS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Hold, per bin of confidence that is not empty: mean confidence, share of right answers, number of answers."""

    confidence: NDArray
    right: NDArray
    count: NDArray

    @property
    def calibration_error(self) -> float:
        """Return the expected calibration error (Naeini et al., AAAI 2015).

        Mean |confidence - share right|, by count.
        """
        return float(np.average(np.abs(self.confidence - self.right), weights=self.count))


def bin_by_confidence(confidence: NDArray, right: NDArray) -> Reliability:
    """Sort (N,) answers into BINS bins of equal width. Raises ValueError if there is no answer."""
    if not len(confidence):
        raise ValueError("no answers to judge the confidence by")
    bin_of = np.clip((confidence * BINS).astype(int), 0, BINS - 1)
    count = np.bincount(bin_of, minlength=BINS)
    used = count > 0
    mean = np.bincount(bin_of, confidence, BINS)[used] / count[used]
    share = np.bincount(bin_of, right.astype(float), BINS)[used] / count[used]
    return Reliability(mean, share, count[used])


def draw_reliability(path: Path, diagrams: dict[str, Reliability]) -> None:
    """Write a picture: share of right answers over confidence, a curve per scene, and how often each confidence is."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from deviloc_ros.io.figures import save_figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    FigureCanvasAgg(figure)  # no display is needed
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle="--", label="perfect")
    for name, diagram in diagrams.items():
        left.plot(diagram.confidence, diagram.right, marker="o", markersize=3, linewidth=1, label=name)
        right.plot(diagram.confidence, diagram.count / diagram.count.sum(), marker="o", markersize=3, linewidth=1)
    left.set(xlabel="confidence", ylabel="share within 2 % of depth", xlim=(0, 1), ylim=(0, 1))
    right.set(xlabel="confidence", ylabel="share of keypoints", xlim=(0, 1), ylim=(0, None))
    left.legend(fontsize=7)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    save_figure(figure, path)
