"""Read a floor plan as Nav2 keeps it: a YAML file that names an image, its resolution and where it lies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deviloc_ros.imaging import read_gray
from deviloc_ros.io.plain_files import read_yaml
from deviloc_ros.sources.base import SourceError

OCCUPIED, FREE = 0.65, 0.196  # thresholds where the file states none, as nav2_map_server has them
MIN_CELL_M, MAX_CELL_M = 0.001, 10.0
TRINARY, SCALE, RAW = "trinary", "scale", "raw"  # what pixels mean
MAX_PLACE_M = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class OccupancyGrid:
    """Hold a grid. The first row is that of the largest y, as in the image.

    pixels: (H, W) uint8, the image. occupied, free: (H, W) bool; the rest is unknown. origin: x, y [m] and yaw [rad] of
    the lower left corner of the image, in the grid's frame.
    """

    pixels: NDArray
    occupied: NDArray
    free: NDArray
    resolution_m: float
    origin: tuple[float, float, float]

    def to_cells(self, points: NDArray) -> NDArray:
        """Return (N, 2) columns and rows, cell centres at integers, of (N, 2) points [m] of the grid's frame."""
        x, y, yaw = self.origin
        along = (points - [x, y]) @ rotation_2d(yaw) / self.resolution_m
        return np.stack([along[:, 0] - 0.5, len(self.pixels) - along[:, 1] - 0.5], 1)

    def to_points(self, cells: NDArray) -> NDArray:
        """Return (N, 2) points [m] of the grid's frame at (N, 2) columns and rows."""
        x, y, yaw = self.origin
        along = np.stack([cells[:, 0] + 0.5, len(self.pixels) - cells[:, 1] - 0.5], 1) * self.resolution_m
        return along @ rotation_2d(yaw).T + [x, y]

    def measure_wall_distances(self) -> NDArray:
        """Return (H, W) m, how far each cell's centre is from the nearest occupied cell that is next to a free one."""
        walls = self.occupied & cv2.dilate((~self.occupied).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        return cv2.distanceTransform((~walls).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) * self.resolution_m


def rotation_2d(angle_rad: float) -> NDArray:
    """Return the (2, 2) matrix that turns points counterclockwise."""
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    return np.array([[cos, -sin], [sin, cos]])


def read_occupancy(path: Path) -> OccupancyGrid:
    """Read a grid by its YAML file.

    Raises:
        SourceError: naming file and field.
    """
    try:
        content = read_yaml(path)
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise SourceError(f"{path}: expected image, resolution and origin by name")
    try:
        grid = parse_grid(content, read_gray(path.parent / str(content["image"])))
    except KeyError as error:
        raise SourceError(f"{path}: field {error} is missing") from error
    except (ValueError, OSError) as error:
        raise SourceError(f"{path}: {error}") from error
    if not grid.occupied.any():
        raise SourceError(f"{path}: no cell is occupied: is 'negate' right?")
    return grid


def parse_grid(content: dict[str, Any], pixels: NDArray) -> OccupancyGrid:
    """Return the grid of a file's fields and its image. Raises KeyError, or ValueError naming a field."""
    resolution_m, origin = parse_number("resolution", content["resolution"]), content["origin"]
    if not MIN_CELL_M <= resolution_m <= MAX_CELL_M:
        raise ValueError(f"field 'resolution' is {resolution_m:g} m: expected {MIN_CELL_M:g} to {MAX_CELL_M:g} m")
    if not isinstance(origin, list) or len(origin) != 3:
        raise ValueError(f"field 'origin' is {str(origin)[:80]}: expected [X, Y, YAW] in metres and radians")
    x, y, yaw = (parse_number("origin", value) for value in origin)
    if max(abs(x), abs(y)) > MAX_PLACE_M or abs(yaw) > 2 * math.pi:
        raise ValueError(f"field 'origin' is {origin}: expected [X, Y, YAW] in metres and radians")
    thresholds = {f"{n}_thresh": v for n, v in (("occupied", OCCUPIED), ("free", FREE))}
    occupied, free = (parse_number(name, content.get(name, default)) for name, default in thresholds.items())
    if not 0 <= free < occupied <= 1:
        raise ValueError(f"thresholds are {free} and {occupied}: expected 0 <= free_thresh < occupied_thresh <= 1")
    darkness = measure_darkness(pixels, content.get("mode", TRINARY), content.get("negate", 0))
    return OccupancyGrid(pixels, darkness > occupied, darkness < free, resolution_m, (x, y, yaw))


def measure_darkness(pixels: NDArray, mode: Any, negate: Any) -> NDArray:
    """Return (H, W) how occupied a cell is, 0 to 1, NaN where that is unknown. Raises ValueError naming a field."""
    if mode not in (TRINARY, SCALE, RAW):
        raise ValueError(f"field 'mode' is {str(mode)[:80]!r}: expected {TRINARY}, {SCALE} or {RAW}")
    if negate not in (0, 1):  # False and True are
        raise ValueError(f"field 'negate' is {str(negate)[:80]!r}: expected 0 or 1")
    if mode == RAW:  # the numbers are those of an OccupancyGrid message
        return np.where(pixels <= 100, pixels / 100, np.nan)
    return pixels / 255 if negate else 1 - pixels / 255


def parse_number(name: str, value: Any) -> float:
    """Return a finite number of a YAML file. Raises ValueError naming the field."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (OverflowError, TypeError, ValueError):  # of hundreds of digits, a list, a word
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"field {name!r} has {str(value)[:80]!r} where a number is expected")
    return number
