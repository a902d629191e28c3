"""The scene that a reader of the page can turn: what `trajectories.in_space` draws, as data for `space.js`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deviloc_ros.evaluation.recordings.run_folder import Run
from deviloc_ros.evaluation.report.figures import colored
from deviloc_ros.evaluation.report.trajectories import KEYFRAME, LANDMARK, TRUTH, WRONG, Surroundings, parts, places


def scene(runs: Sequence[Run], around: Surroundings) -> str:
    """JSON: parts to draw with colour, name and coordinates [mm] about the middle of all, radius and length of axes."""
    drawn: list[tuple[str, str, float, NDArray, bool]] = [("map", LANDMARK, 1.5, around.thinned(), False)]
    drawn.append(("reference views", KEYFRAME, 3, places(around.views), False))
    for run, color in colored(runs):
        true, estimated, wrong = parts(run)
        if run is runs[0]:
            drawn.append(("true path", TRUTH, 1, true, True))
        drawn.append((run.name if len(runs) > 1 else "localized", color, 3, estimated, False))
        drawn.append((f"wrong fixes {run.name if len(runs) > 1 else ''}".rstrip(), WRONG, 7, wrong, False))
    drawn = [part for part in drawn if len(part[3])]
    everything = np.concatenate([part[3] for part in drawn] or [np.zeros((1, 3))])
    low, high = everything.min(0), everything.max(0)
    radius = max(float(np.linalg.norm(high - low)) / 2, 1e-3)
    listed: list[dict[str, Any]] = [
        {"name": name, "color": color, "size": size, "line": line, "xyz": millimetres(points - (low + high) / 2)}
        for name, color, size, points, line in drawn
    ]
    axis_m = 10 ** np.floor(np.log10(radius))
    middle = millimetres((low + high) / 2)
    return json.dumps(
        {"radius": 1000 * radius, "axis": 1000 * axis_m, "middle": middle, "parts": listed}, separators=(",", ":")
    )


def millimetres(points: NDArray) -> list[int]:
    """(N, 3) [m] one after the other: a page of thousands of points stays small."""
    return np.rint(1000 * points).astype(int).ravel().tolist()
