"""Describe what is in a map, and find what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deviloc_ros.geometry import transform_points
from deviloc_ros.maps.files import find_unnamed_files
from deviloc_ros.maps.provenance import POSE_ERRORS
from deviloc_ros.maps.store import Map, MapError
from deviloc_ros.types import ReferenceView

MAX_MEDIAN_REPROJECTION_ERROR_PX = 4.0
NO_METRES = "its unit is arbitrary, as of images alone, and a robot goes by metres"
TO_GET_METRES = (
    "give it metres: `map align MAP` with --known-distance, --positions, --occupancy, --tags, --colmap, --poses or --to"
)


def describe_map(reference_map: Map) -> Iterator[tuple[str, str]]:
    """Yield name and value of each property of a map."""
    config, records = reference_map.config, reference_map.records
    low, high = reference_map.centres.min(0), reference_map.centres.max(0)
    unit = reference_map.unit.symbol
    yield "views", str(len(reference_map))
    if counts := Counter(record.session for record in records if record.session):
        yield "sessions", ", ".join(f"{session} ({count} views)" for session, count in counts.items())
    yield "cameras", ", ".join(sorted({f"{r.camera.model} {r.camera.width}x{r.camera.height}" for r in records}))
    yield "landmarks", str(len(reference_map.landmarks()))
    yield "camera positions", " x ".join(f"{a:.1f}..{b:.1f}" for a, b in zip(low, high, strict=True)) + f" {unit}"
    yield "matcher", reference_map.matcher_name
    yield "lifting", f"{config.lift.method}, landmarks from {config.lift.landmark_source}"
    if config.pose.map_position_std_m or config.pose.map_orientation_std_deg:
        yield POSE_ERRORS, describe_pose_errors(reference_map)
    yield "size", f"{reference_map.size_bytes / 1e6:.1f} MB"
    for name, value in reference_map.manifest.provenance.to_dict().items():
        if name != "matcher":  # said above
            yield name.replace("_", " "), describe_value(value)
    yield "identity", reference_map.identity


def describe_pose_errors(reference_map: Map) -> str:
    """Return by how much a map states that its poses are off."""
    pose = reference_map.config.pose
    position = reference_map.unit.format_error(pose.map_position_std_m, 1)
    return f"about {position} and {pose.map_orientation_std_deg:.2f} deg on each axis; covariances grow accordingly"


def describe_value(value: Any) -> str:
    """Return a note of a map's provenance as text."""
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name.replace('_', ' ')} {describe_value(of_it)}" for name, of_it in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(map(describe_value, value))
    return str(value)


def check_metres(maps: Sequence[Map]) -> None:
    """Raise MapError, naming the maps, if the unit of some is arbitrary; transforms and odometry are in metres."""
    if arbitrary := [str(one.folder) for one in maps if not one.manifest.provenance.is_metric]:
        raise MapError(f"{', '.join(arbitrary)}: {NO_METRES}; {TO_GET_METRES}")


def find_problems(folder: Path) -> Iterator[str]:
    """Read everything in a map and yield a sentence for each thing that is damaged, inconsistent or useless."""
    reference_map = Map.open(folder)
    yield from find_unreadable_shared_files(reference_map)
    try:
        known = reference_map.landmarks_and_ids()[0]
    except MapError:
        known = None  # reported above
    for number, record in enumerate(reference_map.records):
        try:
            yield from find_view_problems(reference_map, number, known)
        except MapError as error:
            yield f"view {record.name!r}: {error}"
    if left_over := find_unnamed_files(folder, reference_map.manifest):
        yield f"{len(left_over)} files that belong to no view, as {left_over[0]}; the next change clears them away"


def find_unreadable_shared_files(reference_map: Map) -> Iterator[str]:
    """Yield the error of each file, landmarks or retrieval, that cannot be read."""
    for read in (reference_map.landmarks_and_ids, reference_map.retrieval):
        try:
            read()
        except MapError as error:
            yield str(error)


def find_view_problems(reference_map: Map, number: int, known: np.ndarray | None) -> Iterator[str]:
    """Yield a sentence for each problem of one view.

    Args:
        known: ids of the map's landmarks; None if they cannot be read.

    Raises:
        MapError: a file of the view is damaged.
    """
    view = reference_map.view(number)
    if not (view.lifted.confidence > 0).any():
        yield f"view {view.name!r}: none of its {len(view.features)} keypoints has a 3D point, so it is of no use"
    if known is not None and not np.isin(view.landmarks.ids, known).all():
        yield f"view {view.name!r}: observes landmarks that the map does not have"
    errors = reprojection_errors_px(view)
    if len(errors) and np.median(errors) > MAX_MEDIAN_REPROJECTION_ERROR_PX:
        yield f"view {view.name!r}: its landmarks are {np.median(errors):.1f} px off where they project (median)"


def reprojection_errors_px(view: ReferenceView) -> NDArray:
    """Return the (M,) reprojection errors [px] of a view's landmarks; infinite behind the camera."""
    projected = view.camera.project(transform_points(view.cam_from_world, view.landmarks.points_in_world))
    return np.nan_to_num(np.linalg.norm(projected - view.landmarks.keypoints, axis=1), nan=np.inf)
