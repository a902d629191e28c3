"""The localizer as one sensor of robot_localization: `ros2 launch deviloc_ros fusion.launch.py map_path:=/maps/a.map`.

The localizer broadcasts nothing (tf_mode none); the filter fuses its ~/pose with the odometry and broadcasts map->odom.
Autoware's ekf_localizer takes the same topic: remap its in_pose_with_covariance to /deviloc/pose.
"""

from pathlib import Path

from launch.actions import OpaqueFunction
from launch_ros.actions import Node

from deviloc_ros.ros.launching import (
    COMMON,
    TF_REMAPPINGS,
    choose_time_source,
    declare_arguments,
    demand_packages,
    include_localization,
    read_arguments,
    ros_arguments,
)
from launch import LaunchContext, LaunchDescription

CONFIG = Path(__file__).resolve().parent.parent / "config"

ARGUMENTS = {
    "ekf_params_file": (str(CONFIG / "fusion_ekf.yaml"), "parameters of the filter; not use_sim_time, see there"),
    "params_file": (str(CONFIG / "deviloc.yaml"), "parameters of the localizer"),
    "odom_topic": ("odom", "nav_msgs/Odometry of the robot"),
    **COMMON,
}


def generate_launch_description() -> LaunchDescription:
    localizer = include_localization(__file__, tf_mode="none")
    steps = [OpaqueFunction(function=step) for step in (demand, ekf)]
    return LaunchDescription([*declare_arguments(ARGUMENTS), *steps, localizer])


def demand(context: LaunchContext) -> list:
    """See that all is there before the first node starts."""
    return demand_packages(read_arguments(context, ARGUMENTS), "robot_localization")


def ekf(context: LaunchContext) -> list[Node]:
    """The filter in the map frame."""
    values = read_arguments(context, ARGUMENTS)
    overrides = {**choose_time_source(values), "odom0": values["odom_topic"]}
    return [
        Node(
            package="robot_localization",
            executable="ekf_node",
            name="ekf_map",
            namespace=values["namespace"],
            parameters=[values["ekf_params_file"], overrides],
            remappings=TF_REMAPPINGS,
            arguments=ros_arguments(values["log_level"]),
            output="screen",
        )
    ]
