"""Check the command line and the ROS 2 installation before the node starts.

It imports nothing of ROS, so that a missing ROS gives a message instead of a traceback.
"""

from __future__ import annotations

import argparse
import os
from importlib.util import find_spec

BEGIN, END = "--ros-args", "--"  # of what is ROS's own in a command line
DESCRIPTION = "Localizes a robot in a map: images in, ~/pose and the transform map -> odom out."
EPILOG = """\
parameters and names are ROS's own:
  --ros-args -p map_path:=kitchen.map              the map, as `deviloc build-map` makes it; needed
  -p image_topic:=/camera/image_raw                images                        (image)
  -p camera_info_topic:=/camera/camera_info        their calibration             (camera_info)
  -p image_transport:=compressed                   sensor_msgs/CompressedImage   (raw)
  -p tf_mode:=map_to_base                          without odometry              (map_to_odom)
  --params-file FILE -r __ns:=/robot1 -p use_sim_time:=true --log-level debug

docs/interface.md and docs/parameters.md have the rest; `deviloc doctor --map MAP` finds out why there is no pose."""


def check_command_line(arguments: list[str]) -> None:
    """Refuse arguments outside --ros-args, which ROS would silently ignore.

    Raises:
        SystemExit: help was requested (0), or an argument is unknown (2).
    """
    parser = argparse.ArgumentParser(
        prog="deviloc-node",
        usage="%(prog)s [--ros-args -p NAME:=VALUE ...]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if unknown := parser.parse_known_args(select_own_words(arguments))[1]:
        parser.error(f"unknown: {' '.join(unknown)} (parameters follow --ros-args, e.g. -p map_path:=kitchen.map)")


def select_own_words(arguments: list[str]) -> list[str]:
    """Return the arguments that are not between --ros-args and the next --."""
    words, is_own = [], True
    for word in arguments:
        if word == BEGIN:
            is_own = False
        elif word == END and not is_own:
            is_own = True
        elif is_own:
            words.append(word)
    return words


def explain_missing_ros() -> str:
    """Say why ROS 2 cannot be used here and how to mend it; empty if it can."""
    if find_spec("rclpy") is None:
        return (
            "no ROS 2 in this environment (there is no rclpy): source one, as `. /opt/ros/jazzy/setup.bash`, "
            "or run `make setup` in the repository and use its .venv"
        )
    if find_spec("rclpy.event_handler") is None:
        distribution = os.environ.get("ROS_DISTRO", "this ROS 2")
        return f"{distribution} is too old: its rclpy has no matched events; Jazzy, Kilted or newer is needed"
    return ""
