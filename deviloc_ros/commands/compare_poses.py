"""Compare files of poses from any program with the truth: `compare-poses`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from deviloc_ros.commands.flags.common import MOUNT, MOUNT_FORMS, parse_mount, set_results
from deviloc_ros.io.atomic import write_whole


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("truth", type=Path, metavar="TRUTH", help="the ground truth poses")
    parser.add_argument("estimates", type=Path, nargs="+", metavar="POSES", help="the poses to compare with them")
    parser.add_argument(
        "--queries",
        type=Path,
        metavar="LIST",
        help="the query images, one line NAME (and more) each; default: those that any of the files names, so "
        "that an image which all lost, and none lists, does not count",
    )
    parser.add_argument(
        "--align",
        choices=("rigid", "similarity"),
        help="align the poses of each file with the ground truth, without or with scale: for poses in a frame or unit "
        "of their own. Hides an error that all share",
    )
    parser.add_argument(
        "--extrinsic",
        metavar=MOUNT,
        help=f"the camera in the frame whose poses TRUTH holds, {MOUNT_FORMS}; default: they are the camera's",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the metrics and the error of each image there")
    set_results(parser, files=["json"])
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print a line for each file."""
    from deviloc_ros.evaluation.pose_files import (
        WORST,
        format_comparison,
        match_poses,
        measure_errors,
        mount_camera,
        pair_names,
        read_pose_file,
        read_times,
        sort_worst,
        summarize_errors,
    )
    from deviloc_ros.sources.query_lists import read_query_list

    truth = read_pose_file(options.truth)
    if options.extrinsic:
        truth = mount_camera(truth, parse_mount(options.extrinsic))
    estimates = [read_pose_file(path) for path in options.estimates]
    names: list[str] = list(read_query_list(options.queries)) if options.queries else []
    if not options.queries:
        for estimate in estimates:
            own = [*estimate.poses, *estimate.lost]
            there = pair_names(own, names)
            names += [name for name in own if name not in there]
    times = read_times(names, [truth, *estimates])
    known = match_poses(truth, names, times)
    if not known:
        raise ValueError(
            f"{options.truth} has the pose of none of {len(names)} images: it names {next(iter(truth.poses), '')!r}, "
            f"the others {next(iter(names), '')!r}"
        )
    summaries, each = {}, {}
    for estimate in estimates:
        errors, moved = measure_errors(truth, estimate, list(known), times, options.align or "")
        summary = {**summarize_errors(errors), **({"alignment": moved} if moved else {})}
        summaries[str(estimate.path)] = summary
        each[str(estimate.path)] = {e.name: [e.translation_m, e.rotation_deg] if e.localized else None for e in errors}
        if moved:
            print(f"{estimate.path}: moved {moved}")
        worst = [f"{e.name} {e.translation_m:.3f} m, {e.rotation_deg:.2f} deg" for e in sort_worst(errors)[:WORST]]
        print(f"{estimate.path}: farthest off: {'; '.join(worst)}" if worst else f"{estimate.path}: no pose")
    print(format_comparison(summaries))
    if unknown := len(names) - len(known):
        print(f"{unknown} of {len(names)} images have no true pose, and do not count")
    if options.json:
        report = {name: {**summary, "errors": each[name]} for name, summary in summaries.items()}
        write_whole(options.json, json.dumps(report, indent=1))
    return 0
