"""Make the page about a map: what it covers, and where localizing will be hard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from deviloc_ros.evaluation.maps import figures as figures
from deviloc_ros.evaluation.maps.quality import MapQuality, ViewQuality, explain_outcome
from deviloc_ros.evaluation.metrics import QueryOutcome, median_errors
from deviloc_ros.evaluation.recordings.headline import NOTHING, format_length
from deviloc_ros.evaluation.report.html import fill_page, make_cards, make_paragraph, make_section, make_table
from deviloc_ros.evaluation.report.trajectories import outline_map
from deviloc_ros.evaluation.versions import collect_versions
from deviloc_ros.io.units import Unit
from deviloc_ros.localizer import Localizer
from deviloc_ros.maps.inspect import describe_map
from deviloc_ros.maps.look_alikes import LookAlikes
from deviloc_ros.maps.provenance import ARBITRARY_SCALE
from deviloc_ros.maps.store import Map

HOW = (
    "A map is tried on itself: each view is taken out and localized from the others, with its own pose as the truth. "
    "That shows where views support each other and where one stands alone. Images taken from elsewhere, or in other "
    "light, are not tried; evaluate-bag does that."
)
COVERAGE = "Arrows are views and the way they look, grey dots are landmarks. Where neither is, the map knows nothing."
NUMBERS = "From above. The numbers are those of the list below."
HARD = (
    "Views that the others do not localize well: a robot that looks the same way here will have a hard time. More "
    "images between such a view and its neighbour help (update-map)."
)
ALIKE = (
    "An image of the one place fits the other as well. A robot that does not know where it is waits here until it sees "
    "what tells them apart, or is told its pose (initialpose). Something of its own in each of them helps."
)
SESSIONS = (
    "Views were taken in several sessions, as by day and by night. Where the others localize a session's views well, "
    "the map would do without it; where they do not, it is needed, and light that no session shows would be hard, too."
)
MUTUAL = "Views without a pose count as misses. The dotted line is the error up to which a view counts as localized."
LANDMARKS = (
    "Landmarks are points triangulated from several views; the 3D points of all keypoints come from them. Few "
    "landmarks in a view, or large errors, mean little texture, blur, or wrong poses."
)
CONFIDENCE = (
    "Each keypoint of a view has a 3D point and the probability that its depth is right within 2 %. Points of low "
    "confidence are not used."
)
MOST_LISTED = figures.MOST_NUMBERS


def make_map_report(
    localizer: Localizer, quality: MapQuality, problems: Sequence[str], look_alikes: Sequence[LookAlikes]
) -> str:
    """Make the page about one map; `problems` are the findings of `map check`."""
    introduction = make_paragraph(map_verdict(quality), "verdict") + make_paragraph(HOW, "soft")
    if quality.unit is Unit.ARBITRARY:
        introduction += make_paragraph(f"Scale: {ARBITRARY_SCALE}.")
    config = localizer.config
    least = config.aggregation.min_confidence
    plan = NUMBERS if quality.hard else "From above.", figures.draw_coverage(quality, outline_map(localizer.map))
    body = [
        make_cards(map_headline(localizer.map, quality)),
        make_section("What it covers", COVERAGE, [plan]),
        list_hard_places(quality),
        list_look_alikes(look_alikes),
        list_sessions(quality),
        make_section("Each view from the others", MUTUAL, [
            ("Share of views whose position was found within an error.", figures.draw_position_errors(quality)),
            ("How many matches agree with the pose, by how far the nearest other view is.",
             figures.draw_inliers_by_distance(quality, config.pose.min_inliers)),
        ]),
        make_section("Landmarks", LANDMARKS, [
            (name_poorest(quality), figures.draw_landmarks_per_view(quality)),
            ("How far landmarks project from where they were seen.", figures.draw_reprojection_errors(quality)),
        ]),
        make_section("3D points of the keypoints", CONFIDENCE, [
            (f"Lifting method {config.lift.method}.", figures.draw_confidences(quality, least)),
        ]),
        make_size_and_time(localizer.map, quality),
    ]  # fmt: skip
    return fill_page(f"Map {localizer.map.name}", introduction, body, make_map_details(localizer.map, problems))


def map_verdict(quality: MapQuality) -> str:
    """Summarize the map's quality in words."""
    count, hard = len(quality.views), len(quality.hard)
    if count == 1:
        return "The map has one view alone, so there is nothing to try it on."
    within = f"within {quality.bound} and {quality.tolerance.rotation_deg:g} degrees"
    if not hard:
        return f"Each of the {count} views is localized from the others {within}."
    return f"{count - hard} of {count} views are localized from the others {within}; {hard} are not."


def map_headline(reference_map: Map, quality: MapQuality) -> Iterator[tuple[str, str, str]]:
    """Yield name, value and kind of the headline figures."""
    views = quality.views
    wrong = sum(view.outcome.is_wrong_fix for view in views)
    well = len(views) - len(quality.hard)
    yield "localized from the others", f"{well} of {len(views)} views ({well / len(views):.0%})", ""
    yield "hard places", str(len(quality.hard)), "bad" if quality.hard else "good"
    yield "wrong poses", str(wrong), "bad" if wrong else "good"
    position_m, rotation_deg = median_errors([view.outcome for view in views])
    yield (
        "median error",
        f"{format_length(position_m, quality.unit)}, {rotation_deg:.2f} deg" if np.isfinite(position_m) else NOTHING,
        "",
    )
    yield "landmarks per view", f"{np.median([view.landmarks for view in views]):.0f} (median)", ""
    errors = np.concatenate([view.reprojection_px for view in views])
    yield "reprojection error", f"{np.median(errors):.2f} px (median)" if len(errors) else NOTHING, ""
    lifted = np.concatenate([view.confidence for view in views]) > 0
    yield "keypoints with a 3D point", f"{lifted.mean():.0%}" if len(lifted) else NOTHING, ""
    yield "size", f"{reference_map.size_bytes / 1e6:.1f} MB", ""


def list_hard_places(quality: MapQuality) -> str:
    """Make the list of hard places, to which the numbers on the plan refer."""
    heading = "<h2>Places that will be hard</h2>"
    if not quality.hard:
        return heading + make_paragraph("None: the others localize each view.")
    rows = [(str(number), describe_hard_place(view, quality.unit)) for number, view in enumerate(quality.hard, 1)]
    more = len(rows) - MOST_LISTED
    note = make_paragraph(f"And {more} more.", "soft") if more > 0 else ""
    return heading + make_paragraph(HARD) + make_table(("no.", "view"), rows[:MOST_LISTED]) + note


def describe_hard_place(view: ViewQuality, unit: Unit) -> str:
    """Describe a hard view: its name, outcome, position and nearest neighbour."""
    where = ", ".join(f"{value:.2f}" for value in view.map_from_cam.translation)
    beside = "There is no other view."
    if view.neighbour:
        turned = f"turned by {view.angle_deg:.0f} deg"
        beside = f"The nearest other view, {view.neighbour}, is {unit.format(view.distance_m)} away and {turned}."
    return (
        f"{view.name}: {explain_outcome(view, unit)}, {view.inliers} inliers. It is at {where} {unit.symbol}. {beside}"
    )


def list_look_alikes(look_alikes: Sequence[LookAlikes]) -> str:
    """Make the list of places that look alike."""
    heading = "<h2>Places that look alike</h2>"
    if not look_alikes:
        return heading + make_paragraph("None: no view fits where another place is seen.")
    rows = [
        (f"{pair.view} and {pair.other}", pair.unit.format(pair.apart_m), str(pair.agreeing)) for pair in look_alikes
    ]
    return heading + make_paragraph(ALIKE) + make_table(("views", "apart", "keypoints that agree"), rows[:MOST_LISTED])


def list_sessions(quality: MapQuality) -> str:
    """Tabulate how well views of each session are localized; empty for a single session."""
    by_session: dict[str, list[ViewQuality]] = {}
    for view in quality.views:
        by_session.setdefault(view.session, []).append(view)
    if len(by_session) < 2:
        return ""

    def count_localized(outcomes: Sequence[QueryOutcome | None]) -> str:
        well = sum(outcome is not None and quality.tolerance.holds(outcome) for outcome in outcomes)
        return f"{well} of {len(outcomes)} ({well / len(outcomes):.0%})"

    rows = [
        (
            session or "without a name",
            count_localized([view.outcome for view in views]),
            count_localized([view.from_others for view in views]),
        )
        for session, views in by_session.items()
    ]
    heads = ("session", "localized from all others", "from views of other sessions alone")
    return "<h2>Sessions</h2>" + make_paragraph(SESSIONS) + make_table(heads, rows)


def name_poorest(quality: MapQuality) -> str:
    """Name the views that observe fewest landmarks."""
    poorest = sorted(quality.views, key=lambda view: view.landmarks)[:3]
    return "Fewest: " + ", ".join(f"{view.name} ({view.landmarks})" for view in poorest) + "."


def make_size_and_time(reference_map: Map, quality: MapQuality) -> str:
    """Tabulate the size of the map, and the milliseconds of each stage of localizing its views."""
    count = len(quality.views)
    rows = [
        (
            f"{reference_map.size_bytes / 1e6:.1f} MB",
            f"the map, {reference_map.size_bytes / 1e6 / count:.2f} MB a view",
        ),
    ]
    for stage in dict.fromkeys(stage for view in quality.views for stage in view.stages_ms):
        times = [view.stages_ms[stage] for view in quality.views if stage in view.stages_ms]
        rows.append((f"{np.median(times):.1f} ms", f"{stage}: median of a query on this machine"))
    note = make_paragraph("Features of an image come on top; a map stores those of its views.", "soft")
    return "<h2>Size and time</h2>" + make_table(("figure", "of"), rows) + note


def make_map_details(reference_map: Map, problems: Sequence[str]) -> str:
    """List the map's properties, and problems with its files."""
    found = "; ".join(problems) or "nothing wrong"
    made = ", ".join(f"{name} {value}" for name, value in collect_versions().items())
    return make_paragraph(f"Files checked: {found}. {made}.", "soft") + make_table(
        ("value", "of the map"), [(value, name) for name, value in describe_map(reference_map)]
    )
