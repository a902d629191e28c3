"""Provide what the launch files share; they import it from the installed package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_context import LaunchContext
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from deviloc_ros.parameters.layouts import NODE as NODE_NAME
from deviloc_ros.ros.parameter_files import read_use_sim_time

Arguments = Mapping[str, tuple[str | None, str]]  # default and description by name; None: it must be given

YES, NO = ("true", "1", "yes", "on"), ("", "false", "0", "no", "off")
# Arguments of the launch files that also start other nodes than the localizer.
COMMON: Arguments = {
    "namespace": ("", "namespace of the robot"),
    "use_sim_time": ("", "true or false: take the time from /clock, all nodes; empty: as params_file says"),
    "log_level": ("info", "debug, info, warn, error or fatal"),
    "rviz": ("false", "show map frame, robot and pose in RViz"),
}
# As nav2 does: in a namespace, a robot has a TF tree of its own.
TF_REMAPPINGS = [("/tf", "tf"), ("/tf_static", "tf_static")]


def declare_arguments(arguments: Arguments) -> list[DeclareLaunchArgument]:
    """Return the actions that declare a launch file's arguments."""
    return [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in arguments.items()
    ]


def read_arguments(context: LaunchContext, arguments: Arguments) -> dict[str, str]:
    """Return the values of arguments: what the user gave, or else the defaults."""
    return {name: LaunchConfiguration(name).perform(context) for name in arguments}


def read_switch(values: Mapping[str, str], name: str) -> bool:
    """Return whether an argument means yes; empty means no. Raises ValueError if it is neither."""
    said = values.get(name, "").strip().lower()
    if said not in (*YES, *NO):
        raise ValueError(f"{name}:={values[name]} is neither true nor false")
    return said in YES


def read_switches(values: Mapping[str, str], *names: str) -> dict[str, bool]:
    """Return the switches that were given; for those left empty the parameter file decides."""
    return {name: read_switch(values, name) for name in names if values[name]}


def quote_texts(values: Mapping[str, str]) -> dict[str, str]:
    """Quote texts as parameters of a Node: launch_ros parses them as YAML, with numbers and comments."""
    return {name: json.dumps(text, ensure_ascii=False) for name, text in values.items()}


def choose_time_source(values: Mapping[str, str]) -> dict[str, bool]:
    """Return `use_sim_time` for all nodes of a launch file: from its argument, else from the localizer's params file.

    To nodes that disagree on the time, each other's transforms are too old or in the future.
    """
    if values["use_sim_time"]:
        return read_switches(values, "use_sim_time")
    localizer = Path("/", values["namespace"], NODE_NAME)
    return {"use_sim_time": read_use_sim_time(Path(values["params_file"]), str(localizer))}


def ros_arguments(log_level: str) -> list[str]:
    """Return the command line of every node."""
    return ["--ros-args", "--log-level", log_level]


def demand_packages(values: Mapping[str, str], *names: str) -> list:
    """Raise RuntimeError unless the localizer, these packages, and RViz if it is wanted, are installed.

    To be called before anything is started: if `launch` finds a package missing later, it leaves orphaned processes.
    """
    wanted = ["deviloc_ros", *names, *(["rviz2"] if read_switch(values, "rviz") else [])]
    missing = [name for name in wanted if not is_installed(name)]
    if missing:
        raise RuntimeError(f"package {missing[0]!r} must be started but is not installed: nothing was started")
    return []


def is_installed(package: str) -> bool:
    """Return whether a ROS package is installed."""
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


def include_localization(launch_file: str, **settings: str) -> IncludeLaunchDescription:
    """Include localization.launch.py, which stands beside `launch_file`, with some of its arguments set."""
    path = Path(launch_file).resolve().parent / "localization.launch.py"
    return IncludeLaunchDescription(PythonLaunchDescriptionSource(str(path)), launch_arguments=settings.items())
