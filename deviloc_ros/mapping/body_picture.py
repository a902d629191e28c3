"""Draw the parts of the robot in view, as a picture and as a mask."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.imaging import read_gray
from deviloc_ros.sfm.body_in_view import BodyInView
from deviloc_ros.sources.base import PosedImage

VIEWS_SHOWN = 3
HEIGHT_PX = 360
HIDDEN_BGR = (60, 60, 220)
TINT = 0.5


def draw_body(images: Sequence[PosedImage], body: BodyInView) -> NDArray:
    """Return a few of the views with hidden cells side by side, these cells tinted red."""
    shown = [image for image in images if image.name in body.hidden]
    shown = shown[:: max(1, len(shown) // VIEWS_SHOWN)][:VIEWS_SHOWN]
    return np.hstack([draw_view(image, body.hidden[image.name]) for image in shown])


def draw_view(image: PosedImage, hidden: NDArray) -> NDArray:
    """Return one view with its hidden cells tinted."""
    gray = read_gray(image.path)
    width = round(gray.shape[1] * HEIGHT_PX / gray.shape[0])
    picture = cv2.cvtColor(cv2.resize(gray, (width, HEIGHT_PX), interpolation=cv2.INTER_AREA), cv2.COLOR_GRAY2BGR)
    tinted = enlarge_cells(hidden, (width, HEIGHT_PX))
    picture[tinted] = (1 - TINT) * picture[tinted] + TINT * np.array(HIDDEN_BGR)
    return picture


def draw_mask(camera: Camera, body: BodyInView) -> NDArray:
    """Return (H, W) uint8, black where most of the views with hidden cells hide something, else white."""
    return np.where(enlarge_cells(body.cells, (camera.width, camera.height)), 0, 255).astype(np.uint8)


def enlarge_cells(cells: NDArray, size: tuple[int, int]) -> NDArray:
    """Return (H, W) bool of cells enlarged to an image of (width, height)."""
    return cv2.resize(cells.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)
