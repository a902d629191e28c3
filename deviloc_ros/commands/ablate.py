"""Measure what each part of the method is worth on a protocol: `ablate`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from deviloc_ros.commands.flags.common import add_config, add_data, add_every, read_config, set_results, step_of
from deviloc_ros.evaluation import PROTOCOLS
from deviloc_ros.io.atomic import write_whole


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("protocol", choices=PROTOCOLS, metavar="PROTOCOL", help=", ".join(PROTOCOLS))
    parser.add_argument("--robustness", action="store_true", help="with fewer and noisier landmarks instead")
    parser.add_argument(
        "--disturbance",
        nargs=2,
        type=float,
        action="append",
        metavar=("SHARE", "NOISE"),
        help="with --robustness: only this share of the landmarks, moved along their rays by this share of their "
        "depth; may be given several times (default: eight such pairs)",
    )
    add_every(parser, "query")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the summaries there")
    add_data(parser)
    add_config(parser)
    set_results(parser, files=["json"])
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Localize the protocol's queries with parts left out, and print a line for each variant."""
    from deviloc_ros.evaluation.protocols.ablation import DISTURBANCES, run_ablation, run_robustness
    from deviloc_ros.evaluation.protocols.run import Evaluation
    from deviloc_ros.evaluation.protocols.scenes import load_protocol
    from deviloc_ros.evaluation.summary_table import format_summaries

    config = read_config(options)
    protocol = load_protocol(options.protocol, options.data, step_of(options))
    evaluation = Evaluation(protocol, config, remember_matches=True)
    if options.robustness:
        summaries = list(run_robustness(evaluation, config, "true-pose", options.disturbance or DISTURBANCES))
    else:
        summaries = list(run_ablation(evaluation, config, "true-pose"))
    print(format_summaries(summaries))
    for summary in summaries if options.robustness else []:
        print(f"{summary['lift']}: no larger median than landmarks-only in {summary['not_worse']:.1%} of resamplings")
    print("Matches are remembered from line to line: the times say nothing.")
    if options.json:
        write_whole(options.json, json.dumps(summaries, indent=1))
    return 0
