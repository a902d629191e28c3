"""Measure the quality of a map, view by view: its content, and how well the other views localize it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray
from tqdm import tqdm

from deviloc_ros.evaluation.maps.self_localization import Tolerance, localize_view
from deviloc_ros.evaluation.metrics import QueryOutcome
from deviloc_ros.io.units import Unit
from deviloc_ros.localizer import Localizer
from deviloc_ros.maps.inspect import reprojection_errors_px
from deviloc_ros.maps.retrieval.by_pose import nearest_by_pose
from deviloc_ros.maps.store import Map
from deviloc_ros.types import Lost, Prior


@dataclass(frozen=True, slots=True, eq=False)
class ViewQuality:
    """Hold the quality of one view.

    reprojection_px: (M,) of the landmarks that it observes. confidence: (N,) of its keypoints' 3D points, 0 for none.
    outcome: of localizing it from the other views, with its own pose as the truth. neighbour: name of the nearest other
    view, empty if there is none; distance_m, angle_deg: to it. session: in which it was taken. from_others: localized
    only from views of other sessions, None if there are none.
    """

    name: str
    map_from_cam: pycolmap.Rigid3d
    reprojection_px: NDArray
    confidence: NDArray
    outcome: QueryOutcome
    neighbour: str
    distance_m: float
    angle_deg: float
    session: str = ""
    from_others: QueryOutcome | None = None

    @property
    def landmarks(self) -> int:
        """Return the number of landmarks that it observes."""
        return len(self.reprojection_px)

    @property
    def inliers(self) -> int:
        """Return the number of inliers of its pose."""
        return self.outcome.result.evidence.inliers

    @property
    def stages_ms(self) -> dict[str, float]:
        """Return the milliseconds by stage of localizing it."""
        return self.outcome.result.evidence.stages_ms


@dataclass(frozen=True, slots=True, eq=False)
class MapQuality:
    """Hold the quality of all views. tolerance: of errors that count as well localized, in the `unit` of the map."""

    views: list[ViewQuality]
    tolerance: Tolerance
    unit: Unit = Unit.METRE

    @property
    def bound(self) -> str:
        """Return the tolerance of positions in words."""
        return self.unit.format_bound(self.tolerance.translation_m)

    def is_hard(self, view: ViewQuality) -> bool:
        """Return whether the others do not localize a view well."""
        return not self.tolerance.holds(view.outcome)

    @property
    def hard(self) -> list[ViewQuality]:
        """Return the views that are hard: those without a pose first, then the largest errors."""
        found = [view for view in self.views if self.is_hard(view)]
        return sorted(
            found, key=lambda v: (v.outcome.localized, -v.outcome.translation_m if v.outcome.localized else v.inliers)
        )

    @property
    def localized(self) -> list[ViewQuality]:
        """Return the views that got a pose from the others."""
        return [view for view in self.views if view.outcome.localized]


def inspect_views(localizer: Localizer, tolerance: Tolerance, *, quiet: bool = False) -> MapQuality:
    """Inspect every view of a map and localize it from the others. Raises MapError if a file is damaged."""
    numbers = tqdm(range(len(localizer.map)), desc="views", unit="view", disable=quiet, dynamic_ncols=True)
    unit = localizer.map.unit
    return MapQuality([inspect_view(localizer, number) for number in numbers], tolerance, unit)


def inspect_view(localizer: Localizer, number: int) -> ViewQuality:
    """Inspect one view and localize it from the others."""
    view = localizer.map.view(number)
    neighbour, distance_m, angle_deg = nearest_other(
        localizer.map, number, localizer.config.retrieval.meters_per_radian
    )
    return ViewQuality(
        view.name,
        view.cam_from_world.inverse(),
        reprojection_errors_px(view),
        view.lifted.confidence,
        localize_view(localizer, number).outcome,
        neighbour,
        distance_m,
        angle_deg,
        session := localizer.map.records[number].session,
        localize_from_other_sessions(localizer, number, session),
    )


def localize_from_other_sessions(localizer: Localizer, number: int, session: str) -> QueryOutcome | None:
    """Localize one view from those of other sessions; None if there are none."""
    if len(localizer.map.sessions) < 2:
        return None
    return localize_view(localizer, number, frozenset(localizer.map.list_views_of(session))).outcome


def nearest_other(reference_map: Map, number: int, meters_per_radian: float) -> tuple[str, float, float]:
    """Return the name of the nearest other view, its distance [m] and angle between axes [deg]; NaN without one."""
    centres, axes = reference_map.centres, reference_map.axes
    prior = Prior(reference_map.records[number].cam_from_world)
    near = nearest_by_pose(centres, axes, prior, 2, meters_per_radian)
    others = [int(other) for other in near if other != number]
    if not others:
        return "", np.nan, np.nan
    angle = np.arccos(np.clip(axes[number] @ axes[others[0]], -1, 1))
    distance_m = float(np.linalg.norm(centres[number] - centres[others[0]]))
    return reference_map.records[others[0]].name, distance_m, float(np.rad2deg(angle))


def explain_outcome(view: ViewQuality, unit: Unit) -> str:
    """Describe the outcome of a view briefly."""
    result = view.outcome.result
    if isinstance(result, Lost):
        return f"no pose: {result.reason.value}"
    return f"off by {unit.format_error(view.outcome.translation_m, 1)} and {view.outcome.rotation_deg:.1f} deg"
