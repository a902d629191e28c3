"""Predict held-out landmarks of real scenes by the Point Inference Network and by interpolation: `evaluate-pin`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from deviloc_ros.commands.flags.common import add_data, set_results
from deviloc_ros.io.atomic import write_whole


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    add_data(parser)
    parser.add_argument("--weights", type=Path, metavar="FILE", help="default: those in the package")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the cells there")
    parser.add_argument("--reliability", type=Path, metavar="FILE", help="draw there how far the confidence holds")
    set_results(parser, files=["json", "reliability"])
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Evaluate the network's weights; the errors are printed as they come."""
    from benchmarks.holdout import evaluate_holdout
    from deviloc_ros.config import LiftConfig
    from deviloc_ros.evaluation.reliability import draw_reliability
    from deviloc_ros.lifting.pin import WEIGHTS, LearnedPointInference, load_pin

    alone = LiftConfig(interpolate_within_px=0)  # the network itself, near landmarks as well
    pin = LearnedPointInference(load_pin(options.weights or WEIGHTS), alone)
    cells, diagrams = evaluate_holdout(options.data, pin)
    if options.json:
        write_whole(options.json, json.dumps({"cells": cells}, indent=1))
    if options.reliability:
        draw_reliability(options.reliability, diagrams)
    return 0
