"""Diagnose why there is no pose, from machine, running robot and map, with advice: `doctor`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deviloc_ros.commands.flags.common import parse_above_zero


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("--map", type=Path, metavar="MAP", help="folder of the map")
    parser.add_argument(
        "--image-topic",
        action="append",
        default=[],
        metavar="TOPIC",
        help="default: those of the running node, else image; several: those of a rig",
    )
    parser.add_argument(
        "--camera-info-topic",
        action="append",
        default=[],
        metavar="TOPIC",
        help="one for each --image-topic; default: camera_info, for a rig those next to the image topics",
    )
    parser.add_argument("--map-frame", metavar="FRAME", help="default for frames: those of the running node")
    parser.add_argument("--odom-frame", metavar="FRAME", help="empty: no odometry")
    parser.add_argument("--base-frame", metavar="FRAME")
    parser.add_argument(
        "--seconds", type=parse_above_zero, default=5.0, metavar="S", help="how long to listen to topics (%(default)s)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the findings; return 1 if one of them prevents poses."""
    from deviloc_ros.doctor.checks import Level

    levels = []
    for finding in find_all(options):
        print(finding, flush=True)
        levels.append(finding.level)
    return 1 if Level.FAIL in levels else 0


def pair_topics(images: list[str], infos: list[str]) -> tuple[tuple[str, str], ...]:
    """Pair the topics of images and calibrations; empty if none are given. Raises ValueError for unequal numbers."""
    if not images and not infos:
        return ()
    images = images or ["image"]
    if len(images) > 1:
        infos = infos or [f"{image.rpartition('/')[0]}/camera_info" for image in images]
    infos = infos or ["camera_info"]
    if len(infos) != len(images):
        raise ValueError(f"--camera-info-topic is given {len(infos)} times for {len(images)} of --image-topic")
    return tuple(zip(images, infos, strict=True))


def list_given(options: argparse.Namespace) -> dict[str, Any]:
    """Return the values of flags about the robot, by the fields of `Questions`. Raises ValueError."""
    given = {name: getattr(options, name) for name in ("map_frame", "odom_frame", "base_frame", "seconds")}
    given["cameras"] = pair_topics(options.image_topic, options.camera_info_topic) or None
    return {name: value for name, value in given.items() if value is not None}


def find_all(options: argparse.Namespace) -> Iterator:
    """Yield all findings in the order in which to fix them."""
    from deviloc_ros.doctor.checks import examine_machine, examine_map, make_failure

    yield from examine_machine()
    cameras: tuple = ()
    try:
        from deviloc_ros.ros.tools.doctor import examine_robot
    except ImportError as error:
        yield make_failure(f"ROS cannot be imported: {error}", "source the setup file of ROS 2, or run `make setup`")
    else:
        of_robot, cameras = examine_robot(list_given(options))
        yield from of_robot
    yield from examine_map(options.map, cameras)
