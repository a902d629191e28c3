"""Evaluate recordings against a map, with poses, figures and a page: `evaluate-bag`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deviloc_ros.commands.flags.common import (
    add_config,
    add_ray,
    create_workers,
    format_mount,
    read_config_for_map,
    set_results,
    step_of,
    take_contribute,
    take_tracking,
)
from deviloc_ros.commands.flags.masks import add_mask, find_masks
from deviloc_ros.commands.flags.recordings import (
    add_real_time,
    add_robot,
    add_sampling,
    add_topics,
    add_truth,
    read_plan,
)
from deviloc_ros.io.atomic import write_whole

if TYPE_CHECKING:
    from deviloc_ros.bags.bag_index import IndexedBag
    from deviloc_ros.config import Config, ContributeConfig, TrackingConfig
    from deviloc_ros.evaluation.recordings.bag_run import EvaluationPlan
    from deviloc_ros.evaluation.recordings.run_folder import Run

FAILED_GATE = 1
NOTHING_LOCALIZED = 3


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument(
        "bags", type=Path, nargs="+", metavar="BAG", help="rosbag2 folder, or a file (.mcap, .db3, .bag); or several"
    )
    parser.epilog = "Exit status: 0; 1: a --require does not hold; 2: an error; 3: not one image was localized."
    parser.add_argument(
        "--map", type=Path, required=True, metavar="MAP", help="a map, or a folder of several maps, such as floors"
    )
    parser.add_argument("--output", type=Path, default=Path("evaluation"), metavar="DIR", help="default: %(default)s")
    add_ray(parser)
    add_mask(parser)
    add_topics(parser)
    add_truth(parser.add_argument_group("ground truth"))
    add_robot(parser.add_argument_group("the robot"))
    add_sampling(parser.add_argument_group("which images"))
    parser.add_argument(
        "--contribute",
        type=Path,
        metavar="FOLDER",
        help="store images for extending the map, as the node's contribute_path does; see update-map --contributed",
    )
    add_real_time(parser.add_argument_group("in real time (needs ROS 2)"))
    parser.add_argument(
        "--rerun",
        type=Path,
        metavar="FILE.rrd",
        help="write a recording for the Rerun viewer; needs the extra rerun",
    )
    parser.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="FIGURE<=NUMBER",
        help="exit with status 1 unless summary.json meets this, e.g. 'wrong_fixes<=0' or 'recall.5cm_5deg>=0.95'; "
        "several may be given",
    )
    add_config(parser, of_map=True)
    set_results(parser, files=["rerun"], folders=["output"])
    parser.set_defaults(run=run)


@dataclass(frozen=True)
class SharedSettings:
    """Hold the settings that all recordings share: a config for each map, and `changes`, those of --set."""

    plan: EvaluationPlan
    tracking: TrackingConfig
    configs: list[Config]
    contribute: ContributeConfig
    changes: list[str]


def run(options: argparse.Namespace) -> int:
    """Evaluate each recording; return the exit status that `add` documents."""
    from deviloc_ros.evaluation.recordings.figure_names import check_names
    from deviloc_ros.evaluation.recordings.requirements import parse_requirement
    from deviloc_ros.evaluation.recordings.rerun_recording import check_rerun
    from deviloc_ros.maps.inspect import check_metres
    from deviloc_ros.maps.manifest import find_maps
    from deviloc_ros.maps.store import Map

    if options.rerun:
        check_rerun()
    requirements = [parse_requirement(text) for text in options.require]
    check_names(requirements)
    changes = list(options.changes)
    plan, tracking, contribute = read_plan(options), take_tracking(options), take_contribute(options)
    folders = find_maps(options.map)
    if len(folders) > 1 and (options.rerun or options.real_time):
        raise ValueError(f"--rerun and --real-time are for one map; {options.map} holds {len(folders)}")
    maps = [Map.open(folder) for folder in folders]
    check_metres(maps)
    configs = [read_config_for_map(options, one.config) for one in maps]
    given = SharedSettings(plan, tracking, configs, contribute, changes)
    outputs = prepare_outputs(options)
    with create_workers(options.ray) as workers:
        function = evaluate_recording if len(outputs) == 1 else evaluate_or_explain
        tasks = [(options, given, bag, output) for bag, output in outputs.items()]
        done = workers.map(function, tasks, [str(bag) for bag in outputs], desc="recordings", unit="bag")
        results = dict(zip(outputs, done, strict=True))
    return print_results(results, requirements, options.output)


def prepare_outputs(options: argparse.Namespace) -> dict[Path, Path]:
    """Return an empty folder for each recording: --output, or one below it where there are several.

    Raise ValueError.
    """
    from deviloc_ros.evaluation.recordings.run_folder import prepare_folder

    if not options.real_time and (options.running_node or options.rate != 1):
        raise ValueError("--rate and --running-node go with --real-time")
    if options.real_time and options.ray:
        raise ValueError("--real-time plays a recording to a node on this machine: give no --ray")
    if len(options.bags) == 1:
        outputs = {options.bags[0]: options.output}
    else:
        outputs = {bag: options.output / bag.resolve().stem for bag in options.bags}
    for flag, value in (("--rerun", options.rerun), ("--contribute", options.contribute)):
        if value and len(outputs) > 1:
            raise ValueError(f"{flag} is for one recording")
    folders = Counter(outputs.values())
    if len(folders) < len(options.bags):
        raise ValueError(f"{folders.most_common(1)[0][0]} would be of two recordings; evaluate them one by one")
    for folder in folders:
        prepare_folder(folder)
    return outputs


def evaluate_or_explain(options: argparse.Namespace, given: SharedSettings, bag: Path, output: Path) -> Run | str:
    """Evaluate one recording of several; print its error, so that the others are still evaluated."""
    try:
        return evaluate_recording(options, given, bag, output)
    except (ValueError, OSError) as error:
        return str(error)


def evaluate_recording(options: argparse.Namespace, given: SharedSettings, path: Path, output: Path) -> Run:
    """Evaluate one recording and write its files. Raises ValueError."""
    from deviloc_ros.bags.bag_plan import index_bag
    from deviloc_ros.bags.reader import Recording
    from deviloc_ros.evaluation.recordings.bag_run import describe_localizers, read_truth, run_offline, summarize_run
    from deviloc_ros.evaluation.recordings.rerun_recording import write_rerun
    from deviloc_ros.evaluation.recordings.run_folder import REPORT, write_run
    from deviloc_ros.evaluation.report.gallery import make_gallery
    from deviloc_ros.evaluation.report.page import make_report
    from deviloc_ros.evaluation.report.trajectories import outline_map
    from deviloc_ros.localizer import create_localizers
    from deviloc_ros.maps.manifest import find_maps
    from deviloc_ros.maps.store import Map
    from deviloc_ros.tracking.contributor import Contributor

    plan, tracking, masks = given.plan, given.tracking, find_masks(options)
    maps = [Map.open(folder) for folder in find_maps(options.map)]
    localizers = create_localizers(maps, given.configs)
    with Recording(path) as recording:
        bag = index_bag(recording, plan)
        truth = read_truth(bag, plan)
        if truth is not None and len(maps) > 1:
            named = ", ".join(one.name for one in maps)
            raise ValueError(
                f"{plan.truth} is of one frame, and each map has its own: give one of {named}, or no truth"
            )
        if options.real_time:
            mounts = [format_mount(text) for text in options.extrinsic]
            known = {"rectified": bag.cameras.rectified, "extrinsic": mounts}
            as_judged = argparse.Namespace(**{**vars(options), **known})
            estimates, about = run_in_real_time(as_judged, bag, plan, given.changes)
        else:
            kept = Contributor(options.contribute, given.contribute) if options.contribute else None
            estimates, about = run_offline(bag, plan, localizers, tracking, masks, kept)
        about |= describe_localizers(localizers, tracking, options.map.resolve().name)
        result = summarize_run(bag, plan, truth, estimates, about)
        write_run(output, result, plan.robot.map_frame, plan.robot.base_frame)
        pictures = make_gallery(bag, result.frames, localizers, masks)
        around = {one.name: outline_map(one) for one in maps}
        page = make_report(result, around if len(maps) > 1 else around[maps[0].name], pictures)
        write_whole(output / REPORT, page)
        if options.rerun:
            write_rerun(options.rerun, result, around[maps[0].name], bag)
    return result


def run_in_real_time(
    options: argparse.Namespace, bag: IndexedBag, plan: EvaluationPlan, changes: list[str]
) -> tuple[list[Any], dict[str, Any]]:
    """Replay the recording to a node; return the estimates, and how they were measured. Raises ValueError."""
    if options.contribute:
        raise ValueError("--real-time takes no --contribute: give the node its parameter contribute_path")
    if plan.gnss_topic:
        raise ValueError("--real-time takes no --gnss-topic: give the node its parameter gnss_topic")
    if options.mask:
        raise ValueError("--real-time takes no --mask: give the node its parameter mask_path")
    if options.config or options.matcher or options.lift or step_of(options) > 1 or plan.budget_ms or plan.only:
        raise ValueError("--real-time takes no --config, --matcher, --lift, --every, --budget-ms or --images-of")
    if not plan.part.is_all:
        raise ValueError("--real-time takes no --start or --end: it plays all of the recording")
    if plan.robot.camera is not None or plan.robot.odometry_topic:
        raise ValueError("--real-time takes no --camera or --odometry-topic: the node needs camera_info and /tf")
    from deviloc_ros.ros.tools.realtime import run_real_time
    from deviloc_ros.ros.tools.realtime_node import provide_node

    with provide_node(options, bag.topics, changes):
        estimates, transport = run_real_time(bag, options.rate, plan.grouping)
    pace = f"rate {options.rate:g}" if options.rate > 0 else "waiting for each image"
    return estimates, {"mode": f"real time over DDS, {pace}", "sampling": "every image was sent", **transport}


def print_results(results: dict[Path, Run | str], requirements: list[Any], output: Path) -> int:
    """Print the headline, or a table for several recordings, then errors and failed requirements."""
    from deviloc_ros.evaluation.recordings.headline import make_headline, make_remarks
    from deviloc_ros.evaluation.recordings.requirements import find_failures
    from deviloc_ros.evaluation.recordings.table_of_runs import write_table

    runs = {bag: result for bag, result in results.items() if not isinstance(result, str)}
    if len(results) == 1:
        (only,) = runs.values()
        print("\n".join(f"{name:<24} {value}".rstrip() for name, value in make_headline(only) + make_remarks(only)))
    else:
        print(write_table(output, list(runs.values())))
    print(f"{'files':<24} {output}/")
    failed = [
        f"{bag.name}: {failure}" if len(results) > 1 else failure
        for bag, result in runs.items()
        for failure in find_failures(requirements, result.figures)
    ]
    for failure in failed:
        print(f"FAILED: {failure}", file=sys.stderr)
    missing = {bag: why for bag, why in results.items() if isinstance(why, str)}
    if missing:
        listing = "".join(f"\n  {why}" for why in missing.values())
        raise ValueError(f"{len(missing)} of {len(results)} recordings could not be evaluated:{listing}")
    if failed:
        return FAILED_GATE
    return 0 if any(result.summary["localized"] for result in runs.values()) else NOTHING_LOCALIZED
