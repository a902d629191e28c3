"""Draw a top view of where a robot was and where it thought it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pycolmap

from deviloc_ros.io.tum_trajectory import Stamped

TRUTH, ESTIMATE, KEYFRAME = "#444444", "#d1495b", "#30638e"


def draw_trajectory(
    path: Path, truth: list[Stamped], estimated: list[Stamped], keyframes: list[pycolmap.Rigid3d], title: str
) -> None:
    """Write a picture: true path, estimated poses, and the map's views with the direction they look.

    Args:
        truth, estimated: (time [ns], map_from_base).
        keyframes: map_from_cam of the reference views.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 8), layout="constrained")
    FigureCanvasAgg(figure)  # no display is needed
    axes = figure.add_subplot()
    right, up = view_axes([pose for _, pose in truth] + keyframes)
    centres = np.array([pose.translation for pose in keyframes])[:, [right, up]]
    looks = np.array([pose.rotation.matrix()[:, 2] for pose in keyframes])[:, [right, up]]
    label = f"reference views ({len(keyframes)})"
    axes.quiver(*centres.T, *looks.T, color=KEYFRAME, width=0.003, scale=30, label=label)
    for stamped, look, color, label in (
        (truth, "-", TRUTH, "true path"),
        (estimated, ".", ESTIMATE, "localized"),
    ):
        if stamped:
            places = np.array([pose.translation for _, pose in stamped])[:, [right, up]]
            axes.plot(*places.T, look, color=color, label=f"{label} ({len(stamped)})")
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel(f"{'xyz'[right]} [m]")
    axes.set_ylabel(f"{'xyz'[up]} [m]")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)


def view_axes(poses: list[pycolmap.Rigid3d]) -> tuple[int, int]:
    """Return the two world axes along which the poses spread most: a map need not have z up."""
    spread = np.ptp(np.array([pose.translation for pose in poses]), axis=0)
    first, second = sorted(np.argsort(spread)[1:].tolist())
    return first, second
