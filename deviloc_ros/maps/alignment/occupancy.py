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
MAX_CELL_M = 10.0
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
    except (TypeError, ValueError, OSError) as error:
        raise SourceError(f"{path}: {error}") from error
    if not grid.occupied.any():
        raise SourceError(f"{path}: no cell is occupied: is 'negate' right?")
    return grid


def parse_grid(content: dict[str, Any], pixels: NDArray) -> OccupancyGrid:
    """Return the grid of a file's fields and its image. Raises KeyError, TypeError or ValueError naming a field."""
    resolution_m, origin = parse_number(content["resolution"]), content["origin"]
    if not 0 < resolution_m <= MAX_CELL_M:
        raise ValueError(f"field 'resolution' is {resolution_m} m")
    x, y, yaw = (parse_number(value) for value in origin)
    if max(abs(x), abs(y)) > MAX_PLACE_M or abs(yaw) > 2 * math.pi:
        raise ValueError(f"field 'origin' is {origin}")
    occupied, free = (parse_number(content.get(f"{n}_thresh", v)) for n, v in (("occupied", OCCUPIED), ("free", FREE)))
    if not 0 <= free < occupied <= 1:
        raise ValueError(f"thresholds are {free} and {occupied}: expected 0 <= free_thresh < occupied_thresh <= 1")
    darkness = pixels / 255 if content.get("negate") else 1 - pixels / 255
    return OccupancyGrid(pixels, darkness > occupied, darkness < free, resolution_m, (x, y, yaw))


def parse_number(value: Any) -> float:
    """Return a finite number of a YAML file. Raises ValueError or TypeError."""
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{str(value)[:80]!r} is not finite")
    return number
