"""The localizer in the place of amcl.

    ros2 launch deviloc_ros nav2.launch.py map_path:=/maps/kitchen.map map:=/maps/floor.yaml

nav2_map_server gives the costmaps their grid, nav2_lifecycle_manager brings both up; nav2's own navigation_launch.py is
started beside it. The localizer has no bond, so the manager's timeout for bonds is off.
"""

from pathlib import Path

from launch.actions import OpaqueFunction
from launch_ros.actions import Node

from deviloc_ros.ros.launching import (
    COMMON,
    NODE_NAME,
    choose_time_source,
    declare_arguments,
    demand_packages,
    include_localization,
    quote_texts,
    read_arguments,
    read_switch,
    ros_arguments,
)
from launch import LaunchContext, LaunchDescription

CONFIG = Path(__file__).resolve().parent.parent / "config"

ARGUMENTS = {
    "map": ("", "YAML file of the occupancy grid; empty: nav2_map_server is not started"),
    "autostart": ("true", "bring all up at once"),
    "params_file": (str(CONFIG / "deviloc.yaml"), "parameters of the localizer"),
    **COMMON,
}


def generate_launch_description() -> LaunchDescription:
    # `autostart` of the localizer is off: the manager tells it when.
    localizer = include_localization(__file__, autostart="false")
    steps = [OpaqueFunction(function=step) for step in (demand, nav2_nodes)]
    return LaunchDescription([*declare_arguments(ARGUMENTS), *steps, localizer])


def demand(context: LaunchContext) -> list:
    """See that all is there before the first node starts."""
    values = read_arguments(context, ARGUMENTS)
    return demand_packages(values, "nav2_lifecycle_manager", *(["nav2_map_server"] if values["map"] else []))


def nav2_nodes(context: LaunchContext) -> list[Node]:
    """Map server and lifecycle manager."""
    values = read_arguments(context, ARGUMENTS)
    use_sim_time = choose_time_source(values)
    common = {
        "namespace": values["namespace"],
        "arguments": ros_arguments(values["log_level"]),
        "output": "screen",
    }
    managed = {
        **use_sim_time,
        "autostart": read_switch(values, "autostart"),
        "node_names": ["map_server", NODE_NAME] if values["map"] else [NODE_NAME],
        "bond_timeout": 0.0,
    }
    manager = Node(
        package="nav2_lifecycle_manager",
        executable="lifecycle_manager",
        name="lifecycle_manager_localization",
        parameters=[managed],
        **common,
    )
    if not values["map"]:
        return [manager]
    grid = {**quote_texts({"yaml_filename": values["map"]}), **use_sim_time}
    server = Node(package="nav2_map_server", executable="map_server", name="map_server", parameters=[grid], **common)
    return [server, manager]
