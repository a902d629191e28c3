"""Demonstrate everything in two minutes, a map, a bag, the node, and the error of what it publishes: `demo`."""

from __future__ import annotations

import argparse
from pathlib import Path

from deviloc_ros.commands.flags.common import set_results


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("--data", type=Path, metavar="DIR", help="use the 7-Scenes kitchen of this data folder")
    parser.add_argument(
        "--output", type=Path, default=Path("demo-output"), metavar="DIR", help="where to write bag, map and picture"
    )
    set_results(parser, folders=["output"])
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the demo; return 0 if poses came and none is wrong."""
    from deviloc_ros.demo import run_demo

    return run_demo(options.data, options.output)
