"""Define flags for the sources of posed images, for commands that put these into a map."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from deviloc_ros.commands.flags.common import (
    CAMERA,
    CAMERA_FORMS,
    MOUNT,
    MOUNT_FORMS,
    add_every,
    parse_camera,
    parse_mount,
    parse_offset,
    parse_zero_or_more,
    step_of,
)
from deviloc_ros.commands.flags.depth import add_depth, attach_depth, plan_depth
from deviloc_ros.commands.flags.masks import attach_masks
from deviloc_ros.commands.flags.recordings import add_lens, add_part, read_part
from deviloc_ros.commands.flags.source_flags import ALONE, LAYOUTS, POSED_FOLDER, check_flags, find_source

if TYPE_CHECKING:
    from deviloc_ros.mapping.views import BuildReport
    from deviloc_ros.sources.base import ImageFile, Source


MOST_LISTED = 20  # skipped images; an incomplete data set has thousands
Named = TypeVar("Named", bound="ImageFile")


def add_source(parser: argparse.ArgumentParser, beside: str = "") -> None:
    """Add one flag for each layout, with its further flags.

    Args:
        beside: sources that the command takes in addition to layouts: ALONE or CONTRIBUTED.
    """
    alone = beside == ALONE
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--colmap", type=Path, metavar="MODEL", help="COLMAP model folder, text or binary; needs --images"
    )
    source.add_argument("--sevenscenes", type=Path, metavar="SCENE", help="a 7-Scenes scene folder")
    source.add_argument("--kitti", type=Path, metavar="SEQUENCE", help="a KITTI odometry sequence folder")
    source.add_argument("--tum", type=Path, metavar="SEQUENCE", help="a TUM RGB-D sequence folder")
    source.add_argument(
        "--nerfstudio", type=Path, metavar="FILE", help="transforms.json of nerfstudio or instant-ngp, or its folder"
    )
    parser.add_argument(
        "--axes",
        choices=("opengl", "opencv"),
        default="opengl",
        help="camera axes of transforms.json: x right, y up, z back; or x right, y down, z ahead. Default: %(default)s",
    )
    source.add_argument("--kapture", type=Path, metavar="DIR", help="a kapture folder")
    source.add_argument("--bag", type=Path, metavar="BAG", help="a recording: folder or file")
    names = "the folder that the model's image names are relative to"
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help=f"image folder, {'without poses or with' if alone else 'with'} --poses; --colmap: {names}",
    )
    parser.add_argument(
        "--sequences", nargs="+", default=[], metavar="SEQ", help="7-Scenes; default: those of TrainSplit.txt"
    )
    parser.add_argument(
        "--camera",
        metavar=CAMERA,
        help=f"calibration, {CAMERA_FORMS}; default: that of the data set (--tum), camera_info (--bag)"
        + (", or estimated (--images alone)" if alone else ""),
    )
    parser.add_argument("--only", metavar="PATTERN", help="only images whose names match, e.g. 'seq-01/*'")
    add_every(parser, "image")
    add_bag(parser.add_argument_group("from a recording"))
    add_depth(parser.add_argument_group("from a depth sensor"))
    parser.set_defaults(default_of=parser.get_default, takes=(*LAYOUTS, POSED_FOLDER, beside))


def add_bag(group: argparse._ArgumentGroup) -> None:
    """Add topics, the robot's poses, and which images become views."""
    group.add_argument("--image-topic", default="", metavar="TOPIC", help="default: the only image topic")
    group.add_argument(
        "--camera-info-topic", default="", metavar="TOPIC", help="default: the one next to the image topic"
    )
    poses = group.add_mutually_exclusive_group()
    poses.add_argument(
        "--pose-topic",
        default="",
        metavar="TOPIC",
        help="the robot's poses: Odometry, PoseStamped, PoseWithCovarianceStamped or TransformStamped",
    )
    poses.add_argument(
        "--odom-topic", default="", metavar="TOPIC", help="the same for drifting poses, which build-map refines"
    )
    poses.add_argument(
        "--tf", nargs=2, metavar=("PARENT", "CHILD"), help="poses from transforms, e.g. --tf map base_link"
    )
    poses.add_argument(
        "--poses",
        type=Path,
        metavar="FILE",
        help="poses from a file: TUM's or EuRoC's by time; with --images, whose names are times, or lines "
        "`NAME QW QX QY QZ TX TY TZ` (cam_from_world) by name, as hloc's",
    )
    group.add_argument("--base-frame", default="base_link", metavar="FRAME", help="the robot's base frame")
    group.add_argument(
        "--pose-frame",
        default="",
        metavar="FRAME",
        help="the frame whose poses these are; default: child_frame_id of the messages, else the base frame",
    )
    group.add_argument("--camera-frame", default="", metavar="FRAME", help="default: that of the images")
    group.add_argument(
        "--extrinsic",
        default="",
        metavar=MOUNT,
        help=f"the camera in the base frame (of --poses), {MOUNT_FORMS}; "
        "default: from TF (--bag), or the poses are the camera's (--images)",
    )
    group.add_argument(
        "--time-offset",
        type=parse_offset,
        default=0.0,
        metavar="S",
        help="added to an image's stamp to get its pose's time",
    )
    add_lens(group)
    add_part(group)
    group.add_argument(
        "--keyframe-m",
        type=parse_zero_or_more,
        default=0.25,
        metavar="M",
        help="distance from view to view (%(default)s)",
    )
    group.add_argument(
        "--keyframe-deg",
        type=parse_zero_or_more,
        default=10.0,
        metavar="DEG",
        help="or rotation from view to view (%(default)s)",
    )
    group.add_argument("--keyframes", type=Path, metavar="DIR", help="store the selected images here")


@contextmanager
def open_posed_images(options: argparse.Namespace) -> Iterator[Source]:
    """Yield the posed images that the flags name; keyframes of a recording are temporary files.

    Raises:
        ValueError: the message names the flag or file.
    """
    check_flags(options)
    step = step_of(options)
    with ExitStack() as stack:
        if options.bag:
            folder = options.keyframes or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            source = read_recording(options, folder)
        else:
            source = attach_depth(read_layout(options), options)
        images = select_named(source.images, options.only)[::step]
        yield replace(source, images=attach_masks(images, options))


def select_named(images: list[Named], pattern: str | None) -> list[Named]:
    """Return the images whose names match --only. Raises ValueError if none does."""
    chosen = [image for image in images if pattern is None or fnmatch(image.name, pattern)]
    if images and not chosen:
        raise ValueError(f"--only {pattern!r}: no image has such a name; the first is {images[0].name!r}")
    return chosen


def read_layout(options: argparse.Namespace) -> Source:
    """Read the images of the given layout."""
    from deviloc_ros.bags.truth import read_truth_file
    from deviloc_ros.sources import colmap, kapture, kitti, nerfstudio, sevenscenes, tum_rgbd

    if find_source(options) == POSED_FOLDER:
        return read_images_with_poses(options)
    if not any(getattr(options, layout) for layout in LAYOUTS):
        listing = ", ".join(f"--{layout}" for layout in LAYOUTS)
        raise ValueError(f"where are posed images? give one of {listing}, or --images and --poses")
    if options.colmap:
        if options.images is None:
            raise ValueError("--colmap needs --images, the folder that the model's image names are relative to")
        return colmap.read_model(options.colmap, options.images)
    if options.sevenscenes:
        return sevenscenes.read_seven_scenes(options.sevenscenes, tuple(options.sequences))
    if options.tum:
        camera = parse_camera(options.camera) if options.camera else None
        return tum_rgbd.read_tum_sequence(options.tum, read_truth_file(options.tum / "groundtruth.txt").at, camera)
    if options.nerfstudio:
        return nerfstudio.read_transforms(options.nerfstudio, options.axes)
    if options.kapture:
        return kapture.read_kapture(options.kapture)
    return kitti.read_kitti(options.kitti)


def read_images_with_poses(options: argparse.Namespace) -> Source:
    """Read --images with the poses of --poses. Raises ValueError."""
    from deviloc_ros.sources.posed_folder import read_posed_folder

    if not options.camera:
        raise ValueError(f"--images with --poses needs --camera, {CAMERA_FORMS}")
    mount = parse_mount(options.extrinsic) if options.extrinsic else None
    return read_posed_folder(options.images, options.poses, parse_camera(options.camera), mount)


def read_recording(options: argparse.Namespace, folder: Path) -> Source:
    """Read keyframes of --bag, written into a folder."""
    from deviloc_ros.bags.bag_index import RobotSetup
    from deviloc_ros.bags.bag_plan import ReadingPlan, TruthSource
    from deviloc_ros.sources.keyframes import Spacing
    from deviloc_ros.sources.recordings import read_bag

    robot = RobotSetup(
        base_frame=options.base_frame,
        camera_frame=options.camera_frame,
        base_from_cam=parse_mount(options.extrinsic) if options.extrinsic else None,
        camera=parse_camera(options.camera) if options.camera else None,
        camera_info_frame=options.camera_info_frame,
        rectified=options.rectified,
    )
    topic = options.pose_topic or options.odom_topic
    tf = tuple(options.tf) if options.tf else None
    poses = TruthSource(options.poses, topic, tf, options.pose_frame, "--pose-frame")
    part = read_part(options)
    reading = ReadingPlan(options.image_topic, options.camera_info_topic, robot, poses, part=part)
    spacing = Spacing(options.keyframe_m, options.keyframe_deg)
    offset_s = options.time_offset
    return read_bag(options.bag, reading, spacing, folder, time_offset_s=offset_s, depth=plan_depth(options))


def print_report(report: BuildReport, what: str, seconds: float) -> None:
    """Print the report on the images."""
    from deviloc_ros.sources.base import count_reasons

    print(
        f"{what}: {report.views} views, "
        f"{report.landmarks} landmarks ({report.landmarks_per_view:.0f} a view), "
        f"{report.lifted_share:.0%} of keypoints lifted, {seconds:.1f} s ({seconds / report.views:.2f} s a view)"
    )
    for subject, note in report.notes.items():
        print(f"{subject}: {'as warned above; `deviloc map info` says it again' if subject in report.warned else note}")
    if report.depth.used:
        print(f"depth: {report.depth.used} of {report.views} views; {report.depth.correction}")
    for what, left_out in (("images skipped", report.skipped), ("depth images not used", report.depth.skipped)):
        if left_out:
            print(f"{len(left_out)} {what}:")
        for skipped in left_out[:MOST_LISTED]:
            print(f"  {skipped.name}: {skipped.why}")
        if others := left_out[MOST_LISTED:]:
            print(f"  and {len(others)} more: {count_reasons(others)}")
