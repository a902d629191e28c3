"""The node and two filters: ros2 launch examples/fusion/two_filters.launch.py map_path:=/maps/office.map."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription

PARAMETERS = str(Path(__file__).resolve().parent / "two_filters.yaml")


def generate_launch_description() -> LaunchDescription:
    """Return the node without transforms of its own, a filter for the odometry and one for the map."""
    path = Path(get_package_share_directory("deviloc_ros")) / "launch" / "localization.launch.py"
    given = [("map_path", LaunchConfiguration("map_path")), ("tf_mode", "none")]
    node = IncludeLaunchDescription(PythonLaunchDescriptionSource(str(path)), launch_arguments=given)
    filters = [
        Node(
            package="robot_localization",
            executable="ekf_node",
            name=name,
            parameters=[PARAMETERS],
            remappings=[("odometry/filtered", topic)],
            output="screen",
        )
        for name, topic in (("ekf_odom", "odometry/local"), ("ekf_map", "odometry/map"))
    ]
    return LaunchDescription([DeclareLaunchArgument("map_path"), node, *filters])
