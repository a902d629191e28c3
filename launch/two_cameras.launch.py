"""Starts the localizer of a robot with two cameras.

    ros2 launch deviloc_ros two_cameras.launch.py map_path:=/maps/kitchen.map params_file:=my_two_cameras.yaml

A copy of config/two_cameras.yaml says what the cameras are called, where their topics are and where they sit. All
arguments of localization.launch.py are passed on.
"""

from pathlib import Path

from deviloc_ros.ros.launching import declare_arguments, include_localization
from launch import LaunchDescription

CONFIG = Path(__file__).resolve().parent.parent / "config"
ARGUMENTS = {"params_file": (str(CONFIG / "two_cameras.yaml"), "parameters of the node, those of both cameras too")}


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription([*declare_arguments(ARGUMENTS), include_localization(__file__)])
