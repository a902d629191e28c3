"""Fit a map to a floor plan: by pairs of points that someone named, and by what stands upright and the plan's walls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.geometry import FARTHEST_M, rigid_from_quaternion
from deviloc_ros.io.plain_files import read_json
from deviloc_ros.maps.alignment.occupancy import OccupancyGrid, rotation_2d
from deviloc_ros.maps.alignment.similarity import move_points
from deviloc_ros.maps.alignment.upright import find_upright
from deviloc_ros.maps.alignment.walls import WallFit, apply_2d, make_transform
from deviloc_ros.maps.store import Map
from deviloc_ros.sources.base import SourceError

MAX_PAIRS_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class PointPair:
    """Hold a place of the map's plan and the same place of the grid, (2,) each [m]."""

    plan: NDArray
    grid: NDArray


def fit_pairs(pairs: Sequence[PointPair], *, rigid: bool = False) -> tuple[pycolmap.Sim3d, str]:
    """Return grid_from_plan by two pairs or more, least squares, and in words how well it fits.

    Raises:
        SourceError: too few, or their points are too close together.
    """
    if len(pairs) < 2:
        raise SourceError(f"{len(pairs)} pairs of points: at least two are needed, preferably four")
    here, there = np.stack([pair.plan for pair in pairs]), np.stack([pair.grid for pair in pairs])
    middle_here, middle_there = here.mean(0), there.mean(0)
    a, b = here - middle_here, there - middle_there
    spread = float((a**2).sum())
    if spread < 1e-6 or float((b**2).sum()) < 1e-6:
        raise SourceError("the points of the pairs are too close together")
    along, across = float((a * b).sum()), float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum())
    yaw, scale = math.atan2(across, along), 1.0 if rigid else math.hypot(along, across) / spread
    shift = middle_there - scale * rotation_2d(yaw) @ middle_here
    fit = make_transform(np.array([yaw, *shift, math.log(scale), 0.0, 0.0]))
    off_m = np.linalg.norm(apply_2d(fit, here) - there, axis=1)
    worst = f"{off_m.max():.3f} m (most, pair {off_m.argmax() + 1})"
    return fit, f"{len(pairs)} pairs of points, off by {np.sqrt((off_m**2).mean()):.3f} m (root mean square), {worst}"


@dataclass(frozen=True, slots=True, eq=False)
class PairsFile:
    """Hold pairs of points as the page writes them, and the plan that they are of."""

    map_id: str
    plan_from_map: pycolmap.Rigid3d
    pairs: list[PointPair]


def read_pairs(path: Path) -> PairsFile:
    """Read the file that the page of `map align --occupancy` writes.

    Raises:
        SourceError: naming file and field.
    """
    try:
        content = read_json(path, MAX_PAIRS_BYTES)
        plan = content["plan_from_map"]
        plan_from_map = rigid_from_quaternion(plan["rotation_xyzw"], plan["translation_m"])
        pairs = [PointPair(parse_place(pair["plan"]), parse_place(pair["grid"])) for pair in content["pairs"]]
        return PairsFile(str(content["map_id"]), plan_from_map, pairs)
    except KeyError as error:
        raise SourceError(f"{path}: field {error} is missing") from error
    except (OSError, ValueError, TypeError, OverflowError) as error:
        raise SourceError(f"{path}: {error}") from error


def parse_place(values: Any) -> NDArray:
    """Return (2,) m. Raises ValueError."""
    is_plain = isinstance(values, list) and all(type(value) in (int, float) for value in values)
    place = np.array(values if is_plain else [], float)
    if place.shape != (2,) or not (np.abs(place) <= FARTHEST_M).all():
        raise ValueError(f"{str(values)[:80]} is no place of two numbers")
    return place


@dataclass(frozen=True, slots=True, eq=False)
class FloorAlignment:
    """Hold grid_from_map, what says how well it fits, and what a page shows of it.

    plan_from_map: z up. grid_from_plan: how that plan lies on the grid.
    """

    grid_from_map: pycolmap.Sim3d
    note: str
    plan_from_map: pycolmap.Rigid3d
    grid_from_plan: pycolmap.Sim3d


def align_to_grid(
    reference_map: Map,
    grid: OccupancyGrid,
    given: PairsFile | None = None,
    *,
    by_walls: bool = False,
    rigid: bool = False,
    camera_height_m: float | None = None,
) -> FloorAlignment:
    """Fit a map to a floor plan by pairs, by walls, or by walls near where pairs say.

    Args:
        rigid: keep the scale, also by pairs. camera_height_m: of the cameras above the floor (median), if that is known
            better than landmarks tell.

    Raises:
        SourceError: it does not fit, or something must be told first; the message says what.
    """
    upright = find_upright(reference_map)
    check_pairs(reference_map, given)
    if not upright.has_floor and camera_height_m is None:
        raise SourceError(f"{reference_map.folder}: {upright}; say how high these are above the floor: --camera-height")
    plan_from_map = given.plan_from_map if given else upright.plan_from_map
    start, words = fit_pairs(given.pairs, rigid=rigid) if given else (None, "")
    scale = start.scale if start else 1.0
    metric = pycolmap.Sim3d(scale, plan_from_map.rotation, scale * plan_from_map.translation)
    if camera_height_m is not None:
        metric = raise_to(metric, reference_map.centres, camera_height_m)
    grid_from_metric = pycolmap.Sim3d(1.0, start.rotation, start.translation) if start else None
    if by_walls:
        points, centres = (move_points(metric, each) for each in (reference_map.landmarks(), reference_map.centres))
        walls = WallFit(grid, points, centres, upright.tilt_std_deg, rigid=rigid)
        fit = walls.fit_anywhere() if grid_from_metric is None else walls.fit_near(grid_from_metric)
        grid_from_metric, words = fit.grid_from_plan, "; ".join(filter(None, [words, str(fit)]))
    if grid_from_metric is None:
        raise SourceError("choose how to fit the plan: --pairs, --walls or both")
    note = f"on a floor plan by {words}; scale {scale * grid_from_metric.scale:.4f}, {upright}"
    to_plan = pycolmap.Sim3d(scale, pycolmap.Rotation3d(), np.zeros(3))
    return FloorAlignment(grid_from_metric * metric, note, plan_from_map, grid_from_metric * to_plan)


def check_pairs(reference_map: Map, given: PairsFile | None) -> None:
    """Raise SourceError if pairs are not of a map as it is, or a map of arbitrary scale has none."""
    if given is not None and given.map_id != reference_map.identity:
        raise SourceError(f"{reference_map.folder}: has changed since the pairs were clicked; make the page again")
    if given is None and not reference_map.manifest.provenance.is_metric:
        raise SourceError(
            f"{reference_map.folder}: its scale is arbitrary, and walls do not determine it: give --pairs"
        )


def raise_to(plan_from_map: pycolmap.Sim3d, centres: NDArray, height_m: float) -> pycolmap.Sim3d:
    """Return the plan moved up or down, so that its cameras are at this height above the floor (median)."""
    now_m = float(np.median(move_points(plan_from_map, centres)[:, 2]))
    shift = np.array([0.0, 0.0, height_m - now_m])
    return pycolmap.Sim3d(plan_from_map.scale, plan_from_map.rotation, plan_from_map.translation + shift)
