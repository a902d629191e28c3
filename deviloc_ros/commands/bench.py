"""`bench`: measurements that say how well a machine does. `bench node` needs ROS."""

from __future__ import annotations

import argparse
from pathlib import Path

from deviloc_ros.commands.options import add_config, config_of


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("bench", help="measure speed and dependability")
    benches = parser.add_subparsers(metavar="BENCH", required=True)
    node = benches.add_parser("node", help="the ROS node: latency, drops, transforms, kidnapping, unknown places")
    node.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of 7scenes, strecha and kitti")
    node.add_argument("--out-of-map-s", type=float, default=120.0, help="how long images of other places are sent [s]")
    node.add_argument("--map", type=Path, metavar="MAP", help="a map of kitchen-12 made before; default: it is made")
    node.add_argument("--output", type=Path, metavar="FILE", help="write the page there, as Markdown")
    add_config(node)
    node.set_defaults(run=run_node)


def run_node(options: argparse.Namespace) -> int:
    from deviloc_ros.ros.bench_node import run_benchmark

    page = run_benchmark(options.data, options.out_of_map_s, options.map, config_of(options))
    if options.output:
        options.output.write_text(page)
    return 0
