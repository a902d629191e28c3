"""Measure seconds per query of the configured method, or run a bench by name (`bench node` needs ROS): `bench`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deviloc_ros.commands import bench_tables
from deviloc_ros.commands.flags.common import (
    add_config,
    add_data,
    add_every,
    add_preset,
    parse_zero_or_more,
    read_config,
    set_results,
    set_weights,
    step_of,
)
from deviloc_ros.io.atomic import write_whole

QUERY_MATCHERS = ("xfeat", "xfeat-lighterglue")


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("--references", type=int, metavar="K", help="references per query")
    add_config(parser)
    add_preset(parser)
    parser.set_defaults(run=run_speed)
    benches = parser.add_subparsers(metavar="BENCH")
    node = benches.add_parser("node", help="the ROS node: latency, drops, transforms, kidnapping, unknown places")
    node.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of 7scenes, strecha and kitti")
    node.add_argument(
        "--out-of-map-s", type=parse_zero_or_more, default=120.0, help="how long images of other places are sent [s]"
    )
    node.add_argument("--map", type=Path, metavar="MAP", help="a map of kitchen-12 made before; default: it is made")
    node.add_argument("--output", type=Path, metavar="FILE", help="write the page there, as Markdown")
    set_results(node, files=["output"])
    add_config(node)
    node.set_defaults(run=run_node)
    add_query(benches)
    add_on_data(benches, "unknown-places", "images that a map of the kitchen does not know", run_unknown_places)
    add_on_data(
        benches, "wrong-focal", "queries whose calibration states a wrong focal length", run_wrong_focal_lengths
    )
    add_on_data(
        benches, "offsets", "XFeat* on images moved by known amounts, with and without our corrections", run_offsets
    )
    add_retrieval(benches)
    sources = benches.add_parser(
        "map-sources", help="the kitchen from poses, from drifting odometry, from images alone"
    )
    add_data(sources)
    add_every(sources, "query")
    sources.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    set_results(sources, files=["json"])
    sources.set_defaults(run=run_map_sources)
    bench_tables.add(benches)


def add_on_data(benches: argparse._SubParsersAction, name: str, about: str, run: Any) -> None:
    """Add a bench from which a table of docs/ is made."""
    parser = benches.add_parser(name, help=about)
    add_data(parser)
    add_every(parser, "query or image")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    set_results(parser, files=["json"])
    add_config(parser)
    parser.set_defaults(run=run)


def add_query(benches: argparse._SubParsersAction) -> None:
    """Add the bench of one query's stages."""
    parser = benches.add_parser("query", help="time of a query by stage, beside an older commit and the machine's best")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of 7scenes; default: rendered views")
    add_every(parser, "query")
    parser.add_argument(
        "--baseline", default="", metavar="GIT_REF", help="run this commit's package in turns with this"
    )
    parser.add_argument("--loaded", action="store_true", help="also beside a program that keeps a core busy")
    parser.add_argument("--matchers", nargs="+", choices=QUERY_MATCHERS, default=QUERY_MATCHERS, metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    set_results(parser, files=["json"])
    parser.set_defaults(run=run_query)


def add_retrieval(benches: argparse._SubParsersAction) -> None:
    """Add the bench of searching many simulated views."""
    parser = benches.add_parser("retrieval", help="search among the global descriptors of many simulated views")
    parser.add_argument("--views", type=int, default=1_000_000, metavar="N", help="default: %(default)s")
    parser.add_argument("--dimensions", type=int, default=4096, metavar="D", help="of a descriptor (%(default)s: VLAD)")
    parser.add_argument("--queries", type=int, default=200, metavar="N", help="default: %(default)s")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where the descriptors are kept meanwhile")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    set_results(parser, files=["json"])
    parser.set_defaults(run=run_retrieval)


def run_speed(options: argparse.Namespace) -> int:
    """Time a query of the configured method on rendered views."""
    from deviloc_ros.config_fields import change_config
    from deviloc_ros.evaluation.speed import measure_speed
    from deviloc_ros.upstream.checkpoints import RANDOM, weights_path

    config = read_config(options)
    if options.references:
        config = change_config(config, retrieval={"references": options.references})
    if config.matcher.name == "topicfm" and not config.matcher.weights and not weights_path("deviloc").is_file():
        print("no weights were fetched: random ones show the time as well, and are not made to localize")
        config = set_weights(config, RANDOM)
    print(f"{options.preset or 'default'}: matcher {config.matcher.name}, lift {config.lift.method}")
    print(measure_speed(config))
    return 0


def run_query(options: argparse.Namespace) -> int:
    """Time queries by stage."""
    from deviloc_ros.evaluation.query_bench import BenchPlan, measure_queries, render_report

    bench = BenchPlan(options.data, step_of(options), options.baseline, options.loaded, tuple(options.matchers))
    figures = measure_queries(bench)
    print(render_report(figures))
    if options.json:
        write_whole(options.json, json.dumps(figures, indent=1))
    return 0


def run_node(options: argparse.Namespace) -> int:
    """Run the node on real images and write the page of what it did."""
    from benchmarks.node.run import run_benchmark

    page = run_benchmark(options.data, options.out_of_map_s, options.map, read_config(options))
    if options.output:
        write_whole(options.output, page)
    return 0


def run_unknown_places(options: argparse.Namespace) -> int:
    """Localize images of places that a map does not contain, and print their evidence."""
    from benchmarks.tables import render
    from deviloc_ros.evaluation.protocols.unknown_places import measure_unknown_places

    figures = measure_unknown_places(options.data, read_config(options), step_of(options))
    return show_figures(figures, render.render_unknown_places, options.json)


def run_wrong_focal_lengths(options: argparse.Namespace) -> int:
    """Localize queries with wrong focal lengths, and print how far off they are."""
    from benchmarks.tables import render
    from deviloc_ros.evaluation.protocols.focal_lengths import measure_wrong_focal_lengths

    figures = measure_wrong_focal_lengths(options.data, read_config(options), step_of(options))
    return show_figures(figures, render.render_wrong_focal_lengths, options.json)


def run_map_sources(options: argparse.Namespace) -> int:
    """Map the kitchen from poses, from odometry and from images alone, and compare the maps."""
    from benchmarks.map_sources import measure_recipes
    from benchmarks.tables import render

    figures = measure_recipes(options.data, step_of(options))
    return show_figures(figures, render.render_map_sources, options.json)


def run_retrieval(options: argparse.Namespace) -> int:
    """Search simulated descriptors, and print how long it takes and what is found."""
    from benchmarks.retrieval_speed import LEAST_VIEWS, measure_retrieval
    from benchmarks.tables import render

    if options.views < LEAST_VIEWS:
        raise ValueError(f"--views {options.views}: an index is learned from {LEAST_VIEWS} or more")
    figures = measure_retrieval(options.views, options.dimensions, options.queries, options.folder)
    return show_figures(figures, render.render_retrieval_speed, options.json)


def run_offsets(options: argparse.Namespace) -> int:
    """Match images moved by known amounts, and print the offsets' errors."""
    from benchmarks.keypoint_offsets import measure_offsets
    from benchmarks.tables import render

    figures = measure_offsets(options.data, step_of(options))
    return show_figures(figures, render.render_offsets, options.json)


def show_figures(figures: Any, table: Callable[[list[Any]], str], json_file: Path | None) -> int:
    """Print the figures as the table in docs/, and write them to --json."""
    print(table([figures]))
    if json_file:
        write_whole(json_file, json.dumps(figures, indent=1))
    return 0
