"""Provide the node that a recording is replayed to: one that is running, or one that is started for it."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path

from deviloc_ros.bags.topics import CameraTopics
from deviloc_ros.demo import find_shipped, read_tail
from deviloc_ros.demo.processes import run_module
from deviloc_ros.messages import COMPRESSED_SUFFIX

WITHOUT_ODOMETRY = {"odom_frame": "''", "tf_mode": "map_to_base"}


@contextmanager
def provide_node(options: argparse.Namespace, topics: CameraTopics, changes: list[str]) -> Iterator[None]:
    """Start a node in a ROS domain of its own, unless `--running-node` is given.

    Args:
        changes: KEY=VALUE of parameters.

    Raises:
        ValueError: it does not answer; the message has the end of its log.
    """
    if options.running_node:
        yield
        return
    os.environ |= {
        "ROS_DOMAIN_ID": str(20 + os.getpid() % 80),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "FASTDDS_DEFAULT_PROFILES_FILE": str(find_shipped("config/fastdds.xml")),
    }
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "node.log"
        try:
            arguments = node_arguments(options, topics, changes)
            with run_module("deviloc_ros.ros", *arguments, env=dict(os.environ), log=log):
                yield
        except TimeoutError as error:
            raise ValueError(f"{error}; the end of the node's log:\n{read_tail(log)}") from error


def node_arguments(options: argparse.Namespace, topics: CameraTopics, changes: list[str]) -> list[str]:
    """Return the node's command line: the command's flags as parameters of the node."""
    values = {
        "use_sim_time": "true",
        "map_path": str(options.map.resolve()),
        "map_frame": options.map_frame,
        "base_frame": options.base_frame,
        "two_d_mode": str(options.two_d).lower(),
    }
    values |= {"odom_frame": options.odom_frame} if options.odom_frame else WITHOUT_ODOMETRY
    values |= {"camera_frame": options.camera_frame} if options.camera_frame else {}
    if topics.beside:
        values["cameras"] = f"[{', '.join(each.camera for each in topics.cameras)}]"
    for each, mount in zip_longest(topics.cameras, options.extrinsic):
        prefix = f"{each.camera}." if each.camera else ""
        values |= {prefix + name: value for name, value in camera_arguments(options, each, mount).items()}
    values |= dict(change.partition("=")[::2] for change in changes)
    arguments = ["--ros-args"]
    for name, value in values.items():
        arguments += ["-p", f"{name}:={value}"]
    return arguments


def camera_arguments(options: argparse.Namespace, topics: CameraTopics, mount: str | None) -> dict[str, str]:
    """Return the parameters of one camera; mount: x y z qx qy qz qw on the robot, if given."""
    values = {
        "image_topic": topics.image.removesuffix(COMPRESSED_SUFFIX),
        "image_transport": "compressed" if topics.image.endswith(COMPRESSED_SUFFIX) else "raw",
        "camera_info_topic": topics.camera_info,
        "rectified": str(bool(options.rectified)).lower(),
    }
    return values | ({"base_from_camera": mount} if mount else {})
