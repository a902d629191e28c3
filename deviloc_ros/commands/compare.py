"""Put several runs of evaluate-bag side by side: `compare`."""

from __future__ import annotations

import argparse
from pathlib import Path

from deviloc_ros.commands.flags.common import set_results
from deviloc_ros.io.atomic import write_whole


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="--output folders of evaluate-bag")
    parser.add_argument("--map", type=Path, metavar="MAP", help="draw this map under the trajectories")
    parser.add_argument(
        "--output", type=Path, default=Path("comparison.html"), metavar="FILE", help="default: %(default)s"
    )
    set_results(parser, files=["output"])
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the page and print each run's headline."""
    from deviloc_ros.evaluation.recordings.headline import make_headline
    from deviloc_ros.evaluation.recordings.run_folder import read_run
    from deviloc_ros.evaluation.report.page import make_comparison
    from deviloc_ros.evaluation.report.trajectories import NOWHERE, outline_map
    from deviloc_ros.maps.store import Map

    if len(options.runs) < 2:
        raise ValueError("compare needs two runs or more")
    runs = [read_run(folder) for folder in options.runs]
    around = outline_map(Map.open(options.map)) if options.map else NOWHERE
    write_whole(options.output, make_comparison(runs, around))
    for one in runs:
        print(f"{one.name}: " + "; ".join(f"{name} {value}" for name, value in make_headline(one)))
    print(f"page: {options.output}")
    return 0
