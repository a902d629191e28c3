"""Plays a recording to the localizer.

    ros2 launch deviloc_ros replay.launch.py bag:=/bags/drive map_path:=/maps/kitchen.map

Time is the recording's. A map->odom in the recording would contradict ours: leave such a /tf out with `exclude:=/tf`.
All arguments of localization.launch.py are passed on.
"""

from launch.actions import ExecuteProcess, OpaqueFunction, RegisterEventHandler, Shutdown
from launch.event_handlers import OnProcessExit

from deviloc_ros.ros.launching import declare_arguments, demand_packages, include_localization, read_arguments
from launch import LaunchContext, LaunchDescription

ARGUMENTS = {
    "bag": (None, "folder of the recording"),
    "rate": ("1.0", "speed of the recording"),
    "exclude": ("", "topics of the recording that are not played, separated by spaces"),
    "start_delay": ("5.0", "seconds until the recording starts: the localizer loads its map meanwhile"),
    "use_sim_time": ("true", "take the time from the recording"),
}


def generate_launch_description() -> LaunchDescription:
    before, after = OpaqueFunction(function=demand), OpaqueFunction(function=player)
    return LaunchDescription([*declare_arguments(ARGUMENTS), before, include_localization(__file__), after])


def demand(context: LaunchContext) -> list:
    """See that all is there before the first node starts."""
    return demand_packages(read_arguments(context, ARGUMENTS), "ros2bag")


def player(context: LaunchContext) -> list:
    """The recording; all ends with it."""
    values = read_arguments(context, ARGUMENTS)
    command = ["ros2", "bag", "play", values["bag"], "--clock", "100", "--rate", values["rate"]]
    command += ["--delay", values["start_delay"], "--disable-keyboard-controls"]
    if values["exclude"]:
        command += ["--exclude-topics", *values["exclude"].split()]
    play = ExecuteProcess(cmd=command, output="screen")
    end = RegisterEventHandler(OnProcessExit(target_action=play, on_exit=[Shutdown(reason="the recording is over")]))
    return [play, end]
