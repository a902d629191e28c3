"""Which table of docs/ is made by which commands. To add one: an entry here, and its two markers in a page.

A command is one of this package that takes `--json FILE`. `{data}` becomes `--data DIR`, `{data:7scenes}` the folder
of that name in it, and `{every}` becomes `--every N` where a quick look is asked for. Tables that name the same command
share one run of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.tables import draw as pictures
from benchmarks.tables import render
from deviloc_ros.config import LANDMARK_SOURCES, PoseConfig

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
CUDA = "evaluate all {data} {every} --matchers xfeat xfeat-lighterglue --set matcher.device=cuda"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of docs/.

    name: that of its markers. commands: what measures. render: Markdown of what each command wrote with --json.
    draw: writes a picture of the same to a file, which becomes NAME.svg beside the page. caption: of the picture.
    """

    name: str
    commands: tuple[str, ...]
    render: Callable[[list[Any]], str]
    draw: Callable[[Path, list[Any]], None] | None = None
    caption: str = ""
    needs_cuda: bool = False


TABLES = (
    Table(
        "localization",
        (XFEAT,),
        render.summaries,
        pictures.recall,
        "Share of queries within each error, protocol by protocol",
    ),
    Table("lighterglue", (LIGHTERGLUE,), render.summaries_without_times),
    Table("offsets", (OFFSETS,), render.offsets),
    Table("keypoints", tuple(KEYPOINTS.format(count) for count in render.KEYPOINTS), render.keypoints),
    Table("aims", (LIGHTERGLUE,), render.aims),
    Table(
        "covariance",
        (XFEAT, LIGHTERGLUE),
        render.covariance,
        pictures.covariance,
        "NEES of the poses beside the chi-squared law",
    ),
    Table("calibration", CALIBRATION, render.covariance_of_all),
    Table(
        "uncertain-depths",
        tuple(f"{UNCERTAIN_DEPTHS} --set pose.max_depth_discount={m}" for m in (1.0, PoseConfig().max_depth_discount)),
        render.uncertain_depths,
    ),
    Table("landmarks", tuple(LANDMARKS.format(source) for source in LANDMARK_SOURCES), render.landmarks),
    Table("map-sources", (MAP_SOURCES,), render.map_sources),
    Table("depth", (DEPTH,), render.summaries_without_times),
    Table("ablation", (ABLATION,), render.summaries_without_times),
    Table(
        "robustness",
        (ROBUSTNESS,),
        render.robustness,
        pictures.robustness,
        "Recall with fewer and worse landmarks",
    ),
    Table("unknown-places", (UNKNOWN_PLACES,), render.unknown_places),
    Table("wrong-focal", (WRONG_FOCAL,), render.wrong_focal_lengths),
    Table("uncalibrated", (UNCALIBRATED,), render.summaries_without_times),
    Table("holdout", (HOLDOUT,), render.holdout, pictures.reliability, "How far the confidence holds"),
    Table("global-retrieval", (GLOBAL,), render.retrieval),
    Table("seven-scenes", tuple(BENCHMARK.format(truth) for truth in ("sfm", "dslam")), render.summaries),
    Table("retrieval-speed", RETRIEVAL_SPEED, render.retrieval_speed),
    Table("gpu", (CUDA,), render.summaries, needs_cuda=True),
)


def tables_named(names: list[str]) -> list[Table]:
    """Those of these names, all without a name. Raises ValueError naming one that there is not."""
    known = {table.name: table for table in TABLES}
    for name in names:
        if name not in known:
            raise ValueError(f"no table {name!r}; there are {', '.join(known)}")
    return [known[name] for name in names] if names else list(TABLES)
