"""Nav2 on a robot that knows its place from its camera instead of a laser.

    ros2 launch examples/nav2/bringup.launch.py map_path:=/maps/office.map map:=/maps/floor.yaml params_file:=nav2.yaml

deviloc's nav2.launch.py brings up the node and the occupancy grid, Nav2's navigation_launch.py all that plans and
drives. Of Nav2's own localization nothing is started.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from launch import LaunchDescription

ARGUMENTS = {
    "map_path": "folder of the map, as `deviloc build-map` makes it, in the frame of the occupancy grid",
    "map": "YAML file of the occupancy grid",
    "params_file": "parameters of Nav2",
}


def generate_launch_description() -> LaunchDescription:
    """Return both halves."""
    declared = [DeclareLaunchArgument(name, description=about) for name, about in ARGUMENTS.items()]
    sim_time = DeclareLaunchArgument("use_sim_time", default_value="false", description="take the time from /clock")
    localization = include("deviloc_ros", "nav2.launch.py", "map_path", "map", "use_sim_time")
    navigation = include("nav2_bringup", "navigation_launch.py", "params_file", "use_sim_time")
    return LaunchDescription([*declared, sim_time, localization, navigation])


def include(package: str, file: str, *arguments: str) -> IncludeLaunchDescription:
    """Return a package's launch file, with some of our arguments passed on."""
    path = Path(get_package_share_directory(package)) / "launch" / file
    given = [(name, LaunchConfiguration(name)) for name in arguments]
    return IncludeLaunchDescription(PythonLaunchDescriptionSource(str(path)), launch_arguments=given)
