"""Score the paper's data sets, in the layout hloc's scripts leave them in: `benchmark`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from deviloc_ros.commands.flags.common import add_config, add_every, add_preset, read_config, set_results, step_of
from deviloc_ros.evaluation.datasets import BENCHMARKS, GROUND_TRUTHS
from deviloc_ros.io.atomic import write_whole
from deviloc_ros.upstream.presets import PAPER


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("name", choices=BENCHMARKS)
    laid_out = "laid out as docs/published-method.md says"
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help=laid_out)
    parser.add_argument(
        "--scenes", nargs="+", default=[], metavar="SCENE", help="scenes, locations or slices; default: all"
    )
    parser.add_argument(
        "--ground-truth", choices=GROUND_TRUTHS, help="7scenes, where it must be named: KinectFusion's poses, or SfM's"
    )
    add_every(parser, "query")
    parser.add_argument(
        "--submission", type=Path, metavar="FILE", help="write the poses there, for the benchmark's server"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the summaries there")
    add_config(parser)
    add_preset(parser)
    set_results(parser, files=["submission", "json"])
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Map and localize the data set's scenes; print a line for each whose truth is known."""
    from deviloc_ros.evaluation.datasets.layouts import list_scene_readers
    from deviloc_ros.evaluation.datasets.run import run_scenes
    from deviloc_ros.evaluation.summary_table import format_summaries

    if options.name == "7scenes" and not options.ground_truth:
        raise ValueError(
            "7scenes has two ground truths that differ by centimetres: name one, --ground-truth dslam or sfm"
        )
    if options.preset == PAPER:
        options.preset = f"{PAPER}:{options.name.removesuffix('-v1.1')}"
    readers = list_scene_readers(options.name, options.data, options.scenes, options.ground_truth or "")
    summaries = run_scenes(readers, read_config(options), step_of(options), options.submission)
    if summaries:
        print(f"{options.name}{', ground truth ' + options.ground_truth if options.ground_truth else ''}")
        print(format_summaries(summaries))
    if options.submission:
        count = len(options.submission.read_text().splitlines())
        print(f"{options.submission}: {count} poses; scores come from https://www.visuallocalization.net")
    if options.json:
        write_whole(options.json, json.dumps(summaries, indent=1))
    return 0
