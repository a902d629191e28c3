"""Detect a truth in another frame than the poses, by a transform that all errors share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pycolmap

from deviloc_ros.bags.transforms import TransformError, TransformTree
from deviloc_ros.evaluation.recordings.frames import JudgedFrame
from deviloc_ros.geometry import rotation_distance_deg

LEAST_FRAMES = 5
BODY_FLAG = "--ground-truth-frame"  # says whose poses the truth has
LARGE_M, LARGE_DEG = 0.1, 3.0  # a smaller transform does not mean another frame
NEAR_M, NEAR_DEG = 0.05, 1.5  # half of the poses must agree on the transform within these
CLEARLY = 0.5  # a better explanation must leave less than this share of the other's error


def explain_common_offset(frames: Sequence[JudgedFrame], transforms: TransformTree, base_frame: str) -> str:
    """Say which other frame or body the truth seems to belong to; empty if the poses agree with it.

    Args:
        transforms: of the recording, for the name of a frame that explains the offset.
    """
    pairs = [
        (f.map_from_base, f.true_map_from_base, f.estimate.stamp_ns)
        for f in frames
        if f.localized and f.map_from_base is not None and f.true_map_from_base is not None
    ]
    if len(pairs) < LEAST_FRAMES:
        return ""
    base_from_body, body_spread_m = find_common([found.inverse() * true for found, true, _ in pairs])
    true_from_map, map_spread_m = find_common([true * found.inverse() for found, true, _ in pairs])
    if base_from_body is not None and not is_large(base_from_body):
        return ""
    if base_from_body is not None:
        name = find_frame(base_from_body, transforms, base_frame, pairs[0][2])
        if name or true_from_map is None or body_spread_m < CLEARLY * map_spread_m:
            whose = f"of {name!r}: give {BODY_FLAG} {name}" if name else f"of something on the robot: give {BODY_FLAG}"
            return f"all poses are off by {describe_size(base_from_body)} on the robot: the truth seems to be {whose}"
    if true_from_map is not None and is_large(true_from_map):
        size = describe_size(true_from_map)
        return f"all poses are off by {size} in the map: the truth seems to be in a frame of its own; see --align"
    inverted, _ = find_common([found * true for found, true, _ in pairs])
    if inverted is not None and not is_large(inverted):
        return "the truth's poses seem to be the other way round: of the map in the robot"
    return ""


def find_common(transforms: Sequence[pycolmap.Rigid3d]) -> tuple[pycolmap.Rigid3d | None, float]:
    """Return the transform that half of these agree on, and their median distance from it [m]; None if there is none.

    It is the one nearest to the medians of each coordinate, which is robust to outliers.
    """
    centre = np.median([one.translation for one in transforms], axis=0)
    middle = min(transforms, key=lambda one: float(np.linalg.norm(one.translation - centre)))
    spread_m = float(np.median([np.linalg.norm(one.translation - middle.translation) for one in transforms]))
    spread_deg = float(np.median([rotation_distance_deg(one, middle) for one in transforms]))
    return (middle if spread_m < NEAR_M and spread_deg < NEAR_DEG else None), spread_m


def find_frame(base_from_body: pycolmap.Rigid3d, transforms: TransformTree, base_frame: str, time_ns: int) -> str:
    """Return the frame of a recording with the same mount on the robot as a body; empty if there is none."""
    for frame in sorted(transforms.frames - {base_frame}):
        try:
            off = transforms.lookup(base_frame, frame, time_ns).inverse() * base_from_body
        except TransformError:
            continue
        if not is_large(off):
            return frame
    return ""


def is_large(transform: pycolmap.Rigid3d) -> bool:
    """Return whether a transform is larger than errors of poses."""
    return (
        float(np.linalg.norm(transform.translation)) > LARGE_M
        or rotation_distance_deg(transform, pycolmap.Rigid3d()) > LARGE_DEG
    )


def describe_size(transform: pycolmap.Rigid3d) -> str:
    """Say how long and how large a transform is."""
    length_m = float(np.linalg.norm(transform.translation))
    return f"{length_m:.2f} m and {rotation_distance_deg(transform, pycolmap.Rigid3d()):.0f} degrees"
