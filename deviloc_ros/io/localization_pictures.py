"""Draw what a pose rests on: the image beside its best reference, the depths of its points, the map from above."""

from __future__ import annotations

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.geometry import transform_points
from deviloc_ros.io.match_pictures import CANVAS_BGR, round_pixels
from deviloc_ros.types import Localized, Result

LANDMARK_BGR, VIEW_BGR, POSE_BGR, WORDS_BGR = (150, 140, 130), (222, 184, 143), (60, 60, 230), (255, 255, 255)
MARGIN = 0.1  # of the plan, around what is drawn
MOST_LANDMARKS = 5000
LOOK_SHARE = 0.08  # of the plan's side, is how long the line is that shows where a camera looks


def draw_depths(gray: NDArray, result: Result) -> NDArray:
    """Draw the inliers over the image, coloured by how far their points are; near ones are red."""
    canvas = cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR) // 2
    evidence = result.evidence
    if not isinstance(result, Localized) or not evidence.inliers:
        write_on(canvas, "no pose, so no depths")
        return canvas
    points = evidence.correspondences.points_in_world[evidence.inlier_mask]
    depths_m = transform_points(result.cam_from_world, points)[:, 2]
    near, far = np.percentile(depths_m, [2, 98])
    shares = np.clip((far - depths_m) / max(far - near, 1e-9), 0, 1)
    colors = cv2.applyColorMap((255 * shares).astype(np.uint8)[:, None], cv2.COLORMAP_TURBO)[:, 0]
    pixels = round_pixels(evidence.correspondences.keypoints[evidence.inlier_mask])
    for pixel, color in zip(pixels, colors.tolist(), strict=True):
        cv2.circle(canvas, pixel, 3, color, -1, cv2.LINE_AA)
    write_on(canvas, f"depths {near:.2f} (red) to {far:.2f} m (blue)")
    return canvas


def draw_from_above(
    landmarks: NDArray, views: list[pycolmap.Rigid3d], pose: pycolmap.Rigid3d | None, size: tuple[int, int]
) -> NDArray:
    """Draw landmarks, cameras of the map, and one that was found, along the axis in which the map spreads least.

    Args:
        views, pose: world_from_cam. size: width, height [px].
    """
    canvas = np.full((size[1], size[0], 3), CANVAS_BGR, np.uint8)
    shown = landmarks[:: max(1, len(landmarks) // MOST_LANDMARKS)]
    places = np.array([view.translation for view in [*views, *([pose] if pose else [])]]).reshape(-1, 3)
    if not len(shown) and not len(places):
        return canvas
    low, high = np.percentile(np.concatenate([shown, places]), [1, 99], axis=0)
    flat = int(np.argmin(np.ptp(places, axis=0))) if len(places) > 1 else int(np.argmin(high - low))
    right, up = (axis for axis in range(3) if axis != flat)
    scale = (1 - 2 * MARGIN) * min(
        size[0] / max(high[right] - low[right], 1e-9), size[1] / max(high[up] - low[up], 1e-9)
    )
    middle = (low + high) / 2

    def to_plan(points: NDArray) -> NDArray:
        offsets = (np.atleast_2d(points) - middle) * scale
        return np.stack([size[0] / 2 + offsets[:, right], size[1] / 2 - offsets[:, up]], axis=1)

    for x, y in round_pixels(to_plan(shown)) if len(shown) else []:
        cv2.circle(canvas, (x, y), 0, LANDMARK_BGR, -1)
    ahead = np.array([0.0, 0.0, LOOK_SHARE * min(size) / scale])
    for view in views:
        draw_camera(canvas, to_plan(np.stack([view.translation, view * ahead])), VIEW_BGR, 1)
    if pose is not None:
        draw_camera(canvas, to_plan(np.stack([pose.translation, pose * ahead])), POSE_BGR, 2)
    write_on(canvas, f"map from above ({'xyz'[right]} right, {'xyz'[up]} up): views blue, this image red")
    return canvas


def draw_camera(canvas: NDArray, ends: NDArray, color: tuple[int, int, int], width: int) -> None:
    """Draw a camera as a dot with a line to where it looks; (2, 2) px."""
    start, end = round_pixels(ends)
    cv2.line(canvas, start, end, color, width, cv2.LINE_AA)
    cv2.circle(canvas, start, 2 * width + 1, color, -1, cv2.LINE_AA)


def write_on(canvas: NDArray, text: str) -> None:
    """Write a line at the top."""
    cv2.putText(canvas, text, (10, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.55, WORDS_BGR, 1, cv2.LINE_AA)


def stack_panels(upper: NDArray, left: NDArray, right: NDArray) -> NDArray:
    """Put two panels of one height below another one; what is narrower is filled up."""
    lower = np.concatenate([left, right], axis=1)
    width = max(upper.shape[1], lower.shape[1])
    filled = []
    for panel in (upper, lower):
        row = np.full((panel.shape[0], width, 3), CANVAS_BGR, np.uint8)
        row[:, : panel.shape[1]] = panel
        filled.append(row)
    return np.concatenate(filled)
