"""Draw figures of a map's quality."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from deviloc_ros.evaluation.maps.quality import MapQuality, ViewQuality
from deviloc_ros.evaluation.report.figures import (
    COLORS,
    SMALLEST,
    add_legend,
    new_figure,
    plot_share_at_most,
    set_plain_log,
)
from deviloc_ros.evaluation.report.trajectories import MapOutline, draw_ground_plan, draw_views

GOOD, OFF, LOST = "#1e7d4f", "#e08e1a", "#c0392b"
MOST_NUMBERS = 15  # hard places that are numbered; more would cover the plan


def group_by_verdict(quality: MapQuality) -> list[tuple[str, str, list[ViewQuality]]]:
    """Return name, colour and views of each verdict that occurs."""
    within = f"within {quality.bound}, {quality.tolerance.rotation_deg:g} deg"
    hard = quality.hard
    groups = [
        (within, GOOD, [view for view in quality.views if not quality.is_hard(view)]),
        ("farther off", OFF, [view for view in hard if view.outcome.localized]),
        ("no pose", LOST, [view for view in hard if not view.outcome.localized]),
    ]
    return [(f"{name} ({len(views)})", color, views) for name, color, views in groups if views]


def draw_coverage(quality: MapQuality, around: MapOutline) -> Figure:
    """Draw views from above, coloured by verdict; hard ones are numbered as in the list."""
    figure, axes, plane = draw_ground_plan(around)
    for name, color, views in group_by_verdict(quality):
        draw_views(axes, [view.map_from_cam for view in views], plane, color, name)
    for number, view in enumerate(quality.hard[:MOST_NUMBERS], 1):
        x, y = view.map_from_cam.translation[list(plane)]
        axes.annotate(
            str(number), (x, y), xytext=(4, 4), textcoords="offset points", fontsize=8, fontweight="bold", color=LOST
        )
    add_legend(axes)
    return figure


def draw_position_errors(quality: MapQuality) -> Figure:
    """Draw the share of all views over the position error; lost ones count as infinite."""
    figure, (axes,) = new_figure()
    scale = quality.unit.fine_per_unit
    errors = [max(scale * view.outcome.translation_m, SMALLEST) for view in quality.localized]
    plot_share_at_most(axes, errors, len(quality.views), COLORS[0])
    axes.axvline(scale * quality.tolerance.translation_m, color="#555555", linestyle=":", linewidth=1)
    set_plain_log(axes, "x")
    axes.set_ylim(0, 1.03)
    axes.set_xlabel(f"position error at most [{quality.unit.fine_symbol}]")
    axes.set_ylabel("share of views")
    return figure


def draw_inliers_by_distance(quality: MapQuality, needed: int) -> Figure:
    """Draw the inliers of each view over the distance of its nearest neighbour."""
    figure, (axes,) = new_figure()
    for name, color, views in group_by_verdict(quality):
        distances_m = [view.distance_m for view in views]
        axes.plot(distances_m, [view.inliers for view in views], ".", color=color, label=name)
    axes.axhline(needed, color="#c0392b", linestyle=":", linewidth=1)
    axes.text(1, needed, f"at least {needed} are needed", transform=axes.get_yaxis_transform(), fontsize=7,
              ha="right", va="bottom")  # fmt: skip
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"distance to the nearest other view [{quality.unit.symbol}]")
    axes.set_ylabel("inliers")
    add_legend(axes)
    return figure


def draw_landmarks_per_view(quality: MapQuality) -> Figure:
    """Draw a histogram of landmarks per view."""
    figure, (axes,) = new_figure()
    axes.hist([view.landmarks for view in quality.views], bins=20, color=COLORS[0])
    axes.set_xlim(left=0)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("landmarks that a view observes")
    axes.set_ylabel("views")
    return figure


def draw_reprojection_errors(quality: MapQuality) -> Figure:
    """Draw the share of landmark observations over the reprojection error."""
    figure, (axes,) = new_figure()
    errors = np.concatenate([view.reprojection_px for view in quality.views])
    errors = errors[np.isfinite(errors)]
    plot_share_at_most(axes, errors.tolist(), len(errors), COLORS[0])
    axes.set_xlim(0, max(float(np.percentile(errors, 99)), 0.1) if len(errors) else 1)
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("reprojection error at most [px]")
    axes.set_ylabel("share of observations")
    return figure


def draw_confidences(quality: MapQuality, least: float) -> Figure:
    """Draw the distribution of the keypoints' confidences."""
    figure, (axes,) = new_figure()
    values = np.concatenate([view.confidence for view in quality.views])
    shares = np.full(len(values), 1 / max(len(values), 1))
    axes.hist(values, bins=20, range=(0, 1), weights=shares, color=COLORS[0])
    axes.axvline(least, color="#c0392b", linestyle=":", linewidth=1)
    axes.text(least, 1, " used from here on", transform=axes.get_xaxis_transform(), fontsize=7, va="top")
    axes.set_xlim(0, 1)
    axes.set_xlabel("confidence of the 3D point, 0: none")
    axes.set_ylabel("share of keypoints")
    return figure
