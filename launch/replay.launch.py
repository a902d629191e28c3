"""Plays a recording to the localizer.

    ros2 launch deviloc_ros replay.launch.py bag:=/bags/drive map_path:=/maps/kitchen.map

Time is the recording's. A map->odom in the recording would contradict ours: leave such a /tf out with `exclude:=/tf`.
All arguments of localization.launch.py are passed on.
"""

from pathlib import Path

from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from launch import LaunchContext, LaunchDescription

LOCALIZATION = Path(__file__).resolve().parent / "localization.launch.py"

ARGUMENTS = {
    "bag": (None, "folder of the recording"),
    "rate": ("1.0", "speed of the recording"),
    "exclude": ("", "topics of the recording that are not played, separated by spaces"),
    "start_delay": ("5.0", "seconds until the recording starts: the localizer loads its map meanwhile"),
    "use_sim_time": ("true", "take the time from the recording"),
}


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    localizer = IncludeLaunchDescription(PythonLaunchDescriptionSource(str(LOCALIZATION)))
    return LaunchDescription([*arguments, localizer, OpaqueFunction(function=player)])


def player(context: LaunchContext) -> list:
    """The recording; all ends with it."""
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    command = ["ros2", "bag", "play", given["bag"], "--clock", "100", "--rate", given["rate"]]
    command += ["--delay", given["start_delay"], "--disable-keyboard-controls"]
    if given["exclude"]:
        command += ["--exclude-topics", *given["exclude"].split()]
    play = ExecuteProcess(cmd=command, output="screen")
    end = RegisterEventHandler(OnProcessExit(target_action=play, on_exit=[Shutdown(reason="the recording is over")]))
    return [play, end]
