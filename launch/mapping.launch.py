"""Builds a map.

    ros2 launch deviloc_ros mapping.launch.py colmap:=/data/model images:=/data/images output:=/maps/kitchen.map

It runs `deviloc build-map` and ends with it; no ROS node is started.
"""

import shlex

from launch.actions import ExecuteProcess, OpaqueFunction, Shutdown

from deviloc_ros.ros.launching import declare_arguments, read_arguments
from launch import LaunchContext, LaunchDescription

ARGUMENTS = {
    "output": (None, "folder of the map, which must not exist"),
    "colmap": ("", "COLMAP model folder; needs images"),
    "images": ("", "folder of the COLMAP model's images"),
    "sevenscenes": ("", "7-Scenes scene folder, instead of colmap"),
    "kitti": ("", "KITTI odometry sequence folder, instead of colmap"),
    "params_file": ("", "YAML file of mapping parameters, as build-map --config takes it"),
    "options": ("", "further options of build-map, as one text; what holds spaces in quotes"),
}
FLAGS = {name: f"--{name}" for name in ("colmap", "images", "sevenscenes", "kitti", "output")} | {
    "params_file": "--config"
}


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription([*declare_arguments(ARGUMENTS), OpaqueFunction(function=mapper)])


def mapper(context: LaunchContext) -> list:
    values = read_arguments(context, ARGUMENTS)
    command = ["ros2", "run", "deviloc_ros", "deviloc", "build-map"]
    for name, flag in FLAGS.items():
        if values[name]:
            command += [flag, values[name]]
    command += shlex.split(values["options"])
    return [ExecuteProcess(cmd=command, output="screen", on_exit=Shutdown(reason="the map is built"))]
