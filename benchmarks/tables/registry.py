"""Register which table of docs/ is made by which commands. To add one: an entry here, and two markers in a page.

A command is one of this package that takes `--json FILE`. `{data}` becomes `--data DIR`, `{data:7scenes}` the folder of
that name in it, and `{every}` becomes `--every N` where a quick look is asked for. Tables that name the same command
share one run of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.tables import draw as pictures
from benchmarks.tables import render
from deviloc_ros.config import LANDMARK_SOURCES

XFEAT = "evaluate all {data} {every} --matchers xfeat --lifts landmarks-only interpolate pin"
LIGHTERGLUE = (
    "evaluate kitchen-12 kitchen-36 kitchen-72 {data} {every} --matchers xfeat-lighterglue "
    "--lifts landmarks-only interpolate pin --remember-matches"
)
CALIBRATION = (
    "evaluate kitchen-back-8 kitchen-back-24 kitchen-back-72 {data} {every} --matchers xfeat --lift interpolate",
    "evaluate kitchen-back-24 {data} {every} --matchers xfeat-lighterglue --lift interpolate",
)
UNCERTAIN_DEPTHS = (
    "evaluate kitchen-back-24 kitchen-back-72 kitchen-12 kitchen-36 kitchen-72 drive-even drive-sparse {data} {every} "
    "--matchers xfeat --lift pin"
)
KEYPOINTS = (
    "evaluate kitchen-back-24 kitchen-back-72 {{data}} {{every}} --matchers xfeat xfeat-lighterglue "
    "--set matcher.max_keypoints={}"
)
LANDMARKS = (
    "evaluate kitchen-back-24 kitchen-back-72 kitchen-36 kitchen-72 {{data}} {{every}} "
    "--matchers xfeat xfeat-lighterglue --landmark-source {}"
)
DEPTH = (
    "evaluate kitchen-36 kitchen-72 {data} {every} --matchers xfeat xfeat-lighterglue --lifts interpolate pin --depth "
    "--remember-matches"
)
ABLATION = "ablate kitchen-72 {data} {every}"
ROBUSTNESS = "ablate kitchen-12 --robustness {data} {every}"
HOLDOUT = "evaluate-pin {data}"
GLOBAL = "evaluate kitchen-12 kitchen-36 joined-12 {data} {every} --retrieval true-pose prior global-once global"
RETRIEVAL_SPEED = ("bench retrieval --views 50000", "bench retrieval --views 1000000 --queries 100")
WRONG_FOCAL = "bench wrong-focal {data} {every}"
UNCALIBRATED = (
    "evaluate kitchen-back-24 kitchen-36 kitchen-72 drive-even drive-sparse {data} {every} --matchers xfeat "
    "--set pose.estimate_focal=true"
)
UNKNOWN_PLACES = "bench unknown-places {data} {every}"
MAP_SOURCES = "bench map-sources {data} {every}"
BENCHMARK = "benchmark 7scenes --scenes redkitchen --ground-truth {} {{data:7scenes}} {{every}}"
OFFSETS = "bench offsets {data} {every}"
COST = "evaluate {} {{data}} {{every}} --matchers xfeat --retrieval prior global"
CUDA = "evaluate all {data} {every} --matchers xfeat xfeat-lighterglue --set matcher.device=cuda"


@dataclass(frozen=True, slots=True)
class DocsTable:
    """Hold a table of docs/.

    name: that of its markers. commands: what measures. render: Markdown of what each command wrote with --json. draw:
    writes a picture of the same to a file, which becomes NAME.svg beside the page. caption: of the picture.
    """

    name: str
    commands: tuple[str, ...]
    render: Callable[[list[Any]], str]
    draw: Callable[[Path, list[Any]], None] | None = None
    caption: str = ""
    needs_cuda: bool = False


TABLES = (
    DocsTable(
        "localization",
        (XFEAT,),
        render.render_summaries,
        pictures.draw_recall,
        "Share of queries within each error, protocol by protocol",
    ),
    DocsTable("lighterglue", (LIGHTERGLUE,), render.render_without_times),
    DocsTable("offsets", (OFFSETS,), render.render_offsets),
    DocsTable("keypoints", tuple(KEYPOINTS.format(count) for count in render.KEYPOINTS), render.render_keypoints),
    DocsTable("aims", (LIGHTERGLUE,), render.render_aims),
    DocsTable(
        "covariance",
        (XFEAT, LIGHTERGLUE),
        render.render_covariance,
        pictures.draw_covariance,
        "NEES of the poses beside the chi-squared law",
    ),
    DocsTable("calibration", CALIBRATION, render.render_all_covariances),
    DocsTable(
        "uncertain-depths",
        tuple(f"{UNCERTAIN_DEPTHS} --set pose.max_depth_discount={m}" for m in (1.0, 3.0)),
        render.render_uncertain_depths,
    ),
    DocsTable("landmarks", tuple(LANDMARKS.format(source) for source in LANDMARK_SOURCES), render.render_landmarks),
    DocsTable("map-sources", (MAP_SOURCES,), render.render_map_sources),
    DocsTable("depth", (DEPTH,), render.render_without_times),
    DocsTable("ablation", (ABLATION,), render.render_without_times),
    DocsTable(
        "robustness",
        (ROBUSTNESS,),
        render.render_robustness,
        pictures.draw_robustness,
        "Recall with fewer and worse landmarks",
    ),
    DocsTable("unknown-places", (UNKNOWN_PLACES,), render.render_unknown_places),
    DocsTable("wrong-focal", (WRONG_FOCAL,), render.render_wrong_focal_lengths),
    DocsTable("uncalibrated", (UNCALIBRATED,), render.render_without_times),
    DocsTable("holdout", (HOLDOUT,), render.render_holdout, pictures.draw_confidence, "How far the confidence holds"),
    DocsTable("global-retrieval", (GLOBAL,), render.render_retrieval),
    DocsTable("seven-scenes", tuple(BENCHMARK.format(truth) for truth in ("sfm", "dslam")), render.render_summaries),
    DocsTable("retrieval-speed", RETRIEVAL_SPEED, render.render_retrieval_speed),
    DocsTable(
        "cost",
        tuple(COST.format(asked) for _, values in render.COSTS for _, asked in values),
        render.render_costs,
        pictures.draw_costs,
        "What a query takes, by references, keypoints, size of the image and of the map",
    ),
    DocsTable("gpu", (CUDA,), render.render_summaries, needs_cuda=True),
)


def select_tables(names: list[str]) -> list[DocsTable]:
    """Return the tables of these names, all without a name; raise ValueError naming one that there is not."""
    known = {table.name: table for table in TABLES}
    for name in names:
        if name not in known:
            raise ValueError(f"no table {name!r}; there are {', '.join(known)}")
    return [known[name] for name in names] if names else list(TABLES)
