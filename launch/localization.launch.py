"""Starts the localizer: `ros2 launch deviloc_ros localization.launch.py map_path:=/maps/kitchen.map`.

Arguments left empty keep what the parameter file says.
"""

import os
from pathlib import Path

from launch.actions import OpaqueFunction, SetEnvironmentVariable
from launch_ros.actions import Node

from deviloc_ros.ros.launching import (
    NODE_NAME,
    TF_REMAPPINGS,
    choose_time_source,
    declare_arguments,
    demand_packages,
    quote_texts,
    read_arguments,
    read_switch,
    read_switches,
    ros_arguments,
)
from launch import LaunchContext, LaunchDescription

CONFIG = Path(__file__).resolve().parent.parent / "config"
FASTDDS_PROFILES = "FASTDDS_DEFAULT_PROFILES_FILE"

ARGUMENTS = {
    "params_file": (str(CONFIG / "deviloc.yaml"), "parameters of the node"),
    "map_path": ("", "folder of the map"),
    "image_topic": ("", "topic of the images"),
    "camera_info_topic": ("", "topic of the camera's calibration"),
    "image_transport": ("", "raw or compressed"),
    "tf_mode": ("", "map_to_odom, map_to_base or none"),
    "namespace": ("", "namespace of the node, its topics and its TF"),
    "use_sim_time": ("", "true or false: take the time from /clock, all nodes; empty: as params_file says"),
    "autostart": ("", "true or false: configure and activate at once; false under a lifecycle manager"),
    "log_level": ("info", "debug, info, warn, error or fatal"),
    "use_respawn": ("false", "start the node again if it dies"),
    "rviz": ("false", "show map frame, robot and pose in RViz"),
}
TEXTS = ("map_path", "image_topic", "camera_info_topic", "image_transport", "tf_mode")


def generate_launch_description() -> LaunchDescription:
    # Images do not fit into Fast DDS's default shared memory, and a third of them would be lost.
    profiles = SetEnvironmentVariable(FASTDDS_PROFILES, os.environ.get(FASTDDS_PROFILES, str(CONFIG / "fastdds.xml")))
    steps = [OpaqueFunction(function=step) for step in (demand, localizer, rviz)]
    return LaunchDescription([*declare_arguments(ARGUMENTS), profiles, *steps])


def demand(context: LaunchContext) -> list:
    """See that all is there before the first node starts."""
    return demand_packages(read_arguments(context, ARGUMENTS))


def localizer(context: LaunchContext) -> list[Node]:
    values = read_arguments(context, ARGUMENTS)
    overrides: dict = quote_texts({name: values[name] for name in TEXTS if values[name]})
    overrides |= read_switches(values, "autostart") | choose_time_source(values)
    return [
        Node(
            package="deviloc_ros",
            executable="localizer",
            name=NODE_NAME,
            namespace=values["namespace"],
            parameters=[values["params_file"], overrides],
            remappings=TF_REMAPPINGS,
            arguments=ros_arguments(values["log_level"]),
            respawn=read_switch(values, "use_respawn"),
            output="screen",
        )
    ]


def rviz(context: LaunchContext) -> list[Node]:
    """RViz, if wanted: its topics are relative, so that it shows the robot of its namespace."""
    values = read_arguments(context, ARGUMENTS)
    if not read_switch(values, "rviz"):
        return []
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            namespace=values["namespace"],
            parameters=[choose_time_source(values)],
            remappings=TF_REMAPPINGS,
            arguments=["-d", str(CONFIG / "deviloc.rviz")],
        )
    ]
