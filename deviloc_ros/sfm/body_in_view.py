"""Detect parts of the robot in view of its camera, by matches that stay at one pixel while the poses move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from deviloc_ros.masks import Mask, read_mask
from deviloc_ros.matching.base import lie_on
from deviloc_ros.pose.still_matches import are_still, count_contradictions
from deviloc_ros.sources.base import PosedImage

if TYPE_CHECKING:  # whose graphs say what was found
    from deviloc_ros.sfm.matches import Keypoints, Pair
    from deviloc_ros.workers.base import Workers

CELLS_ALONG_SIDE = 40  # the longer side; a cell is 16 px of 640
MIN_PARTNERS = 2  # other views in which a view's cell must stay; one may be chance
MIN_VIEWS, MIN_VIEW_SHARE = 3, 0.05  # views in which a cell must stay; a body is seen again and again
GAP_CELLS = 5  # closed between textured parts of one body
REACH_CELLS = 3  # the body extends this far around the cells that stay in a view
ALWAYS_SHARE = 0.8  # of the views: a cell hidden in so many is also hidden in views without matches
MAX_SHARE = 0.7  # of the textured cells: if more stay, the poses are wrong


@dataclass(frozen=True, slots=True, eq=False)
class BodyInView:
    """Hold which parts of the images show the robot."""

    hidden: dict[str, NDArray]
    judged: int

    @property
    def cells(self) -> NDArray:
        """Return the cells that are hidden in at least half of these images, or if there are none, in any."""
        shapes = [cells.shape for cells in self.hidden.values()]
        common = max(set(shapes), key=shapes.count)
        of_all = np.mean([cells for cells in self.hidden.values() if cells.shape == common], axis=0)
        return of_all >= 0.5 if (of_all >= 0.5).any() else of_all > 0

    def __str__(self) -> str:
        return (
            f"{self.cells.mean():.0%} of the picture stays where it is, in {len(self.hidden)} of {self.judged} views, "
            "while the camera moves: something of the robot, or on the lens; nothing there is used "
            "(docs/masks.md: --mask says better where it is)"
        )


def find_body(
    keypoints: Keypoints, images: Sequence[PosedImage], pairs: Sequence[Pair], workers: Workers
) -> BodyInView | None:
    """Find parts of the robot by matches that stay at one pixel; None if there are none.

    Keypoints there are not matched from now on.
    """
    still = find_still_cells(keypoints, images, pairs, workers)
    by_name = {image.name: image for image in images}
    flagged = {name: flag_cells(by_name[name], [(by_name[n], c) for n, c in s.items()]) for name, s in still.items()}
    hidden: dict[str, NDArray] = {}
    for shape in {cells.shape for cells in flagged.values()}:
        alike = {name: cells for name, cells in flagged.items() if cells.shape == shape}
        textured = np.any([Grid.over(by_name[name]).mark(keypoints.pixels(name)) for name in alike], axis=0)
        hidden |= select_hidden_cells(alike, textured)
    if not hidden:
        return None
    masked = {image.name: image for image in hide_cells(images, hidden)}
    keypoints.hide_unused(lambda name, keypoints_px: is_used(masked[name], keypoints_px))
    return BodyInView(hidden, len(flagged))


def find_still_cells(
    keypoints: Keypoints, images: Sequence[PosedImage], pairs: Sequence[Pair], workers: Workers
) -> dict[str, dict[str, NDArray]]:
    """Return (rows, columns) bool of cells that stay, by image name and by the name of the image compared with."""
    grids = {image.name: Grid.over(image) for image in images}
    pixels = {name: keypoints.pixels(name) for name in grids}
    still: dict[str, dict[str, NDArray]] = {name: {} for pair in pairs for name in pair}
    for (a, b), rows in zip(pairs, keypoints.match_all(pairs, workers), strict=True):
        if grids[a].size != grids[b].size:
            continue
        pixels_a, pixels_b = pixels[a][rows[:, 0]], pixels[b][rows[:, 1]]
        cells = grids[a].mark(pixels_a[are_still(pixels_a, pixels_b)])
        if cells.any():
            still[a][b] = still[b][a] = cells
    return still


def flag_cells(image: PosedImage, compared: Sequence[tuple[PosedImage, NDArray]]) -> NDArray:
    """Return (rows, columns) bool: cells of an image that stay in more other images than a point of the world could.

    Args:
        compared: the other images with the cells that stay in them.
    """
    grid = Grid.over(image)
    flagged = np.zeros(grid.shape, bool)
    if len(compared) < MIN_PARTNERS:
        return flagged
    stays = np.array([cells for _, cells in compared])
    rows, columns = np.nonzero(stays.sum(0) >= MIN_PARTNERS)
    others = [(other.camera, other.cam_from_world) for other, _ in compared]
    posed = (image.camera, image.cam_from_world)
    contradictions = count_contradictions(posed, others, grid.centres(rows, columns), stays[:, rows, columns])
    flagged[rows, columns] = contradictions >= MIN_PARTNERS
    return flagged


def select_hidden_cells(flagged: dict[str, NDArray], textured: NDArray) -> dict[str, NDArray]:
    """Return the hidden cells of views with one shape; empty without a body.

    Args:
        flagged: cells of each view that were seen to stay.
        textured: cells with texture in any view.
    """
    least = max(MIN_VIEWS, MIN_VIEW_SHARE * len(flagged))
    seen = np.sum(list(flagged.values()), axis=0) >= least
    if not seen.any() or seen.sum() > MAX_SHARE * textured.sum():
        return {}
    region = grow_cells(close_gaps(seen), 1)
    hidden = {name: region & grow_cells(cells & seen, REACH_CELLS) for name, cells in flagged.items()}
    always = np.mean(list(hidden.values()), axis=0) >= ALWAYS_SHARE
    hidden = {name: cells | always for name, cells in hidden.items()}
    return {name: cells for name, cells in hidden.items() if cells.any()}


def close_gaps(cells: NDArray) -> NDArray:
    """Return the cells with narrow gaps closed, also those to the border of the image."""
    kernel = np.ones((GAP_CELLS, GAP_CELLS), np.uint8)
    return cv2.morphologyEx(cells.astype(np.uint8), cv2.MORPH_CLOSE, kernel).astype(bool)


def grow_cells(cells: NDArray, by: int) -> NDArray:
    """Return the cells grown by `by` cells."""
    return cv2.dilate(cells.astype(np.uint8), np.ones((2 * by + 1, 2 * by + 1), np.uint8)).astype(bool)


@dataclass(frozen=True, slots=True)
class Grid:
    """Divide an image of `size` (w, h) px into square cells; shape: (rows, columns)."""

    size: tuple[int, int]
    shape: tuple[int, int]

    @staticmethod
    def over(image: PosedImage) -> Grid:
        """Return that over an image."""
        width, height = image.camera.width, image.camera.height
        side_px = max(width, height) / CELLS_ALONG_SIDE
        return Grid((width, height), (max(1, round(height / side_px)), max(1, round(width / side_px))))

    @property
    def cell_px(self) -> NDArray:
        """Return (2,) width and height of a cell."""
        return np.array(self.size) / self.shape[::-1]

    def mark(self, pixels: NDArray) -> NDArray:
        """Return (rows, columns) bool: the cells that (N, 2) px lie in."""
        cells = np.zeros(self.shape, bool)
        most = np.array(self.shape[::-1]) - 1
        columns, rows = np.clip((pixels + 0.5) / self.cell_px, 0, most).astype(int).T
        cells[rows, columns] = True
        return cells

    def centres(self, rows: NDArray, columns: NDArray) -> NDArray:
        """Return (N, 2) px of the middles of cells."""
        return (np.stack([columns, rows], 1) + 0.5) * self.cell_px - 0.5


def hide_cells(images: Sequence[PosedImage], hidden: dict[str, NDArray]) -> list[PosedImage]:
    """Return the images with masks that hide these cells, by image name, in addition to what they hide already."""
    return [
        replace(image, mask=replace(image.mask or Mask(), hidden=hidden[image.name])) if image.name in hidden else image
        for image in images
    ]


def is_used(image: PosedImage, pixels: NDArray) -> NDArray:
    """Return (N,) bool: which of (N, 2) px an image's mask does not hide."""
    used = read_mask(image.mask, (image.camera.width, image.camera.height))
    return lie_on(used, torch.from_numpy(pixels)).numpy()
