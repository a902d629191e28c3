"""Save figures to files."""

from __future__ import annotations

from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure


def save_figure(figure: Figure, path: Path) -> None:
    """Save a figure reproducibly: SVG without a date and without random ids."""
    with rc_context({"svg.hashsalt": "deviloc_ros", "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
