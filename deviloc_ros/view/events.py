"""Convert the outcome of one image to an event for the page: plain values for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.evaluation.report.space import to_millimetres
from deviloc_ros.geometry import transform_points
from deviloc_ros.io.encoded_images import encode_jpeg, to_data_uri
from deviloc_ros.io.match_pictures import draw_best_matches
from deviloc_ros.maps.store import Map
from deviloc_ros.status import Status
from deviloc_ros.tracking.fix import largest_stds
from deviloc_ros.tracking.step import Step

PICTURE_SIDE_PX, JPEG_QUALITY = 900, 70
ELLIPSOID_STDS = 3.0
CIRCLE_POINTS = 24


def event_from_step(
    step: Step, state: str, pixels: Mapping[str, NDArray], reference_map: Map, axis_m: float
) -> dict[str, Any]:
    """Return the event of one image.

    Args:
        state: tracking state after the image.
        pixels: of the image of each camera, by its name.
        axis_m: length of the axes drawn at the robot.
    """
    event = {
        "time_ns": str(step.stamp_ns),  # JavaScript's numbers hold 53 bits
        "status": step.status.word,
        "sentence": step.detail or step.status.sentence,
        "state": state,
        "inliers": step.evidence.inliers,
        "references": list(step.evidence.references),
        "latency_ms": round(sum(step.stages_ms.values())),
    }
    if pixels:
        event["picture"] = make_picture_uri(draw_best_matches(pixels, step.evidence, reference_map.view_named))
    if step.fix is not None:
        event |= pose_to_event(step.fix.map_from_base, step.fix.covariance, axis_m)
    return event


def event_from_status(values: dict[str, str], time_ns: int) -> dict[str, Any]:
    """Return the event of one image from the values of a node's ~/status."""
    word = values.get("reason", "")
    known = word.upper() in Status.__members__
    return {
        "time_ns": str(time_ns),
        "status": word,
        "sentence": values.get("detail") or (Status.from_word(word).sentence if known else word),
        "inliers": int(values.get("inliers") or 0),
        "references": [name for name in values.get("references", "").split(", ") if name],
        "latency_ms": round(float(values.get("latency_ms.stamp_to_result") or 0)),
    }


def pose_to_event(map_from_base: pycolmap.Rigid3d, covariance: NDArray, axis_m: float) -> dict[str, Any]:
    """Return the robot's position, its axes and the 3-sigma ellipsoid of its position [mm], and standard deviations."""
    tips = transform_points(map_from_base, axis_m * np.eye(3))
    std_m, std_deg = largest_stds(covariance)
    return {
        "position": to_millimetres(map_from_base.translation[None]),
        "axes": [to_millimetres(np.stack([map_from_base.translation, tip])) for tip in tips],
        "ellipsoid": [
            to_millimetres(circle) for circle in draw_ellipsoid(map_from_base.translation, covariance[:3, :3])
        ],
        "std": f"{100 * std_m:.2f} cm, {std_deg:.2f} deg",
    }


def draw_ellipsoid(centre: NDArray, covariance: NDArray) -> list[NDArray]:
    """Return three closed curves (N, 3) [m] on the ellipsoid of ELLIPSOID_STDS standard deviations."""
    variances, axes = np.linalg.eigh(covariance)
    half_axes = ELLIPSOID_STDS * np.sqrt(np.maximum(variances, 0)) * axes
    angle = np.linspace(0, 2 * np.pi, CIRCLE_POINTS + 1)[:, None]
    pairs = ((0, 1), (1, 2), (2, 0))
    return [centre + np.cos(angle) * half_axes[:, a] + np.sin(angle) * half_axes[:, b] for a, b in pairs]


def make_picture_uri(pixels: NDArray) -> str:
    """Return a picture as a data URI, no side longer than PICTURE_SIDE_PX."""
    return to_data_uri(encode_jpeg(pixels, JPEG_QUALITY, PICTURE_SIDE_PX))
