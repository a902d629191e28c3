"""Make the page on which a map is laid over a floor plan: one file without external resources."""

from __future__ import annotations

import json
import math
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.evaluation.report import html
from deviloc_ros.geometry import transform_points
from deviloc_ros.io.encoded_images import to_data_uri
from deviloc_ros.maps.alignment.floor_plan import FloorAlignment, PairsFile
from deviloc_ros.maps.alignment.occupancy import OccupancyGrid
from deviloc_ros.maps.alignment.upright import find_upright
from deviloc_ros.maps.alignment.walls import select_upright
from deviloc_ros.maps.store import Map
from deviloc_ros.sampling import thin_evenly

MOST_DRAWN = 8000  # landmarks of each kind


def make_floor_page(
    reference_map: Map,
    grid: OccupancyGrid,
    command: str,
    given: PairsFile | None = None,
    fit: FloorAlignment | None = None,
) -> str:
    """Return the page.

    Args:
        command: that reads the pairs. given: pairs that were clicked before. fit: pose of the map on the grid.
    """
    upright = find_upright(reference_map)
    plan_from_map = given.plan_from_map if given else fit.plan_from_map if fit else upright.plan_from_map
    content = describe_plan(reference_map, plan_from_map) | describe_grid(grid)
    content["pairs"] = [{"plan": p.plan.tolist(), "grid": p.grid.tolist()} for p in given.pairs] if given else []
    content["fit"] = describe_fit(fit.grid_from_plan) if fit else None
    name, here = reference_map.name, files(__package__)
    script = (here / "floor.js").read_text()
    style = (files(html.__package__) / "style.css").read_text() + (here / "floor.css").read_text()
    return Template((here / "floor.html").read_text()).substitute(
        title=escape(f"{name} on a floor plan"),
        verdict=escape(fit.note if fit else f"no pairs yet; {upright}"),
        style=style,
        data=escape(json.dumps(content, separators=(",", ":"))),
        command=escape(command),
        script=script,
        script_source=html.script_source(script),
    )


def describe_plan(reference_map: Map, plan_from_map: pycolmap.Rigid3d) -> dict[str, Any]:
    """Return what is drawn of the map: landmarks [mm], and cameras [m] with their directions."""
    points = transform_points(plan_from_map, reference_map.landmarks().astype(float))
    stands = select_upright(points)
    centres = transform_points(plan_from_map, reference_map.centres)
    axes = reference_map.axes @ plan_from_map.rotation.matrix().T
    rotation, translation = plan_from_map.rotation.quat.tolist(), plan_from_map.translation.tolist()
    return {
        "map_id": reference_map.identity,
        "plan_from_map": {"rotation_xyzw": rotation, "translation_m": translation},
        "upright": thin_to_millimetres(points[stands]),
        "other": thin_to_millimetres(points[~stands]),
        "cameras": np.round(np.concatenate([centres[:, :2], axes[:, :2]], 1), 3).tolist(),
    }


def thin_to_millimetres(points: NDArray) -> list[list[int]]:
    """Return x and y [mm] of at most MOST_DRAWN points."""
    return np.round(1000 * thin_evenly(points, MOST_DRAWN)[:, :2]).astype(int).tolist()


def describe_grid(grid: OccupancyGrid) -> dict[str, Any]:
    """Return the picture of a grid and its position."""
    height, width = grid.pixels.shape
    return {
        "image": to_data_uri(cv2.imencode(".png", grid.pixels)[1].tobytes(), "png"),
        "width": width,
        "height": height,
        "resolution": grid.resolution_m,
        "origin": list(grid.origin),
    }


def describe_fit(grid_from_plan: pycolmap.Sim3d) -> dict[str, float]:
    """Return a horizontal transform in the format of the page."""
    matrix, scale = grid_from_plan.rotation.matrix(), grid_from_plan.scale
    yaw = math.atan2(matrix[1, 0], matrix[0, 0])
    x, y, _ = grid_from_plan.translation.tolist()
    return {"c": scale * math.cos(yaw), "s": scale * math.sin(yaw), "x": x, "y": y}
