"""What is said before the node starts. Needs no ROS."""

import importlib.util

import pytest

from deviloc_ros.ros import command_line
from deviloc_ros.ros.command_line import check_command_line, explain_missing_ros, select_own_words


@pytest.mark.parametrize(
    "arguments, own",
    [
        ([], []),
        (["--ros-args", "-p", "map_path:=a.map"], []),
        (["--help", "--ros-args", "-p", "a:=1"], ["--help"]),
        (["--ros-args", "-r", "__ns:=/a", "--", "b", "--ros-args", "-p", "c:=1"], ["b"]),
        (["--", "b"], ["--", "b"]),
    ],
)
def test_what_is_ros_s_own_is_left_to_it(arguments, own):
    assert select_own_words(arguments) == own


def test_launch_files_and_users_arguments_pass():
    check_command_line(["--ros-args", "--log-level", "info", "-r", "/tf:=tf", "--params-file", "a.yaml"])


@pytest.mark.parametrize("arguments", [["kitchen.map"], ["--map", "a.map"], ["-p", "map_path:=a.map", "--ros-args"]])
def test_words_that_ros_would_ignore_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        check_command_line(arguments)
    assert end.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_help_names_map_and_topics(capsys):
    with pytest.raises(SystemExit) as end:
        check_command_line(["-h"])
    text = capsys.readouterr().out
    assert end.value.code == 0 and all(
        word in text for word in ("map_path", "image_topic", "camera_info_topic", "~/pose")
    )


@pytest.mark.parametrize("absent, word", [("rclpy", "source one"), ("rclpy.event_handler", "humble is too old")])
def test_a_machine_without_a_fit_ros_is_told_what_helps(absent, word, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(command_line, "find_spec", lambda name: None if name == absent else find("sys"))
    monkeypatch.setenv("ROS_DISTRO", "humble")
    assert word in explain_missing_ros()
