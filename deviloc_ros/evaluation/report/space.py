"""Describe the scene that a reader of the page can turn: what `draw_in_space` draws, as data for `space.js`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deviloc_ros.evaluation.recordings.run_folder import Run
from deviloc_ros.evaluation.report.figures import assign_colors
from deviloc_ros.evaluation.report.trajectories import (
    KEYFRAME,
    LANDMARK,
    TRUTH,
    WRONG,
    MapOutline,
    origins_of,
    split_places,
)


def make_scene(runs: Sequence[Run], around: MapOutline) -> str:
    """Return JSON: parts with colour, name and coordinates [mm] about their middle, radius, and length of the axes."""
    drawn: list[tuple[str, str, float, NDArray, bool]] = [("map", LANDMARK, 1.5, around.thin_landmarks(), False)]
    drawn.append(("reference views", KEYFRAME, 3, origins_of(around.views), False))
    for run, color in assign_colors(runs):
        true, estimated, wrong = split_places(run)
        if run is runs[0]:
            drawn.append(("true path", TRUTH, 1, true, True))
        drawn.append((run.name if len(runs) > 1 else "localized", color, 3, estimated, False))
        drawn.append((f"wrong fixes {run.name if len(runs) > 1 else ''}".rstrip(), WRONG, 7, wrong, False))
    drawn = [part for part in drawn if len(part[3])]
    everything = np.concatenate([part[3] for part in drawn] or [np.zeros((1, 3))])
    low, high = everything.min(0), everything.max(0)
    radius = max(float(np.linalg.norm(high - low)) / 2, 1e-3)
    listed: list[dict[str, Any]] = [
        {"name": name, "color": color, "size": size, "line": line, "xyz": to_millimetres(points - (low + high) / 2)}
        for name, color, size, points, line in drawn
    ]
    axis_m = 10 ** np.floor(np.log10(radius))
    middle = to_millimetres((low + high) / 2)
    return json.dumps(
        {"radius": 1000 * radius, "axis": 1000 * axis_m, "middle": middle, "parts": listed}, separators=(",", ":")
    )


def to_millimetres(points: NDArray) -> list[int]:
    """Return (N, 3) [m] one after the other in whole mm: a page of thousands of points stays small."""
    return np.rint(1000 * points).astype(int).ravel().tolist()
