"""Fit a map to a floor plan: by pairs of points that someone named, and by what stands upright and the plan's walls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
import scipy.ndimage
import scipy.optimize
import scipy.signal
from numpy.typing import NDArray

from deviloc_ros.geometry import rigid_from_quaternion
from deviloc_ros.io.plain_files import read_json
from deviloc_ros.maps.alignment import move_points
from deviloc_ros.maps.occupancy import OccupancyGrid, rotation_2d
from deviloc_ros.maps.store import Map
from deviloc_ros.maps.upright import find_upright
from deviloc_ros.sources.base import SourceError

LOWEST_M, CELL_M, LAYER_M = 0.15, 0.1, 0.2
MIN_LAYERS = 3  # at one place of the plan: what stands upright
MIN_UPRIGHT = 50  # landmarks
MAX_EXTENT_M = 500.0  # its raster of cells and their transforms take a gigabyte, and the search minutes
YAW_STEP_DEG = 2.0
STARTS = 24
WALL_STD_M, SHARP_M = 0.05, 0.08
LOSS_M = (0.3, 0.12, 0.06)  # distances from a wall beyond which landmarks count less, round by round
AT_WALL_M = 0.15
MIN_AT_WALLS, MIN_AT_WALLS_ALONE = 0.4, 0.6  # share of upright landmarks: near pairs, and by walls alone
RIVAL_SHARE = 0.92  # of the best score: the plan fits another way about as well
APART_M, APART_DEG = 0.5, 10.0
MAX_PAIRS_BYTES = 1 << 20
SCALE_STD, MAX_SCALE_CHANGE = 0.03, 0.1  # of a map's scale, where it is to be found
STEPS = np.array([0.02, 0.1, 0.1, 0.01, 0.01, 0.01])  # of the parameters of `make_transform`
NEAR_M, ANYWHERE_M = 0.6, 2.0  # how far a shift is adjusted: from pairs, and from a first guess
DIRECTIONS = 12
OUTSIDE_M = 2.0  # how far what lies outside of the grid is taken to be from a wall


@dataclass(frozen=True, slots=True, eq=False)
class PlanFit:
    """Hold how the plan of a map lies on a grid.

    grid_from_plan: z up on both sides, heights are scaled alone. upright: landmarks that stand upright. at_walls: the
    share of them at most AT_WALL_M from a wall, and median_m, p90_m how far these are.
    """

    grid_from_plan: pycolmap.Sim3d
    upright: int = 0
    at_walls: float = 0.0
    median_m: float = 0.0
    p90_m: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.at_walls:.0%} of {self.upright} upright landmarks lie at walls, off by {self.median_m:.3f} m "
            f"(median), {self.p90_m:.3f} m (90 %)"
        )


@dataclass(frozen=True, slots=True, eq=False)
class PointPair:
    """Hold a place of the map's plan and the same place of the grid, (2,) each [m]."""

    plan: NDArray
    grid: NDArray


def fit_pairs(pairs: Sequence[PointPair], *, rigid: bool = False) -> tuple[pycolmap.Sim3d, str]:
    """Return grid_from_plan by two pairs or more, least squares, and in words how well it fits.

    Raises:
        SourceError: too few, or their points do not lie apart.
    """
    if len(pairs) < 2:
        raise SourceError(f"{len(pairs)} pairs of points: two are needed, better four")
    here, there = np.stack([pair.plan for pair in pairs]), np.stack([pair.grid for pair in pairs])
    middle_here, middle_there = here.mean(0), there.mean(0)
    a, b = here - middle_here, there - middle_there
    spread = float((a**2).sum())
    if spread < 1e-6 or float((b**2).sum()) < 1e-6:
        raise SourceError("the points of the pairs do not lie apart")
    along, across = float((a * b).sum()), float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum())
    yaw, scale = math.atan2(across, along), 1.0 if rigid else math.hypot(along, across) / spread
    shift = middle_there - scale * rotation_2d(yaw) @ middle_here
    fit = make_transform(np.array([yaw, *shift, math.log(scale), 0.0, 0.0]))
    off_m = np.linalg.norm(apply_2d(fit, here) - there, axis=1)
    worst = f"{off_m.max():.3f} m (most, pair {off_m.argmax() + 1})"
    return fit, f"{len(pairs)} pairs of points, off by {np.sqrt((off_m**2).mean()):.3f} m (root mean square), {worst}"


def apply_2d(grid_from_plan: pycolmap.Sim3d, points: NDArray) -> NDArray:
    """Return where (N, 2) or (N, 3) points of the plan lie on the grid, (N, 2) m; without heights they are at 0."""
    padded = np.pad(points, ((0, 0), (0, 3 - points.shape[1])))
    return (grid_from_plan.scale * padded @ grid_from_plan.rotation.matrix().T + grid_from_plan.translation)[:, :2]


def select_upright(points: NDArray) -> NDArray:
    """Return which of (L, 3) landmarks [m, z up, floor at 0] stand upright: others are above and below them."""
    columns, layers = np.floor(points[:, :2] / CELL_M).astype(int), np.floor(points[:, 2] / LAYER_M).astype(int)
    high = points[:, 2] > LOWEST_M
    seen: dict[tuple[int, int], set[int]] = {}
    for (x, y), layer in zip(columns[high].tolist(), layers[high].tolist(), strict=True):
        for near in ((x + i, y + j) for i in (-1, 0, 1) for j in (-1, 0, 1)):
            seen.setdefault(near, set()).add(layer)
    tall = np.array([len(seen.get((x, y), ())) >= MIN_LAYERS for x, y in columns.tolist()], bool)
    return high & tall


class WallFit:
    """Fit landmarks that stand upright to the walls of a grid.

    Args:
        points: (L, 3) landmarks of the plan [m], z up. centres: (V, 3) cameras, which stand where it is free.
        tilt_std_deg: how far from up z may be. rigid: lengths are right.

    Raises:
        SourceError: too few landmarks stand upright.
    """

    def __init__(
        self, grid: OccupancyGrid, points: NDArray, centres: NDArray, tilt_std_deg: float, *, rigid: bool = False
    ) -> None:
        self.points, self.centres, self.grid = points[select_upright(points)], centres, grid
        self.tilt_std_rad, self.rigid = math.radians(tilt_std_deg), rigid
        self.distances = grid.measure_wall_distances()
        if len(self.points) < MIN_UPRIGHT:
            raise SourceError(
                f"{len(self.points)} landmarks stand upright, {MIN_UPRIGHT} are needed to find walls: give --pairs"
            )

    def fit_near(self, start: pycolmap.Sim3d) -> PlanFit:
        """Return the fit that is near a first one. Raises SourceError: too few landmarks lie at walls there."""
        fit = self.refine(start, NEAR_M)
        if fit.at_walls < MIN_AT_WALLS:
            raise SourceError(f"the plan does not fit there: {fit}")
        return fit

    def fit_anywhere(self) -> PlanFit:
        """Return the fit that is better than all others.

        Raises:
            SourceError: none fits, or several do; the message says which.
        """
        fits = [self.refine(start, ANYWHERE_M) for start in self.find_starts()]
        fits.sort(key=self.score, reverse=True)
        best = fits[0]
        if best.at_walls < MIN_AT_WALLS_ALONE:
            raise SourceError(f"the plan fits nowhere, best is: {best}; give --pairs")
        for other in fits[1:]:
            if self.score(other) > RIVAL_SHARE * self.score(best) and are_apart(best, other):
                raise SourceError(
                    f"the plan fits in several ways, as turned by {yaw_deg(best):.0f} and by {yaw_deg(other):.0f} "
                    f"degrees ({self.score(best):.2f} and {self.score(other):.2f}): give --pairs"
                )
        self.check_held(best)
        return best

    def check_held(self, fit: PlanFit) -> None:
        """Raise SourceError if walls do not hold a fit in some direction, as those of a corridor without its ends."""
        for angle_rad in np.linspace(0, math.pi, DIRECTIONS, endpoint=False):
            along = np.array([math.cos(angle_rad), math.sin(angle_rad), 0.0])
            there = fit.grid_from_plan
            moved = pycolmap.Sim3d(there.scale, there.rotation, there.translation + APART_M * along)
            if self.score(self.describe(moved)) > RIVAL_SHARE * self.score(fit):
                raise SourceError(
                    f"walls do not tell where the map lies along ({along[0]:.2f}, {along[1]:.2f}): give --pairs"
                )

    def score(self, fit: PlanFit) -> float:
        """Return how well walls fit, from 0 to 1; half of it is lost where no camera stands where it is free."""
        at_walls = np.exp(-((self.measure(fit.grid_from_plan) / SHARP_M) ** 2)).mean()
        cells = np.round(self.grid.to_cells(apply_2d(fit.grid_from_plan, self.centres))).astype(int)
        height, width = self.grid.free.shape
        inside = (cells >= 0).all(1) & (cells[:, 0] < width) & (cells[:, 1] < height)
        free = self.grid.free[cells[inside, 1], cells[inside, 0]].sum() / len(cells)
        return float(at_walls * (1 + free) / 2)

    def measure(self, grid_from_plan: pycolmap.Sim3d) -> NDArray:
        """Return (N,) how far upright landmarks are from walls [m]."""
        cells = self.grid.to_cells(apply_2d(grid_from_plan, self.points))
        return scipy.ndimage.map_coordinates(self.distances, cells[:, ::-1].T, order=1, cval=OUTSIDE_M)

    def refine(self, start: pycolmap.Sim3d, reach_m: float) -> PlanFit:
        """Return the fit nearest to a first one and no farther away; yaw, shift, scale and tilt adjusted in rounds."""
        begin = parameters_of(start)
        found = begin.copy()
        free = np.array([True, True, True, not self.rigid, True, True])
        weight = math.sqrt(len(self.points)) / 10  # a hundred landmarks say as much as what is known before

        def errors(values: NDArray) -> NDArray:
            full = begin.copy()
            full[free] = values
            held = np.append(full[4:] / self.tilt_std_rad, (full[3] - begin[3]) / SCALE_STD)
            return np.concatenate([self.measure(make_transform(full)) / WALL_STD_M, held * weight])

        reach = np.array([math.pi, reach_m, reach_m, MAX_SCALE_CHANGE, *[3 * self.tilt_std_rad] * 2])
        bounds = (begin - reach)[free], (begin + reach)[free]
        for loss_m in LOSS_M:
            rounds = {"loss": "cauchy", "f_scale": loss_m / WALL_STD_M, "x_scale": STEPS[free], "bounds": bounds}
            found[free] = scipy.optimize.least_squares(errors, found[free], **rounds).x
        return self.describe(make_transform(found))

    def describe(self, grid_from_plan: pycolmap.Sim3d) -> PlanFit:
        """Return a fit with how well it fits."""
        off_m = self.measure(grid_from_plan)
        at_wall = off_m <= AT_WALL_M
        near_m = off_m[at_wall] if at_wall.any() else np.array([math.inf])
        median_m, p90_m = (float(np.quantile(near_m, share)) for share in (0.5, 0.9))
        return PlanFit(grid_from_plan, len(off_m), float(at_wall.mean()), median_m, p90_m)

    def find_starts(self) -> list[pycolmap.Sim3d]:
        """Return the most promising of all yaws and shifts, by correlation of the two plans at CELL_M."""
        cells = np.argwhere(self.distances <= self.grid.resolution_m / 2)[:, ::-1].astype(float)
        walls = self.grid.to_points(cells)
        check_extent("walls of the floor plan", walls)
        check_extent("landmarks of the map", self.points[:, :2])
        found = []
        for yaw in np.deg2rad(np.arange(0.0, 360.0, YAW_STEP_DEG)):
            turned = self.points[:, :2] @ rotation_2d(yaw).T
            score, shift = correlate(turned, walls)
            found.append((score, make_transform(np.array([yaw, *shift, 0.0, 0.0, 0.0]))))
        found.sort(key=lambda each: -each[0])
        return [start for _, start in found[:STARTS]]


def check_extent(what: str, points: NDArray) -> None:
    """Raise SourceError if (N, 2) points lie too far apart for all turns and shifts to be tried."""
    longest_m = float(np.ptp(points, axis=0).max())
    if longest_m > MAX_EXTENT_M:
        raise SourceError(
            f"the {what} extend over {longest_m:.0f} m, at most {MAX_EXTENT_M:.0f} m are searched: is the floor plan's "
            "'resolution' in metres? Else give --pairs"
        )


def correlate(points: NDArray, walls: NDArray) -> tuple[float, NDArray]:
    """Return how well (N, 2) points fit (M, 2) walls once they are shifted, and by how much [m]."""
    low_here, low_there = points.min(0), walls.min(0)
    here, there = (rasterize(each, low) for each, low in ((points, low_here), (walls, low_there)))
    blurred = scipy.ndimage.gaussian_filter(np.minimum(there, 1.0), 1.0)
    score = scipy.signal.fftconvolve(blurred, np.sqrt(here)[::-1, ::-1])
    place = np.unravel_index(int(score.argmax()), score.shape)
    shift_cells = np.array([place[0] - (here.shape[0] - 1), place[1] - (here.shape[1] - 1)])
    return float(score.max()), low_there - low_here + CELL_M * shift_cells


def rasterize(points: NDArray, low: NDArray) -> NDArray:
    """Return how many of (N, 2) points lie in each cell, from a corner on; the first axis is x."""
    cells = np.floor((points - low) / CELL_M).astype(int)
    counts = np.zeros(cells.max(0) + 1)
    np.add.at(counts, (cells[:, 0], cells[:, 1]), 1.0)
    return counts


def make_transform(parameters: NDArray) -> pycolmap.Sim3d:
    """Return the transform of yaw [rad], shift x, y [m], logarithm of the scale, and tilt about x and y [rad]."""
    yaw, x, y, log_scale, tilt_x, tilt_y = parameters
    turn = pycolmap.Rotation3d(np.array([0.0, 0.0, yaw])) * pycolmap.Rotation3d(np.array([tilt_x, tilt_y, 0.0]))
    return pycolmap.Sim3d(math.exp(log_scale), turn, np.array([x, y, 0.0]))


def parameters_of(transform: pycolmap.Sim3d) -> NDArray:
    """Return the parameters of a transform that does not tilt."""
    matrix = transform.rotation.matrix()
    x, y, _ = transform.translation
    return np.array([math.atan2(matrix[1, 0], matrix[0, 0]), x, y, math.log(transform.scale), 0.0, 0.0])


def yaw_deg(fit: PlanFit) -> float:
    """Return by how much the plan is turned."""
    return math.degrees(parameters_of(fit.grid_from_plan)[0])


def are_apart(one: PlanFit, other: PlanFit) -> bool:
    """Return whether two fits are not the same."""
    turn = abs((yaw_deg(one) - yaw_deg(other) + 180) % 360 - 180)
    shift_m = np.linalg.norm((one.grid_from_plan.translation - other.grid_from_plan.translation)[:2])
    return turn > APART_DEG or float(shift_m) > APART_M


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
    """Return (2,) m. Raises ValueError or TypeError."""
    place = np.array(values, float)
    if place.shape != (2,) or not np.isfinite(place).all():
        raise ValueError(f"{values!r} is not two numbers")
    return place


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
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
) -> Alignment:
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
        metric = lift_to(metric, reference_map.centres, camera_height_m)
    grid_from_metric = pycolmap.Sim3d(1.0, start.rotation, start.translation) if start else None
    if by_walls:
        points, centres = (move_points(metric, each) for each in (reference_map.landmarks(), reference_map.centres))
        walls = WallFit(grid, points, centres, upright.tilt_std_deg, rigid=rigid)
        fit = walls.fit_anywhere() if grid_from_metric is None else walls.fit_near(grid_from_metric)
        grid_from_metric, words = fit.grid_from_plan, "; ".join(filter(None, [words, str(fit)]))
    if grid_from_metric is None:
        raise SourceError("say how the plan is to be fitted: --pairs, --walls or both")
    note = f"on a floor plan by {words}; scale {scale * grid_from_metric.scale:.4f}, {upright}"
    to_plan = pycolmap.Sim3d(scale, pycolmap.Rotation3d(), np.zeros(3))
    return Alignment(grid_from_metric * metric, note, plan_from_map, grid_from_metric * to_plan)


def check_pairs(reference_map: Map, given: PairsFile | None) -> None:
    """Raise SourceError if pairs are not of a map as it is, or a map of arbitrary scale has none."""
    if given is not None and given.map_id != reference_map.identity:
        raise SourceError(f"{reference_map.folder}: has changed since the pairs were clicked; make the page again")
    if given is None and not reference_map.manifest.provenance.is_metric:
        raise SourceError(f"{reference_map.folder}: its scale is arbitrary, and walls do not tell it: give --pairs")


def lift_to(plan_from_map: pycolmap.Sim3d, centres: NDArray, height_m: float) -> pycolmap.Sim3d:
    """Return the plan of a map whose cameras are so high above its floor (median)."""
    now_m = float(np.median(move_points(plan_from_map, centres)[:, 2]))
    shift = np.array([0.0, 0.0, height_m - now_m])
    return pycolmap.Sim3d(plan_from_map.scale, plan_from_map.rotation, plan_from_map.translation + shift)
