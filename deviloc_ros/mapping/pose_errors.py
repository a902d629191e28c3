"""Measure the errors of a map's own poses, by localizing some of its views from the others.

The covariance of a pose reflects how much matches and landmarks disagree within one image. It cannot reflect errors in
the poses of the views, as from odometry or a GNSS receiver: landmarks follow those poses, and the matches of an image
agree with the landmarks. A view that is localized from the others does show them.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import chi2

from deviloc_ros.config_fields import change_config
from deviloc_ros.geometry import pose_difference
from deviloc_ros.io.units import Unit
from deviloc_ros.localizer import Localizer
from deviloc_ros.maps.edit import open_for_change, points_by_id
from deviloc_ros.maps.provenance import POSE_ERRORS
from deviloc_ros.maps.retrieval.by_pose import nearest_by_pose
from deviloc_ros.maps.store import Map
from deviloc_ros.sampling import thin_evenly
from deviloc_ros.search.places import QueryState
from deviloc_ros.sfm.map_networks import Networks
from deviloc_ros.types import Localized, Prior, Result
from deviloc_ros.workers.base import Workers

log = logging.getLogger(__name__)
MOST_LEFT_OUT, FEWEST_LOCALIZED = 25, 3  # views
# Errors of poses make images look uncertain, or their calibration wrong; neither may keep them from being measured.
OPEN_GATES = {"max_position_std": 1.0, "required_position_std_m": 0.0, "max_shift": 1.0, "max_focal_error": 100.0}
MEDIAN_SQUARE = float(chi2(3).median())  # squared Mahalanobis distance of a 3D error, if its covariance is right


@dataclass(frozen=True, slots=True)
class PoseErrors:
    """Hold the standard deviations of the map's poses on each axis, beyond what covariances already account for.

    localized: views that could be localized from the others, of those left_out. unit: of the map's lengths.
    """

    position_m: float
    orientation_deg: float
    localized: int
    left_out: int
    unit: Unit = Unit.METRE

    def __str__(self) -> str:
        return (
            f"about {self.unit.format_error(self.position_m, 1)} and {self.orientation_deg:.2f} deg on each axis, from "
            f"{self.localized} of {self.left_out} views that were localized from the others; covariances of poses in "
            "this map grow accordingly"
        )


def state_pose_errors(folder: Path, networks: Networks, workers: Workers) -> str:
    """Measure the errors of a map's poses, and write them into its config; return them in words, empty if none show.

    Raises:
        MapError: another process has changed the map meanwhile.
    """
    reference_map = Map.open(folder)
    if len(reference_map) < FEWEST_LOCALIZED or reference_map.records[0].dense is not None:
        return ""
    config = change_config(networks.config, pose=OPEN_GATES)
    errors = measure_pose_errors(Localizer(reference_map, config, matcher=networks.matcher), workers)
    if errors is None or not (errors.position_m or errors.orientation_deg):
        return ""
    log.warning("%s: %s", POSE_ERRORS, errors)
    with open_for_change(folder, reference_map.identity) as (reference_map, writer):
        stated = reference_map.config.pose
        writer.config = change_config(
            reference_map.config,
            pose={
                "map_position_std_m": math.hypot(stated.map_position_std_m, errors.position_m),
                "map_orientation_std_deg": math.hypot(stated.map_orientation_std_deg, errors.orientation_deg),
            },
        )
        for record in reference_map.records:
            writer.keep_view(record)
        writer.finish(points_by_id(reference_map), reference_map.retrieval(), reference_map.manifest.provenance)
    return str(errors)


def measure_pose_errors(localizer: Localizer, workers: Workers) -> PoseErrors | None:
    """Return the errors of a map's poses by some of its views; None if too few of them can be localized."""
    reference_map = localizer.map
    numbers = thin_evenly(range(len(reference_map)), MOST_LEFT_OUT)
    left_out = workers.progress(numbers, desc="views left out", unit="view")
    results = [localize_from_others(localizer, number) for number in left_out]
    differences, covariances = [], []
    for number, result in zip(numbers, results, strict=True):
        if isinstance(result, Localized):
            world_from_cam = reference_map.records[number].cam_from_world.inverse()
            differences.append(pose_difference(result.cam_from_world.inverse(), world_from_cam))
            covariances.append(result.covariance)
    if len(differences) < FEWEST_LOCALIZED:
        return None
    errors, stated = np.array(differences), np.array(covariances)
    position_m = estimate_missing_std(errors[:, :3], stated[:, :3, :3])
    orientation_rad = estimate_missing_std(errors[:, 3:], stated[:, 3:, 3:])
    return PoseErrors(position_m, math.degrees(orientation_rad), len(differences), len(numbers), reference_map.unit)


def localize_from_others(localizer: Localizer, number: int, left_out: frozenset[str] = frozenset()) -> Result:
    """Localize a view of the localizer's map from the nearest others that are not left out.

    Its own pose is the prior, and its features are those that the map stores.
    """
    reference_map, config = localizer.map, localizer.config.retrieval
    view, records = reference_map.view(number), reference_map.records
    near = Prior(view.cam_from_world)
    order = nearest_by_pose(
        reference_map.centres, reference_map.axes, near, len(reference_map), config.meters_per_radian
    )
    others = [row for row in order.tolist() if row != number and records[row].name not in left_out]
    references = [reference_map.view(row) for row in others[: config.references]]
    return localizer.localize_views(references, QueryState(view.features, view.camera))


def estimate_missing_std(errors: NDArray, covariances: NDArray) -> float:
    """Return the standard deviation to add on each axis so that the median error matches its covariance; 0 if it does.

    The median, since a view at the end of a path, or of a look-alike place, may be localized anywhere.

    Args:
        errors: (N, 3), of positions [m] or orientations [rad].
        covariances: (N, 3, 3) as the poses state them.
    """

    def excess(std: float) -> float:
        widened = covariances + std**2 * np.eye(3)
        squares = np.einsum("ni,ni->n", errors, np.linalg.solve(widened, errors[:, :, None])[:, :, 0])
        return float(np.median(squares)) - MEDIAN_SQUARE

    if excess(0.0) <= 0:
        return 0.0
    return float(brentq(excess, 0.0, float(np.linalg.norm(errors, axis=1).max())))
