"""The localizer as one sensor of robot_localization: `ros2 launch deviloc_ros fusion.launch.py map_path:=/maps/a.map`.

The localizer broadcasts nothing (tf_mode none); the filter fuses its ~/pose with the odometry and broadcasts map->odom.
Autoware's ekf_localizer takes the same topic: remap its in_pose_with_covariance to /deviloc/pose.
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription

LOCALIZATION = Path(__file__).resolve().parent / "localization.launch.py"
CONFIG = Path(__file__).resolve().parent.parent / "config"

ARGUMENTS = {
    "ekf_params_file": (str(CONFIG / "fusion_ekf.yaml"), "parameters of the filter"),
    "odom_topic": ("odom", "nav_msgs/Odometry of the robot"),
    "namespace": ("", "namespace of the robot"),
    "use_sim_time": ("false", "take the time from /clock"),
    "log_level": ("info", "debug, info, warn, error or fatal"),
}


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    localizer = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(LOCALIZATION)), launch_arguments={"tf_mode": "none"}.items()
    )
    return LaunchDescription([*arguments, OpaqueFunction(function=ekf), localizer])


def ekf(context: LaunchContext) -> list[Node]:
    """The filter in the map frame."""
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    overrides = {"use_sim_time": given["use_sim_time"].lower() == "true", "odom0": given["odom_topic"]}
    return [
        Node(
            package="robot_localization",
            executable="ekf_node",
            name="ekf_map",
            namespace=given["namespace"],
            parameters=[given["ekf_params_file"], overrides],
            remappings=[("/tf", "tf"), ("/tf_static", "tf_static")],
            arguments=["--ros-args", "--log-level", given["log_level"]],
            output="screen",
        )
    ]
