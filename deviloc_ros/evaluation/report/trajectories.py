"""Draw trajectories over the map, from above and in space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pycolmap
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from deviloc_ros.evaluation.recordings.run_folder import Run
from deviloc_ros.evaluation.report.figures import SIZE_IN, SVG, add_legend, assign_colors
from deviloc_ros.evaluation.trajectory_picture import view_axes
from deviloc_ros.io.units import Unit
from deviloc_ros.maps.store import Map

TRUTH, LANDMARK, KEYFRAME, WRONG = "#333333", "#c4c9cf", "#8fb8de", "#c0392b"
MAX_LANDMARKS = 3000


@dataclass(frozen=True, slots=True, eq=False)
class MapOutline:
    """Hold what of a map is drawn: (N, 3) landmarks, map_from_cam of its views, and the unit of both."""

    landmarks: NDArray
    views: list[pycolmap.Rigid3d]
    unit: Unit = Unit.METRE

    def thin_landmarks(self) -> NDArray:
        """Return some of the landmarks, without the few that lie far from all others."""
        if not len(self.landmarks):
            return np.zeros((0, 3))
        low, high = np.percentile(self.landmarks, [1, 99], axis=0)
        near = self.landmarks[((self.landmarks >= low) & (self.landmarks <= high)).all(1)]
        return near[:: max(1, len(near) // MAX_LANDMARKS)]


def outline_map(reference_map: Map) -> MapOutline:
    """Return what is drawn of a map."""
    views = [record.cam_from_world.inverse() for record in reference_map.records]
    return MapOutline(reference_map.landmarks(), views, reference_map.unit)


NOWHERE = MapOutline(np.zeros((0, 3)), [])


def origins_of(poses: list[pycolmap.Rigid3d]) -> NDArray:
    """Return the (N, 3) origins of poses."""
    return np.array([pose.translation for pose in poses]).reshape(-1, 3)


def split_places(run: Run) -> tuple[NDArray, NDArray, NDArray]:
    """Return true places, estimated ones, and those of wrong fixes, (N, 3) each."""
    return (
        origins_of([f.true_map_from_base for f in run.frames if f.true_map_from_base]),
        origins_of([f.map_from_base for f in run.frames if f.localized and f.map_from_base]),
        origins_of([f.map_from_base for f in run.frames if f.is_wrong_fix and f.map_from_base]),
    )


def draw_top_view(runs: Sequence[Run], around: MapOutline) -> Figure:
    """Draw runs along the axis in which the poses spread least."""
    every = [p for run in runs for f in run.frames for p in (f.true_map_from_base, f.map_from_base) if p]
    figure, axes, (right, up) = draw_ground_plan(around, every)
    if around.views:
        draw_views(axes, around.views, (right, up), KEYFRAME, f"reference views ({len(around.views)})")
    for run, color in assign_colors(runs):
        true, estimated, wrong = split_places(run)
        if run is runs[0] and len(true):
            axes.plot(true[:, right], true[:, up], color=TRUTH, linewidth=1, label="true path")
        name = f"{run.name} ({len(estimated)})" if len(runs) > 1 else f"localized ({len(estimated)})"
        axes.plot(estimated[:, right], estimated[:, up], ".", color=color, markersize=4, label=name)
        if len(wrong):
            axes.plot(wrong[:, right], wrong[:, up], "x", color=WRONG, label=f"wrong fixes ({len(wrong)})")
    add_legend(axes)
    return figure


def draw_ground_plan(
    around: MapOutline, poses: Sequence[pycolmap.Rigid3d] = ()
) -> tuple[Figure, Axes, tuple[int, int]]:
    """Draw a map's landmarks; return which axes of the world go right and up in them.

    Args:
        poses: that are to be drawn besides the map's views.
    """
    with matplotlib.rc_context(SVG):
        figure = Figure((SIZE_IN[0], 4.6), layout="constrained")
        axes = figure.subplots()
    shown = [*poses, *around.views]
    right, up = view_axes(shown) if shown else (0, 1)
    landmarks = around.thin_landmarks()
    axes.plot(landmarks[:, right], landmarks[:, up], ",", color=LANDMARK, rasterized=True, zorder=0)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel(f"{'xyz'[right]} [{around.unit.symbol}]")
    axes.set_ylabel(f"{'xyz'[up]} [{around.unit.symbol}]")
    return figure, axes, (right, up)


def draw_views(axes: Axes, views: list[pycolmap.Rigid3d], plane: tuple[int, int], color: str, label: str) -> None:
    """Draw where views are and which way they look; views are map_from_cam, `plane` as `draw_ground_plan` gives it."""
    centres = origins_of(views)[:, plane]
    looks = np.array([view.rotation.matrix()[:, 2] for view in views])[:, plane]
    axes.quiver(*centres.T, *looks.T, color=color, width=0.004, scale=25, label=label)


def draw_in_space(runs: Sequence[Run], around: MapOutline) -> Figure:
    """Draw the same in three dimensions."""
    with matplotlib.rc_context(SVG):
        figure = Figure((SIZE_IN[0], 4.6))
        axes: Any = figure.add_axes(
            (0.0, 0.02, 0.92, 0.9), projection="3d"
        )  # room for the label of z, which layouts forget
    landmarks = around.thin_landmarks()
    axes.plot(*landmarks.T, ",", color=LANDMARK, rasterized=True)
    for run, color in assign_colors(runs):
        true, estimated, wrong = split_places(run)
        if run is runs[0] and len(true):
            axes.plot(*true.T, color=TRUTH, linewidth=1, label="true path")
        axes.plot(*estimated.T, ".", color=color, markersize=3, label=run.name if len(runs) > 1 else "localized")
        if len(wrong):
            axes.plot(*wrong.T, "x", color=WRONG, label="wrong fixes")
    axes.set_aspect("equal")
    axes.set_xlabel(f"x [{around.unit.symbol}]")
    axes.set_ylabel(f"y [{around.unit.symbol}]")
    axes.set_zlabel(f"z [{around.unit.symbol}]")
    axes.tick_params(labelsize=7)
    add_legend(axes)
    return figure
