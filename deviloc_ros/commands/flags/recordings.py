"""Define flags that describe recordings, and which of their images to localize."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from deviloc_ros.commands.flags.common import (
    CAMERA,
    CAMERA_FORMS,
    MOUNT,
    MOUNT_FORMS,
    add_every,
    parse_above_zero,
    parse_camera,
    parse_mount,
    parse_zero_or_more,
    step_of,
    take_rig,
    take_section,
)
from deviloc_ros.config import GNSS, GnssConfig

if TYPE_CHECKING:
    from deviloc_ros.bags.bag_index import RobotSetup
    from deviloc_ros.bags.bag_plan import Part
    from deviloc_ros.evaluation.recordings.bag_run import EvaluationPlan


def add_topics(parser: argparse.ArgumentParser) -> None:
    """Add topics of images and calibrations; several of them are those of a rig's cameras."""
    parser.add_argument(
        "--image-topic",
        action="append",
        default=[],
        metavar="TOPIC",
        help="default: the only image topic; several: the cameras of a rig, localized together",
    )
    parser.add_argument(
        "--camera-info-topic",
        action="append",
        default=[],
        metavar="TOPIC",
        help="default: the one next to the image topic; for a rig one for each --image-topic, in the same order",
    )


def add_truth(group: argparse._ArgumentGroup) -> None:
    """Add the source of ground truth, and the frame of its poses."""
    source = group.add_mutually_exclusive_group()
    source.add_argument("--ground-truth", type=Path, metavar="FILE.tum", help="TUM trajectory")
    source.add_argument(
        "--ground-truth-topic",
        default="",
        metavar="TOPIC",
        help="PoseStamped, PoseWithCovarianceStamped, Odometry or TransformStamped",
    )
    source.add_argument("--ground-truth-tf", nargs=2, metavar=("PARENT", "CHILD"), help="a transform in the recording")
    group.add_argument(
        "--ground-truth-frame",
        default="",
        metavar="FRAME",
        help="the frame whose poses these are; default: the base frame",
    )
    group.add_argument(
        "--align", action="store_true", help="align all poses rigidly with the ground truth; the report says so"
    )


def add_robot(group: argparse._ArgumentGroup) -> None:
    """Add frames, extrinsic, calibration and odometry of the robot."""
    for name in ("map", "odom", "base", "camera"):
        default = {"base": "base_link", "camera": ""}.get(name, name)
        group.add_argument(
            f"--{name}-frame", default=default, metavar="FRAME", help=f"default: {default or 'that of the images'}"
        )
    group.add_argument(
        "--extrinsic",
        action="append",
        default=[],
        metavar=MOUNT,
        help=f"the camera in the base frame, {MOUNT_FORMS}; for a rig one for each --image-topic; default: from TF",
    )
    group.add_argument("--camera", metavar=CAMERA, help=f"calibration, {CAMERA_FORMS}; default: from camera_info")
    add_lens(group)
    group.add_argument("--two-d", action="store_true", help="the robot moves on the plane z = 0 of the map")
    group.add_argument(
        "--gnss-topic", default="", metavar="TOPIC", help="sensor_msgs/NavSatFix, for maps aligned to coordinates"
    )
    group.add_argument("--odometry-topic", default="", metavar="TOPIC", help="nav_msgs/Odometry, if TF has no odometry")


def add_lens(group: argparse._ArgumentGroup) -> None:
    """Add whether images are rectified, and the frame of their camera_info."""
    group.add_argument(
        "--rectified",
        action=argparse.BooleanOptionalAction,
        help="whether the images are rectified (camera_info's P applies, not K and D); default: decided by the "
        "topic's name, and by the images if they are conclusive",
    )
    group.add_argument(
        "--camera-info-frame",
        default="",
        metavar="FRAME",
        help="use camera_info of this frame, whatever frame the images have",
    )


def add_sampling(group: argparse._ArgumentGroup) -> None:
    """Add flags for sampling images."""
    add_every(group, "image")
    add_part(group)
    group.add_argument(
        "--budget-ms",
        type=parse_zero_or_more,
        default=0.0,
        metavar="MS",
        help="drop images as a machine that needs this long per image would",
    )
    group.add_argument("--images-of", type=Path, metavar="RUN", help="only the images that another run processed")


def add_part(group: argparse._ActionsContainer) -> None:
    """Add --start and --end, which `read_part` reads."""
    group.add_argument(
        "--start",
        type=parse_zero_or_more,
        default=0.0,
        metavar="S",
        help="skip the first S seconds, e.g. to map with one half of a drive and evaluate on the other",
    )
    group.add_argument("--end", type=parse_above_zero, metavar="S", help="stop after S seconds")


def read_part(options: argparse.Namespace) -> Part:
    """Return the part of the recording to use. Raises ValueError naming the flags."""
    from deviloc_ros.bags.bag_plan import Part

    try:
        return Part(options.start) if options.end is None else Part(options.start, options.end)
    except ValueError as error:
        raise ValueError(f"--start, --end: {error}") from error


def add_real_time(group: argparse._ArgumentGroup) -> None:
    """Add flags for replaying the recording to a node."""
    group.add_argument(
        "--real-time", action="store_true", help="replay to the node over DDS, and evaluate what it publishes"
    )
    group.add_argument(
        "--rate", type=parse_zero_or_more, default=1.0, help="speed; 0 waits for each image. Default: %(default)s"
    )
    group.add_argument("--running-node", action="store_true", help="use the running node; default: start one")


def read_plan(options: argparse.Namespace) -> EvaluationPlan:
    """Return the plan that the flags describe. Raises ValueError naming the flag."""
    from deviloc_ros.bags.bag_plan import TruthSource
    from deviloc_ros.evaluation.recordings.bag_run import EvaluationPlan
    from deviloc_ros.evaluation.recordings.run_folder import read_run

    check_cameras(options)
    robot = read_robot(options)
    truth = TruthSource(
        options.ground_truth,
        options.ground_truth_topic,
        tuple(options.ground_truth_tf) if options.ground_truth_tf else None,
        options.ground_truth_frame,
    )
    only = None
    if options.images_of:
        only = frozenset(f.estimate.stamp_ns for f in read_run(options.images_of).frames if f.estimate.tried)
    first, *beside = options.image_topic or [""]
    first_info, *beside_infos = options.camera_info_topic or [""]
    return EvaluationPlan(
        image_topic=first,
        camera_info_topic=first_info,
        robot=robot,
        truth=truth,
        beside=tuple(beside),
        beside_infos=tuple(beside_infos),
        part=read_part(options),
        align=options.align,
        every=step_of(options),
        budget_ms=options.budget_ms,
        only=only,
        grouping=take_rig(options),
        gnss_topic=options.gnss_topic,
        gnss=take_section(options, GNSS, GnssConfig()),
    )


def read_robot(options: argparse.Namespace) -> RobotSetup:
    """Return the robot's setup from the flags of `add_robot`. Raises ValueError naming an invalid one."""
    from deviloc_ros.bags.bag_index import RobotSetup

    mounts = [parse_mount(text) for text in options.extrinsic]
    return RobotSetup(
        map_frame=options.map_frame,
        odom_frame=options.odom_frame,
        base_frame=options.base_frame,
        camera_frame=options.camera_frame,
        base_from_cam=mounts[0] if len(mounts) == 1 else None,
        camera=parse_camera(options.camera) if options.camera else None,
        camera_info_frame=options.camera_info_frame,
        rectified=options.rectified,
        two_d=options.two_d,
        odometry_topic=options.odometry_topic,
        mounts=dict(zip(options.image_topic, mounts, strict=True)) if len(mounts) > 1 else {},
    )


def check_cameras(options: argparse.Namespace) -> None:
    """Raise ValueError naming a flag that is not given once for each image topic."""
    cameras = max(len(options.image_topic), 1)
    for flag, given in (("--camera-info-topic", options.camera_info_topic), ("--extrinsic", options.extrinsic)):
        if given and len(given) != cameras:
            raise ValueError(f"{flag} is given {len(given)} times: one for each of {cameras} --image-topic, or none")
    if cameras > 1:
        for flag in ("camera", "camera_frame", "camera_info_frame"):
            if getattr(options, flag):
                raise ValueError(f"--{flag.replace('_', '-')} is of a single camera: several are described by topics")
