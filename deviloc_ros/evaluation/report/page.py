"""Assemble the page: the headline, then the most important figures, then the details."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from html import escape

from deviloc_ros.evaluation.metrics import WRONG_FIX_DEG, WRONG_FIX_M
from deviloc_ros.evaluation.recordings.headline import make_headline, make_remarks
from deviloc_ros.evaluation.recordings.run_folder import Run
from deviloc_ros.evaluation.report import figures, space, trajectories
from deviloc_ros.evaluation.report.gallery import Picture
from deviloc_ros.evaluation.report.html import (
    FigurePart,
    Section,
    fill_page,
    make_cards,
    make_paragraph,
    make_section,
    make_table,
)
from deviloc_ros.status import explain_word

HOW_FAR_OFF = "Errors of the poses that were given. Images without a pose count as misses in the shares."
INLIERS = "Inliers are the matches that agree with the pose. Many, spread over the image: a firm pose."
LATENCY = "Measured on this machine, with whatever else it did."
ERROR_FIGURES = (
    (
        "Errors over time, on logarithmic scales. Shaded: no pose was given, for the reason named.",
        figures.draw_errors_over_time,
    ),
    (
        "Share of images whose position was within an error. The curve ends at the share that got a pose.",
        figures.draw_cumulative_errors,
    ),
    (
        "Recall: share of images within t cm and t degrees at once. Dots: the usual thresholds 1 cm 1 deg, 2 cm 2 deg, "
        "5 cm 5 deg and 10 cm 5 deg.",
        figures.draw_recall,
    ),
    (
        "Do the errors fit the covariances given with the poses? Left of the dashed curve the poses are better than "
        "they claim, right of it worse.",
        figures.draw_consistency,
    ),
)
LATENCY_FIGURES = (
    ("Share of images that took at most so long.", figures.draw_latency_distribution),
    ("Stage by stage.", figures.draw_latency_by_stage),
)


def make_report(
    run: Run, around: trajectories.MapOutline | Mapping[str, trajectories.MapOutline], pictures: Iterable[Picture]
) -> str:
    """Make the page of one run.

    Args:
        around: what is drawn of the map; of several, of each by its name.
    """
    summary = run.summary
    title = f"Localization of {summary['bag']} in {summary['map']['name']}"
    introduction = make_paragraph(run_verdict(run), "verdict") + make_paragraph(describe_circumstances(run), "soft")
    body = [
        make_cards((name, value, card_kind(run, name)) for name, value in make_headline(run)),
        *(make_section(*part) for part in show_places_by_map(run, around)),
        *(make_section(*part) for part in make_sections([run])),
        make_outcome_table(run),
        make_node_table(run),
        make_gallery_section(pictures),
    ]
    return fill_page(title, introduction, body, make_details(run))


def make_comparison(runs: Sequence[Run], around: trajectories.MapOutline = trajectories.NOWHERE) -> str:
    """Make the page of several runs, side by side."""
    title = "Comparison of " + ", ".join(run.name for run in runs)
    introduction = make_paragraph("Each run has its colour in all figures. Lost images count as misses.", "soft")
    parts = [show_places(runs, around), *make_sections(runs)]
    body = [make_headline_table(runs), *(make_section(*part) for part in parts)]
    return fill_page(title, introduction, body, "".join(make_details(run) for run in runs))


def run_verdict(run: Run) -> str:
    """Summarize the run in two sentences."""
    summary = run.summary
    first = f"{summary['localized']} of {summary['tried']} images that were tried got a pose."
    match summary["wrong_fixes"]:
        case None:
            return f"{first} There is no ground truth, so nothing is said about how good the poses are."
        case 0:
            return f"{first} None of these poses was wrong."
        case count:
            return f"{first} {count} of these poses {'was' if count == 1 else 'were'} wrong."


def describe_circumstances(run: Run) -> str:
    """Say on what the figures were measured."""
    s = run.summary
    return (
        f"Mode: {s['mode']}; {s['sampling']}. Ground truth: {s['ground_truth']}. Alignment: {s['alignment']}. "
        f"A pose is wrong if it is off by more than {WRONG_FIX_M} m or {WRONG_FIX_DEG:.0f} degrees."
    )


def card_kind(run: Run, name: str) -> str:
    """Return the kind of a card, bad if there are wrong fixes."""
    wrong_fixes = run.summary["wrong_fixes"]
    return "" if name != "wrong fixes" or wrong_fixes is None else "bad" if wrong_fixes else "good"


def show_places(runs: Sequence[Run], around: trajectories.MapOutline, title: str = "Where it was") -> Section:
    """Return the poses over the map, from above and in space."""
    return (
        title,
        "Dots are the poses that were given, the line is the true path, grey the map.",
        [
            ("From above.", trajectories.draw_top_view(runs, around)),
            FigurePart("In space.", trajectories.draw_in_space(runs, around), space.make_scene(runs, around)),
        ],
    )


def show_places_by_map(
    run: Run, around: trajectories.MapOutline | Mapping[str, trajectories.MapOutline]
) -> Iterable[Section]:
    """Yield the poses over their map, of each map by itself: their frames have nothing in common."""
    if isinstance(around, trajectories.MapOutline):
        yield show_places([run], around)
        return
    for name, outline in around.items():
        there = [frame for frame in run.frames if frame.estimate.map_name == name]
        yield show_places([replace(run, frames=there)], outline, f"Where it was in map {name}")


def make_sections(runs: Sequence[Run]) -> Iterable[Section]:
    """Yield all other figures, with a word on how to read them. Without a truth, those that need one are left out."""
    if any(run.summary["with_ground_truth"] for run in runs):
        yield "How far off", HOW_FAR_OFF, [(caption, draw(runs)) for caption, draw in ERROR_FIGURES]
    if any(f.estimate.inliers for run in runs for f in run.frames):
        yield "On what the poses rest", INLIERS, [("Inliers over time.", figures.draw_inliers(runs))]
    if any(run.latency for run in runs):
        yield "How long it took", LATENCY, [(caption, draw(runs)) for caption, draw in LATENCY_FIGURES]


def make_outcome_table(run: Run) -> str:
    """Tabulate what became of the images."""
    counts = run.summary["outcomes"]
    rows = [(str(count), explain_word(s)) for s, count in counts.items()]
    rows.sort(key=lambda row: -int(row[0]))
    found = "<h2>What became of the images</h2>" + make_table(("images", "outcome"), rows)
    said = make_remarks(run)
    return found + (make_table(("remark", ""), said) if said else "")


def make_node_table(run: Run) -> str:
    """Tabulate what the node said of itself, and how its transform arrived; nothing for an offline run."""
    if "node" not in run.summary:
        return ""
    rows = [(str(count), name.replace("_", " ").replace(".", ": ")) for name, count in run.summary["node"].items()]
    rows += [(f"{v:.3g}", f"map->odom: {name}") for name, v in (run.summary["map_to_odom"] or {}).items()]
    return "<h2>What the node and its transform did</h2>" + make_table(("figure", "of"), rows)


def make_headline_table(runs: Sequence[Run]) -> str:
    """Tabulate the runs' headlines as columns."""
    names = list(dict.fromkeys(name for run in runs for name, _ in make_headline(run)))
    columns = [dict(make_headline(run)) for run in runs]
    rows = [(name, *(column.get(name, "") for column in columns)) for name in names]
    keys = [f'<span class="key" style="background:{color}"></span>' for _, color in figures.assign_colors(runs)]
    head = "".join(f"<th>{key}{escape(run.name)}</th>" for key, run in zip(keys, runs, strict=True))
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><tr><th></th>{head}</tr>{lines}</table></div>'


def make_gallery_section(pictures: Iterable[Picture]) -> str:
    """Make the section of the worst images; nothing if there are none."""
    items = [
        f'<figure><img src="{p.uri}" alt="{escape(p.title)}"><figcaption><b>{escape(p.title)}</b><br>{escape(p.text)}'
        "</figcaption></figure>"
        for p in pictures
    ]
    if not items:
        return ""
    explanation = (
        "The largest errors, and images without a pose. On the left the image, on the right the keypoints of the "
        "reference view that helped most (a map holds no pictures). Green lines join matches that agree with the pose, "
        "red ones do not."
    )
    return f'<h2>The worst images</h2>{make_paragraph(explanation)}<div class="gallery">{"".join(items)}</div>'


def make_details(run: Run) -> str:
    """List everything that was set, folded away."""
    s = run.summary
    made = ", ".join(f"{name} {value}" for name, value in s["versions"].items())
    maps = s["map"].get("maps", [s["map"]])
    places = " ".join(f"Map {m['name']}: {m['views']} views, identity {m['identity'][:12]}." for m in maps)
    settings = escape(json.dumps(s["parameters"], indent=1))
    return (
        make_paragraph(f"{run.name}. {places} {made}.", "soft")
        + f"<details><summary>Parameters of {escape(run.name)}</summary><pre>{settings}</pre></details>"
    )
