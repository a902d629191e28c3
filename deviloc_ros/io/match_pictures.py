"""Draw the matches of an image with a reference view."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deviloc_ros.geometry import transform_points
from deviloc_ros.io.units import Unit
from deviloc_ros.types import Evidence, Localized, ReferenceView

CANVAS_BGR, KEYPOINT_BGR, INLIER_BGR, OTHER_BGR = (40, 40, 40), (150, 150, 150), (0, 220, 0), (0, 0, 240)
DEPTH_PERCENTILES = (5, 95)  # a few distant points must not give all others the same colour
POINT_RADIUS_PX = 3
MAX_LINES = 50  # of inliers, and of others; more would hide the picture
LINE_OPACITY = 0.45
CELL_PX = 40  # lines begin in as many cells of the image as there are
MARGIN_PX, BAR_PX, FONT_SCALE, BAR_OPACITY = 10, 34, 0.6, 0.65


def draw_best_match(pixels: NDArray, evidence: Evidence, read_view: Callable[[str], ReferenceView]) -> NDArray:
    """Draw the image beside the reference with the most inliers, or alone without references."""
    if not evidence.references:
        return pixels
    best = evidence.inlying.main_reference
    return draw_matches(pixels, read_view(evidence.references[best]), evidence, best)


def draw_best_matches(
    pixels: Mapping[str, NDArray], evidence: Evidence, read_view: Callable[[str], ReferenceView]
) -> NDArray:
    """Draw the image of each camera, by its name, beside its best reference, stacked.

    Args:
        evidence: that of the rig if there are several cameras.
    """
    own = {report.name: report.evidence for report in evidence.cameras if report.evidence}
    return stack_pictures(
        [
            draw_best_match(picture, own.get(name, Evidence()) if evidence.cameras else evidence, read_view)
            for name, picture in pixels.items()
        ]
    )


def stack_pictures(pictures: Sequence[NDArray]) -> NDArray:
    """Stack pictures, gray or BGR, vertically; narrower ones are padded."""
    width = max(picture.shape[1] for picture in pictures)
    colored = [cv2.cvtColor(p, cv2.COLOR_GRAY2BGR) if p.ndim == 2 else p for p in pictures]
    wide = [cv2.copyMakeBorder(p, 0, 0, 0, width - p.shape[1], cv2.BORDER_CONSTANT, value=CANVAS_BGR) for p in colored]
    return np.concatenate(wide)


def draw_depths(pixels: NDArray, localized: Localized, unit: Unit) -> NDArray:
    """Draw the image with its inliers, coloured by the distance of their 3D points: near red, far blue.

    unit: of the map.
    """
    canvas = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR) if pixels.ndim == 2 else pixels.copy()
    inliers = localized.evidence.inlying
    depths = transform_points(localized.cam_from_world, inliers.points_in_world)[:, 2]
    near, far = np.percentile(depths, DEPTH_PERCENTILES)
    shares = np.clip((far - depths) / max(far - near, 1e-9), 0, 1)
    colors = cv2.applyColorMap(np.rint(255 * shares).astype(np.uint8)[:, None], cv2.COLORMAP_TURBO)[:, 0]
    for (x, y), color in zip(round_pixels(inliers.keypoints), colors.tolist(), strict=True):
        cv2.circle(canvas, (x, y), POINT_RADIUS_PX, color, -1, cv2.LINE_AA)
    write_caption(canvas, f"{len(inliers)} points, red {unit.format(near)} to blue {unit.format(far)}")
    return canvas


def write_caption(canvas: NDArray, text: str, left: int = 0) -> None:
    """Write a line of text on a dark bar at the top of a picture, from `left` to the right border."""
    height = min(BAR_PX, len(canvas) // 8)
    bar = canvas[:height, left:]
    bar[:] = np.rint((1 - BAR_OPACITY) * bar)
    width = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, FONT_SCALE, 1)[0][0]
    scale = FONT_SCALE * min(height / BAR_PX, (bar.shape[1] - 2 * MARGIN_PX) / width)
    if scale > 0:
        at = (left + MARGIN_PX, round(0.7 * height))
        cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)


def spread_rows(pixels: NDArray, count: int) -> NDArray:
    """Return at most `count` rows of (N, 2) pixels, spread over the cells of the image."""
    seen: Counter[tuple[int, ...]] = Counter()
    ranks = []
    for cell in map(tuple, (pixels // CELL_PX).astype(int).tolist()):
        ranks.append(seen[cell])
        seen[cell] += 1
    return np.sort(np.argsort(ranks, kind="stable")[:count])


def draw_matches(pixels: NDArray, view: ReferenceView, evidence: Evidence, reference: int) -> NDArray:
    """Draw the image beside one reference, with lines between some matched points: inliers green, others red.

    Maps contain no images, so the reference's keypoints are drawn; lines end at the projected 3D points.
    """
    query = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR) if pixels.ndim == 2 else pixels
    height, width = query.shape[:2]
    canvas = np.full((max(height, view.camera.height), width + view.camera.width, 3), CANVAS_BGR, np.uint8)
    canvas[:height, :width] = query
    beside = np.array([width, 0])
    for x, y in round_pixels(view.features.keypoints.cpu().numpy() + beside):
        cv2.circle(canvas, (x, y), 1, KEYPOINT_BGR, -1)
    rows = np.flatnonzero(evidence.correspondences.references == reference)
    lines = canvas.copy()
    inlier = evidence.inlier_mask[rows] if len(evidence.inlier_mask) else np.zeros(len(rows), bool)
    ends = project_into_view(view, evidence.correspondences.points_in_world[rows]) + beside
    starts = evidence.correspondences.keypoints[rows]
    drawn = []
    for chosen, color in ((~inlier, OTHER_BGR), (inlier, INLIER_BGR)):
        there = np.flatnonzero(chosen & np.isfinite(ends).all(1))
        kept = there[spread_rows(starts[there], MAX_LINES)]
        for start, end in zip(round_pixels(starts[kept]), round_pixels(ends[kept]), strict=True):
            cv2.line(lines, start, end, color, 1, cv2.LINE_AA)
            drawn += [(start, color), (end, color)]
    canvas = cv2.addWeighted(lines, LINE_OPACITY, canvas, 1 - LINE_OPACITY, 0)
    for place, color in drawn:
        cv2.circle(canvas, place, POINT_RADIUS_PX, color, -1, cv2.LINE_AA)
    write_caption(canvas[:, :width], f"{evidence.inliers} inliers of {len(evidence.inlier_mask)} matches, some drawn")
    write_caption(canvas, f"{view.name}: its keypoints, as a map holds no pixels", width)
    return canvas


def project_into_view(view: ReferenceView, points_in_world: NDArray) -> NDArray:
    """Project (N, 3) points to (N, 2) px in a view; NaN behind it."""
    return view.camera.project(transform_points(view.cam_from_world, points_in_world))


def round_pixels(points: NDArray) -> list[Any]:
    """Round to the nearest pixels, clipped to what OpenCV can draw."""
    return [tuple(point) for point in np.rint(np.clip(points, -1e4, 1e4)).astype(int).tolist()]
