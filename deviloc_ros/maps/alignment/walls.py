"""Fit a map to the walls of a floor plan by what stands upright in it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pycolmap
import scipy.ndimage
import scipy.optimize
import scipy.signal
from numpy.typing import NDArray

from deviloc_ros.maps.alignment.occupancy import OccupancyGrid, rotation_2d
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
                turned = f"{measure_yaw_deg(best):.0f} and by {measure_yaw_deg(other):.0f}"
                raise SourceError(
                    f"the plan fits in several ways, e.g. turned by {turned} degrees "
                    f"({self.score(best):.2f} and {self.score(other):.2f}): give --pairs"
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
                    f"walls do not determine where the map lies along ({along[0]:.2f}, {along[1]:.2f}): give --pairs"
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
        begin = to_parameters(start)
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


def to_parameters(transform: pycolmap.Sim3d) -> NDArray:
    """Return the parameters of a transform that does not tilt."""
    matrix = transform.rotation.matrix()
    x, y, _ = transform.translation
    return np.array([math.atan2(matrix[1, 0], matrix[0, 0]), x, y, math.log(transform.scale), 0.0, 0.0])


def measure_yaw_deg(fit: PlanFit) -> float:
    """Return by how much the plan is turned."""
    return math.degrees(to_parameters(fit.grid_from_plan)[0])


def are_apart(one: PlanFit, other: PlanFit) -> bool:
    """Return whether two fits are not the same."""
    turn = abs((measure_yaw_deg(one) - measure_yaw_deg(other) + 180) % 360 - 180)
    shift_m = np.linalg.norm((one.grid_from_plan.translation - other.grid_from_plan.translation)[:2])
    return turn > APART_DEG or float(shift_m) > APART_M


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
