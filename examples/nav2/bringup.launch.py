r"""Nav2 on a robot that knows its place from its camera instead of a laser.

    ros2 launch examples/nav2/bringup.launch.py \
        map_path:=/maps/office.map map:=/maps/floor.yaml nav2_params_file:=nav2.yaml image_topic:=/camera/image

deviloc's nav2.launch.py brings up the node and the occupancy grid, Nav2's navigation_launch.py all that plans and
drives. Of Nav2's own localization nothing is started.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from launch import LaunchDescription

CONFIG = Path(get_package_share_directory("deviloc_ros")) / "config"
ARGUMENTS = {
    "map_path": (None, "folder of the map, as `deviloc build-map` makes it, in the frame of the occupancy grid"),
    "map": (None, "YAML file of the occupancy grid"),
    "nav2_params_file": (None, "parameters of Nav2"),
    "localizer_params_file": (str(CONFIG / "deviloc.yaml"), "parameters of the localizer"),
    "image_topic": ("", "topic of the images; empty: as the localizer's parameters say"),
    "camera_info_topic": ("", "topic of the camera's calibration; empty: as the localizer's parameters say"),
    "use_sim_time": ("false", "take the time from /clock"),
}
OF_LOCALIZER = ("map_path", "map", "image_topic", "camera_info_topic", "use_sim_time")


def generate_launch_description() -> LaunchDescription:
    """Return both halves; each is given its own parameters, which both call `params_file`."""
    declared = [
        DeclareLaunchArgument(name, default_value=value, description=about)
        for name, (value, about) in ARGUMENTS.items()
    ]
    of_localizer = {name: name for name in OF_LOCALIZER} | {"params_file": "localizer_params_file"}
    of_nav2 = {"params_file": "nav2_params_file", "use_sim_time": "use_sim_time"}
    localization = include("deviloc_ros", "nav2.launch.py", of_localizer)
    navigation = include("nav2_bringup", "navigation_launch.py", of_nav2)
    return LaunchDescription([*declared, localization, navigation])


def include(package: str, file: str, arguments: dict[str, str]) -> IncludeLaunchDescription:
    """Return a package's launch file, each of its arguments with the value of one of ours."""
    path = Path(get_package_share_directory(package)) / "launch" / file
    given = [(theirs, LaunchConfiguration(ours)) for theirs, ours in arguments.items()]
    return IncludeLaunchDescription(PythonLaunchDescriptionSource(str(path)), launch_arguments=given)
