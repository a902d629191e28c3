"""`evaluate-bag`: a recording against a map: poses, figures, and a page to look at."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from deviloc_ros.commands.options import add_config, add_every, config_of, every_of, parse_camera, tracking_of

FAILED_GATE = 1


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "evaluate-bag",
        help="localize the images of a recording (ROS 1 or 2) in a map, compare with the truth",
        description="Localizes the images of a recording as the node would, and writes figures, trajectories, a bag of "
        "the poses and a page to look at. Without ground truth it says when there was a pose, not how good it is.",
    )
    parser.add_argument("bag", type=Path, metavar="BAG", help="rosbag2 folder, or a file (.mcap, .db3, .bag)")
    parser.add_argument("--map", type=Path, required=True, metavar="MAP")
    parser.add_argument("--output", type=Path, default=Path("evaluation"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--image-topic", default="", metavar="TOPIC", help="default: the only one of images")
    parser.add_argument("--camera-info-topic", default="", metavar="TOPIC", help="default: that beside the images")
    add_truth(parser.add_argument_group("ground truth"))
    add_rig(parser.add_argument_group("the robot"))
    add_sampling(parser.add_argument_group("which images"))
    add_real_time(parser.add_argument_group("in real time (needs ROS 2)"))
    parser.add_argument(
        "--rerun",
        type=Path,
        metavar="FILE.rrd",
        help="a recording for the Rerun viewer; needs the extra rerun",
    )
    parser.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="FIGURE<=NUMBER",
        help="exit with status 1 unless this holds of summary.json, as 'wrong_fixes<=0' or 'recall.5cm_5deg>=0.95'; "
        "several may be given",
    )
    add_config(parser)
    parser.set_defaults(run=run)


def add_truth(group: argparse._ArgumentGroup) -> None:
    source = group.add_mutually_exclusive_group()
    source.add_argument("--ground-truth", type=Path, metavar="FILE.tum", help="TUM trajectory")
    source.add_argument(
        "--ground-truth-topic",
        default="",
        metavar="TOPIC",
        help="PoseStamped, PoseWithCovarianceStamped, Odometry or TransformStamped",
    )
    source.add_argument("--ground-truth-tf", nargs=2, metavar=("PARENT", "CHILD"), help="a transform of the recording")
    group.add_argument(
        "--ground-truth-frame", default="", metavar="FRAME", help="whose poses these are; default: the base frame's"
    )
    group.add_argument(
        "--align", action="store_true", help="move all poses rigidly to fit the truth best; the report says so"
    )


def add_rig(group: argparse._ArgumentGroup) -> None:
    for name in ("map", "odom", "base", "camera"):
        default = {"base": "base_link", "camera": ""}.get(name, name)
        group.add_argument(
            f"--{name}-frame", default=default, metavar="FRAME", help=f"default: {default or 'that of the images'}"
        )
    group.add_argument(
        "--extrinsic", default="", metavar="'X Y Z QX QY QZ QW'", help="the camera in the base frame; default: from TF"
    )
    group.add_argument("--camera", metavar="MODEL,W,H,PARAMS", help="calibration; default: from camera_info")
    group.add_argument("--rectified", action="store_true", help="the images are rectified: P describes them, not K, D")
    group.add_argument("--two-d", action="store_true", help="the robot moves on the plane z = 0 of the map")
    group.add_argument("--odometry-topic", default="", metavar="TOPIC", help="nav_msgs/Odometry, where TF has none")


def add_sampling(group: argparse._ArgumentGroup) -> None:
    add_every(group, "image")
    group.add_argument(
        "--budget-ms",
        type=float,
        default=0.0,
        metavar="MS",
        help="drop images as a machine would that needs this long for one",
    )
    group.add_argument("--images-of", type=Path, metavar="RUN", help="only the images that another run tried")


def add_real_time(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--real-time", action="store_true", help="replay over DDS to the node, and judge what it publishes"
    )
    group.add_argument("--rate", type=float, default=1.0, help="speed; 0 waits for each image. Default: %(default)s")
    group.add_argument("--running-node", action="store_true", help="to the node that runs; default: one is started")


def run(options: argparse.Namespace) -> int:
    from deviloc_ros.bags.reader import Recording
    from deviloc_ros.config import Config, bound_to_map
    from deviloc_ros.evaluation.bag_run import about_localizer, conclude, read, run_offline
    from deviloc_ros.evaluation.folder import REPORT, prepare, write_run
    from deviloc_ros.evaluation.gate import parse_requirement
    from deviloc_ros.evaluation.report.gallery import gallery
    from deviloc_ros.evaluation.report.maps import surroundings
    from deviloc_ros.evaluation.report.page import report
    from deviloc_ros.evaluation.rerun_recording import check_rerun, write_rerun
    from deviloc_ros.localizer import Localizer
    from deviloc_ros.maps.store import Map

    if options.rerun:
        check_rerun()
    requirements = [parse_requirement(text) for text in options.require]
    changes = list(options.changes)
    plan, tracking = plan_of(options), tracking_of(options)
    reference_map = Map.open(options.map)
    localizer = Localizer(reference_map, bound_to_map(config_of(options, Config()), reference_map.config))
    prepare(options.output)
    with Recording(options.bag) as recording:
        topics, contents = read(recording, plan)
        if options.real_time:
            estimates, about = in_real_time(options, recording, topics, plan, changes)
        else:
            estimates = run_offline(recording, topics, contents, plan, localizer, tracking)
            about = {"mode": "offline", "sampling": plan.sampling}
        about |= about_localizer(localizer, tracking)
        result = conclude(recording, contents, plan, estimates, about)
        write_run(options.output, result, plan.rig.map_frame, plan.rig.base_frame)
        pictures = gallery(recording, topics, contents, result.frames, localizer)
        around = surroundings(reference_map)
        (options.output / REPORT).write_text(report(result, around, pictures))
        if options.rerun:
            write_rerun(options.rerun, result, around, recording, topics)
    return finish(result, requirements, options.output)


def in_real_time(
    options: argparse.Namespace, recording: Any, topics: Any, plan: Any, changes: list[str]
) -> tuple[list[Any], dict[str, Any]]:
    """What a node makes of the recording, and how that was measured. Raises ValueError: flags that do not fit."""
    if options.config or options.matcher or options.lift or every_of(options) > 1 or plan.budget_ms or plan.only:
        raise ValueError("--real-time takes no --config, --matcher, --lift, --every, --budget-ms or --images-of")
    if plan.rig.camera is not None or plan.rig.odometry_topic:
        raise ValueError("--real-time takes no --camera or --odometry-topic: the node needs camera_info and /tf")
    from deviloc_ros.ros.realtime import run_real_time
    from deviloc_ros.ros.realtime_node import node_running

    with node_running(options, topics, changes):
        estimates, transport = run_real_time(recording, topics, plan.rig, options.rate)
    pace = f"rate {options.rate:g}" if options.rate > 0 else "waiting for each image"
    return estimates, {"mode": f"real time over DDS, {pace}", "sampling": "every image was sent", **transport}


def finish(result: Any, requirements: list[Any], output: Path) -> int:
    """Print the headline, and what was required but does not hold."""
    from deviloc_ros.evaluation.gate import failures
    from deviloc_ros.evaluation.headline import headline

    print("\n".join(f"{name:<24} {value}" for name, value in headline(result)))
    print(f"{'files':<24} {output}/")
    failed = failures(requirements, result.figures)
    for failure in failed:
        print(f"FAILED: {failure}", file=sys.stderr)
    return FAILED_GATE if failed else 0


def plan_of(options: argparse.Namespace) -> Any:
    """What the flags say. Raises ValueError naming the flag."""
    from deviloc_ros.evaluation.bag_run import Plan, TruthSource
    from deviloc_ros.evaluation.contents import Rig
    from deviloc_ros.evaluation.folder import read_run
    from deviloc_ros.messages import rigid_of_text

    rig = Rig(
        map_frame=options.map_frame,
        odom_frame=options.odom_frame,
        base_frame=options.base_frame,
        camera_frame=options.camera_frame,
        base_from_cam=rigid_of_text(options.extrinsic) if options.extrinsic else None,
        camera=parse_camera(options.camera) if options.camera else None,
        rectified=options.rectified,
        two_d=options.two_d,
        odometry_topic=options.odometry_topic,
    )
    truth = TruthSource(
        options.ground_truth,
        options.ground_truth_topic,
        tuple(options.ground_truth_tf) if options.ground_truth_tf else None,
        options.ground_truth_frame,
    )
    only = None
    if options.images_of:
        only = frozenset(f.estimate.stamp_ns for f in read_run(options.images_of).frames if f.estimate.tried)
    return Plan(
        options.image_topic,
        options.camera_info_topic,
        rig,
        truth,
        options.align,
        every_of(options),
        options.budget_ms,
        only,
    )
