"""The localizer in the place of amcl.

    ros2 launch deviloc_ros nav2.launch.py map_path:=/maps/kitchen.map map:=/maps/floor.yaml

nav2_map_server gives the costmaps their grid, nav2_lifecycle_manager brings both up; nav2's own navigation_launch.py is
started beside it. The localizer has no bond, so the manager's timeout for bonds is off.
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription

LOCALIZATION = Path(__file__).resolve().parent / "localization.launch.py"

ARGUMENTS = {
    "map": ("", "YAML file of the occupancy grid; empty: nav2_map_server is not started"),
    "namespace": ("", "namespace of the robot"),
    "use_sim_time": ("false", "take the time from /clock"),
    "autostart": ("true", "bring all up at once"),
    "log_level": ("info", "debug, info, warn, error or fatal"),
}


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    # `autostart` of the localizer is off: the manager tells it when.
    localizer = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(LOCALIZATION)), launch_arguments={"autostart": "false"}.items()
    )
    return LaunchDescription([*arguments, OpaqueFunction(function=nav2_nodes), localizer])


def nav2_nodes(context: LaunchContext) -> list[Node]:
    """Map server and lifecycle manager."""
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    use_sim_time = given["use_sim_time"].lower() == "true"
    common = {
        "namespace": given["namespace"],
        "arguments": ["--ros-args", "--log-level", given["log_level"]],
        "output": "screen",
    }
    managed = {
        "use_sim_time": use_sim_time,
        "autostart": given["autostart"].lower() == "true",
        "node_names": ["map_server", "deviloc"] if given["map"] else ["deviloc"],
        "bond_timeout": 0.0,
    }
    manager = Node(
        package="nav2_lifecycle_manager",
        executable="lifecycle_manager",
        name="lifecycle_manager_localization",
        parameters=[managed],
        **common,
    )
    if not given["map"]:
        return [manager]
    grid = {"yaml_filename": given["map"], "use_sim_time": use_sim_time}
    server = Node(package="nav2_map_server", executable="map_server", name="map_server", parameters=[grid], **common)
    return [server, manager]
