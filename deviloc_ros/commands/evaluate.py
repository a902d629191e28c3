"""Run the fixed protocols on real data: `evaluate`."""

from __future__ import annotations

import argparse
import json
from functools import partial
from itertools import chain, product
from pathlib import Path
from typing import Any

from deviloc_ros.commands.flags.common import (
    add_config,
    add_data,
    add_every,
    add_preset,
    add_ray,
    create_workers,
    parse_zero_or_more,
    read_config,
    set_results,
    step_of,
)
from deviloc_ros.config import LIFTS, MATCHERS, Config, TrackingConfig
from deviloc_ros.config_fields import change_config
from deviloc_ros.evaluation import (
    BODY_IN_VIEW,
    BUILDING,
    CALIBRATION_PROTOCOLS,
    COURT_PROTOCOLS,
    HARD,
    JOINED_PROTOCOLS,
    LIVING_MAP,
    PROTOCOLS,
    RETRIEVALS,
    RIG_PROTOCOLS,
    TRUE_POSE,
    TWINS,
)
from deviloc_ros.io.atomic import write_whole

ALONE = (BODY_IN_VIEW, LIVING_MAP, TWINS, BUILDING)  # each has a table of its own


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument(
        "protocols",
        nargs="+",
        metavar="PROTOCOL",
        help=f"{', '.join(PROTOCOLS)}, or all (these); "
        f"{', '.join(JOINED_PROTOCOLS + RIG_PROTOCOLS + COURT_PROTOCOLS + CALIBRATION_PROTOCOLS)}; "
        f"{HARD}: in bad light, by bad cameras, turned and mirrored; "
        f"{BODY_IN_VIEW}: with a part of the robot in every picture; "
        f"{LIVING_MAP}: before and after a map grew by what a robot kept; {TWINS}: among places that look alike; "
        f"{BUILDING}: among a thousand views of doors and offices that look alike",
    )
    add_data(parser)
    parser.add_argument(
        "--map", type=Path, metavar="MAP", help="localize the queries in this map, which is in the frame of their poses"
    )
    parser.add_argument("--references", type=int, metavar="K", help="references per query")
    parser.add_argument(
        "--retrieval",
        nargs="+",
        choices=RETRIEVALS,
        default=[TRUE_POSE],
        help="how references are found, several in one run: nearest to the true pose (default), with that as a prior, "
        "or without one; once: without retrieval.refine",
    )
    add_every(parser, "query")
    parser.add_argument("--matchers", nargs="+", choices=MATCHERS, metavar="NAME", help="several in one run")
    parser.add_argument("--lifts", nargs="+", choices=LIFTS, metavar="LIFT", help="several in one run")
    parser.add_argument("--depth", action="store_true", help="run each also with the map's depth images (kitchen)")
    parser.add_argument(
        "--pose-noise",
        nargs=2,
        type=parse_zero_or_more,
        metavar=("M", "DEG"),
        help="move each pose of the map's images by noise of these standard deviations on each axis",
    )
    parser.add_argument(
        "--remember-matches", action="store_true", help="match each query once for all runs; their times mean nothing"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the summary there (a list if there are several)"
    )
    parser.add_argument("--covariance", type=Path, metavar="FILE", help="draw how errors compare with covariances")
    add_ray(parser)
    add_config(parser)
    add_preset(parser)
    set_results(parser, files=["json", "covariance"])
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Evaluate each protocol and print a line for each of its summaries."""
    from deviloc_ros.evaluation import covariance
    from deviloc_ros.evaluation.summary_table import format_summaries

    config = read_config(options)
    for name in ALONE:
        if name in options.protocols:
            return run_alone(name, options, config)
    if options.references:
        config = change_config(config, retrieval={"references": options.references})
    names = PROTOCOLS if options.protocols == ["all"] else options.protocols
    if HARD in names and options.depth:
        raise ValueError(f"{HARD} has no map with depth: leave out --depth")
    of_building = options.matchers, options.lifts, options.depth, options.pose_noise, options.remember_matches
    if options.map and any(of_building):
        raise ValueError(
            "--map is built already: give no --matchers, --lifts, --depth, --pose-noise, --remember-matches"
        )
    if options.pose_noise and (options.depth or HARD in names):
        raise ValueError("--pose-noise goes with neither --depth nor hard")
    with create_workers(options.ray) as workers:
        tasks = [(options, config, name) for name in names]
        of_each = workers.map(evaluate_protocol, tasks, names, desc="protocols", unit="protocol")
        summaries = list(chain.from_iterable(of_each))
    print(format_summaries(summaries))
    if any(protocol.endswith("-loo") for protocol in names):
        print("-loo: translations in hundredths of the camera-to-scene distance, not cm; wrong fixes in metres.")
    if options.covariance:
        nees = covariance.collect_nees(summaries)
        print(covariance.format_table(nees))
        covariance.draw_nees(options.covariance, nees)
    write_figures(options, summaries if len(summaries) > 1 else summaries[0])
    return 0


def run_alone(name: str, options: argparse.Namespace, config: Config) -> int:
    """Run what has figures and a table of its own. Raises ValueError: it is run by itself."""
    from deviloc_ros.evaluation.protocols import body_in_view, living_map
    from deviloc_ros.evaluation.twins import building
    from deviloc_ros.evaluation.twins import run as twins
    from deviloc_ros.io.cache import cache_folder

    if len(options.protocols) > 1:
        raise ValueError(f"{name} has its own table: run it separately")
    if name == TWINS:
        figures = twins.evaluate_twins(options.data, config, TrackingConfig())
        table = twins.format_cases(figures)
    elif name == BUILDING:
        folder = cache_folder("rendered") / BUILDING
        figures = building.evaluate_building(config, TrackingConfig(), folder, keep=partial(write_figures, options))
        table = building.format_figures(figures)
    elif name == LIVING_MAP:
        figures = living_map.evaluate_living_map(options.data, config)
        table = living_map.format_cases(figures)
    else:
        figures = body_in_view.evaluate_body_in_view(options.data, config)
        table = body_in_view.format_cases(figures)
    print(table)
    write_figures(options, figures)
    return 0


def write_figures(options: argparse.Namespace, figures: Any) -> None:
    """Write figures where --json says, if it does."""
    if options.json:
        write_whole(options.json, json.dumps(figures, indent=1))


def evaluate_protocol(options: argparse.Namespace, config: Config, name: str) -> list[dict[str, Any]]:
    """Return the summaries of one protocol: one for each matcher, lift, kind of map and of retrieval asked for."""
    from deviloc_ros.evaluation.protocols.ablation import make_pose_noise
    from deviloc_ros.evaluation.protocols.hard import run_conditions
    from deviloc_ros.evaluation.protocols.run import Evaluation
    from deviloc_ros.evaluation.protocols.scenes import add_kitchen_depth, load_protocol
    from deviloc_ros.evaluation.summary_table import format_stages
    from deviloc_ros.maps.store import Map

    protocol = load_protocol(name, options.data, step_of(options))
    if options.map:
        evaluation, reference_map = Evaluation(protocol, config), Map.open(options.map)
        if name == HARD:
            return [s for r in options.retrieval for s in run_conditions(evaluation, config, r, reference_map)]
        return [evaluation.run_in_map(reference_map, config, retrieval) for retrieval in options.retrieval]
    summaries: list[dict[str, Any]] = []
    for matcher in options.matchers or [config.matcher.name]:
        config = change_config(config, matcher={"name": matcher})
        evaluation = Evaluation(protocol, config, remember_matches=options.remember_matches)
        noise = None
        if options.pose_noise:
            std_m, std_deg = options.pose_noise
            noise = make_pose_noise(std_m, std_deg, config.pose.random_seed)
        changes = {"": noise, ", depth": add_kitchen_depth} if options.depth else {"": noise}
        lifts = options.lifts or [config.lift.method]
        for lift, (suffix, change), retrieval in product(lifts, changes.items(), options.retrieval):
            lifting = change_config(config, lift={"method": lift})
            if name == HARD:
                summaries += run_conditions(evaluation, lifting, retrieval)
                continue
            summary = evaluation.run(lifting, retrieval, change=change)
            summaries.append({**summary, "lift": lift + suffix})
            print(f"{name} {matcher} {lift}{suffix}: {format_stages(summaries[-1])} ms", flush=True)
            if options.depth and change:
                print(f"  depth: {evaluation.built.depth.correction}", flush=True)
    return summaries
