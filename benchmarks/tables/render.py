"""Render what commands wrote as Markdown. Each function takes the results of a table's commands, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from deviloc_ros.config import LiftConfig
from deviloc_ros.evaluation import covariance as nees
from deviloc_ros.evaluation.summary_table import (
    WITHOUT_TIMES,
    align_table,
    format_median,
    format_summaries,
    summary_cells,
)
from deviloc_ros.status import explain_word

Summary = dict[str, Any]
RECALLS = ("1cm_1deg", "2cm_2deg", "5cm_5deg")
KEYPOINTS = (512, 1024, 2048)
COSTS = (  # what a query's time is measured against: its name, and values with what a command is told
    ("references", tuple((count, f"kitchen-36 --references {count}") for count in (1, 2, 3, 5, 8))),
    ("keypoints", tuple((n, f"kitchen-36 --set matcher.max_keypoints={n}") for n in (*KEYPOINTS, 4096))),
    ("long side [px]", tuple((px, f"kitchen-36 --set matcher.max_image_side_px={px}") for px in (320, 480, 640))),
    ("views of the map", tuple((views, f"kitchen-{apart}") for views, apart in ((9, 72), (17, 36), (50, 12)))),
)
AIMS = (  # that we set ourselves: protocol, figure, aim, whether more is better
    ("kitchen-12", "1cm_1deg", 0.98),
    ("kitchen-12", "median", 0.28),
    ("kitchen-36", "1cm_1deg", 0.97),
    ("kitchen-36", "median", 0.32),
    ("kitchen-72", "1cm_1deg", 0.75),
    ("kitchen-72", "2cm_2deg", 0.96),
)


def all_summaries(results: Iterable[Any]) -> Iterator[Summary]:
    """Yield the summaries of all commands: one that measured a single thing wrote no list."""
    for result in results:
        yield from result if isinstance(result, list) else [result]


def render_summaries(results: list[Any]) -> str:
    """Render a line for each summary."""
    return format_summaries(all_summaries(results))


def render_without_times(results: list[Any]) -> str:
    """Render summaries of remembered matches, whose times say nothing."""
    return format_summaries(all_summaries(results), WITHOUT_TIMES)


def render_retrieval(results: list[Any]) -> str:
    """Render a line for each, with how many queries that some view overlaps with had such a reference."""
    rows = [(*summary_cells(summary)[: len(WITHOUT_TIMES)], share_found(summary)) for summary in all_summaries(results)]
    return align_table((*WITHOUT_TIMES, "reference overlaps"), rows)


def share_found(summary: Summary) -> str:
    """Return how often a run that chose its references itself found one that overlaps."""
    return f"{summary['overlap_recall']:.2f} of {summary['with_overlap']}" if "overlap_recall" in summary else ""


def select_default_lift(results: list[Any]) -> list[Summary]:
    """Return the summaries that were made as users' maps are."""
    return [summary for summary in all_summaries(results) if summary["lift"] == LiftConfig().method]


def render_covariance(results: list[Any]) -> str:
    """Render the NEES with the default lift."""
    return nees.format_table(nees.collect_nees(select_default_lift(results)))


def render_all_covariances(results: list[Any]) -> str:
    """Render the NEES of every summary."""
    return nees.format_table(nees.collect_nees(all_summaries(results)))


def render_landmarks(results: list[Any]) -> str:
    """Render a line for each protocol, matcher and kind of keypoints that landmarks came from: one kind a command."""
    rows = sorted(all_summaries(results), key=lambda s: (s["protocol"], s["matcher"]))
    lines = [(s["protocol"], s["matcher"], s["landmark_source"], *fixes_and_accuracy(s)) for s in rows]
    return align_table(
        ("protocol", "matcher", "landmarks", "localized", "wrong", "median", *recall_titles(RECALLS)), lines
    )


def render_uncertain_depths(results: list[Any]) -> str:
    """Render the same queries, depths taken as certain (first command) and as their confidence says (second)."""
    both = zip(*(list(all_summaries([result])) for result in results), strict=True)
    lines = [(pair[0]["protocol"], pair[0]["lift"], *(", ".join(fixes_and_accuracy(s)) for s in pair)) for pair in both]
    return align_table(("protocol", "lift", "certain", "uncertain"), lines)


def render_keypoints(results: list[Any]) -> str:
    """Render a line for each protocol, matcher and number of keypoints, of which each command has one."""
    counted = [(s, n) for n, result in zip(KEYPOINTS, results, strict=True) for s in all_summaries([result])]
    counted.sort(key=lambda one: (one[0]["protocol"], one[0]["matcher"]))
    lines = [
        (s["protocol"], s["matcher"], str(n), *fixes_and_accuracy(s), f"{s['latency_ms']['p50']:.0f}")
        for s, n in counted
    ]
    head = ("protocol", "matcher", "keypoints", "localized", "wrong", "median", *recall_titles(RECALLS), "ms p50")
    return align_table(head, lines)


def cost_cells(results: list[Any]) -> list[tuple[str, int, list[Summary]]]:
    """Return for each of COSTS and each of its values the summaries of its command, of which each search has one."""
    asked = [(name, value) for name, values in COSTS for value, _ in values]
    return [(*one, list(all_summaries([result]))) for one, result in zip(asked, results, strict=True)]


def render_costs(results: list[Any]) -> str:
    """Render a line for each value: what a query takes with a prior and without, and how exact the pose is."""
    lines = []
    for name, value, summaries in cost_cells(results):
        times = [f"{s['latency_ms']['p50']:.0f} ({s['latency_ms']['p95']:.0f})" for s in summaries]
        lines.append((name, str(value), *times, *(", ".join(fixes_and_accuracy(s)[:-1]) for s in summaries)))
    ways = [s["retrieval"] for s in cost_cells(results)[0][2]]
    titles = ("localized, wrong, median, 1cm 1deg, 2cm 2deg",) * len(ways)
    head = [f"{way}: {title}" for title, way in zip((*("ms (95 %)",) * len(ways), *titles), ways * 2, strict=True)]
    return align_table(("of", "", *head), lines)


def fixes_and_accuracy(summary: Summary) -> tuple[str, ...]:
    """Return how many were localized and how many of these wrongly, median error [cm] and recalls."""
    return f"{summary['localized']} / {summary['queries']}", str(summary["wrong_fixes"]), *format_accuracy(summary)


def format_accuracy(summary: Summary) -> tuple[str, ...]:
    """Return median error [cm] and recalls."""
    return format_median(summary), *(f"{summary['recall'][name]:.2f}" for name in RECALLS)


def recall_titles(recalls: Iterable[str]) -> list[str]:
    """Return names of recalls as they head a column."""
    return [name.replace("_", " ") for name in recalls]


def render_aims(results: list[Any]) -> str:
    """Render what we want of the default lift, and what it does."""
    measured = {summary["protocol"]: summary for summary in select_default_lift(results)}
    lines = []
    for protocol, figure, aim in AIMS:
        summary = measured[protocol]
        if figure == "median":
            met = summary["median_translation_m"] * 100 <= aim
            cells = ("median error", f"{aim:.2f} cm or less", format_median(summary), met)
        else:
            value = summary["recall"][figure]
            cells = (*recall_titles([figure]), f"{aim:.2f} or more", f"{value:.2f}", value >= aim)
        lines.append((protocol, summary["matcher"], *cells[:3], "yes" if cells[3] else "no"))
    return align_table(("protocol", "matcher", "figure", "aim", "measured", "met"), lines)


def render_robustness(results: list[Any]) -> str:
    """Render a line for each disturbance, a column for each lift: median and recalls."""
    cells: dict[str, dict[str, str]] = {}
    for summary in all_summaries(results):
        lift, disturbance = summary["lift"].split(", ", 1)
        cells.setdefault(disturbance, {})[lift] = ", ".join(format_accuracy(summary))
    lifts = list(next(iter(cells.values())))
    lines = [(disturbance, *(row[lift] for lift in lifts)) for disturbance, row in cells.items()]
    return align_table(("disturbance", *lifts), lines)


def render_holdout(results: list[Any]) -> str:
    """Render median relative depth error and share within 2 %, the network beside interpolation."""
    lines = []
    for cell in results[0]["cells"]:
        pin, nearest = cell["pin"], cell["interpolation"]
        fewer, fewer_sure = (
            1 - (1 - pin[name]) / (1 - nearest[name]) for name in ("within_2pct", "within_2pct_sure_truth")
        )
        lines.append(
            (
                f"{cell['scene']}, {cell['landmarks']}",
                *(f"{one['median']:.4f} / {one['within_2pct']:.3f}" for one in (nearest, pin)),
                f"{fewer:.0%}",
                f"{fewer_sure:.0%}",
                f"{pin['within_2pct_confident_half']:.3f}",
                f"{pin['calibration_error']:.3f}",
            )
        )
    head = ("scene, given landmarks", "4-NN interpolation", "PIN", "fewer misses", "where the truth is sure")
    return align_table((*head, "PIN, more confident half", "calibration error"), lines)


def render_retrieval_speed(results: list[Any]) -> str:
    """Render a line for each number of views."""
    head = (
        "views", "dimensions", "descriptors", "index", "built in", "memory", "opened in", "query p50", "query p95",
        "recall@10",
    )  # fmt: skip
    body = [
        (
            str(one["views"]),
            str(one["dimensions"]),
            f"{one['descriptors_gb']:.2f} GB",
            f"{one['index_mb']:.0f} MB",
            f"{one['build_s']:.0f} s",
            f"{one['peak_gb']:.1f} GB",
            f"{one['open_s']:.2f} s",
            f"{one['ms_p50']:.1f} ms",
            f"{one['ms_p95']:.1f} ms",
            f"{one['recall_at_10']:.3f}",
        )
        for one in results
    ]
    return align_table(head, body)


def render_unknown_places(results: list[Any]) -> str:
    """Render what became of images of other places and of the map's own, and how far their evidence reaches."""
    lines = []
    for one in results[0]:
        outcomes = ", ".join(f"{explain_word(name)}: {count}" for name, count in one["outcomes"].items())
        spans = ["{:g} to {:g}".format(*one["inliers"])]
        spans += ["{:.3f} to {:.3f}".format(*one[name]) for name in ("inlier_ratio", "coverage")]
        lines.append((one["images"], str(one["queries"]), outcomes, *spans))
    return align_table(("images of", "queries", "outcome", "inliers", "inlier ratio", "coverage"), lines)


def render_wrong_focal_lengths(results: list[Any]) -> str:
    """Render a line for each protocol and focal length: poses without the check of it, and with it."""
    lines = []
    for one in results[0]:
        without, given = one["unchecked"], one["checked"]
        fitted = "{1:.3f} ({0:.3f} to {2:.3f})".format(*one["fitted"]) if one["fitted"] else ""
        lines.append(
            (
                one["protocol"],
                f"{one['factor']:.2f}",
                f"{without['localized']} / {one['queries']}",
                str(without["wrong"]),
                *(f"{100 * m:.1f} cm" if (m := without[name]) else "" for name in ("median_error_m", "median_std_m")),
                str(given["localized"]),
                str(given["wrong"]),
                str(one["miscalibrated"]),
                fitted,
            )
        )
    head = ("protocol", "focal length", "unchecked", "wrong", "median error", "claimed", "checked", "wrong")
    return align_table((*head, "withheld for it", "what fits (5 to 95 %)"), lines)


def render_offsets(results: list[Any]) -> str:
    """Render the median error of the matched pixel by variant, each adding one correction."""
    motions = ("all", "not moved", "turned by 3 deg", "8 % larger", "shifted by 6.4, -3.7 px")
    lines = [(one["variant"], *(f"{px:.2f}" for px in (one["median_px"], *one["by_motion"]))) for one in results[0]]
    return align_table(("median error of the matched pixel [px]", *motions), lines)


def render_map_sources(results: list[Any]) -> str:
    """Render a line for each source of a map: accuracy of the queries on it, and what it took to build."""
    lines = []
    for one in results[0]:
        views = one["map"]["views"]
        spent = (f"{one['cpu_s'] / views:.1f}", f"{one['peak_gb']:.2f} GB") if "cpu_s" in one else ("", "")
        localized = f"{one['localized']} / {one['queries']}"
        lines.append((one["source"], localized, str(one["wrong_fixes"]), *format_accuracy(one), *spent))
    head = ("map from", "localized", "wrong", "median", *recall_titles(RECALLS), "CPU s a view", "peak memory")
    return align_table(head, lines)
