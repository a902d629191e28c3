"""The launch files, without `launch` installed: they run against stand-ins, and all that they name exists."""

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import yaml
from ros_helpers import ROOT

pytest.importorskip("rclpy")

from deviloc_ros.ros.parameters import Parameters, all_parameters

STAND_INS = {
    "launch": ["LaunchContext", "LaunchDescription"],
    "launch.actions": ["DeclareLaunchArgument", "OpaqueFunction", "SetEnvironmentVariable"],
    "launch.conditions": ["IfCondition"],
    "launch.substitutions": [],
    "launch_ros": [],
    "launch_ros.actions": ["Node"],
}


def recorded(kind: str) -> type:
    """A class that only keeps what it was made with."""

    def remember(self, *args, **kwargs) -> None:
        self.args, self.kwargs = args, kwargs

    return type(kind, (), {"__init__": remember})


class LaunchConfiguration:
    def __init__(self, name: str) -> None:
        self.name = name

    def perform(self, context: dict) -> str:
        return context[self.name]


@pytest.fixture
def launch_file(monkeypatch):
    for name, classes in STAND_INS.items():
        module = ModuleType(name)
        for kind in classes:
            setattr(module, kind, recorded(kind))
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules["launch.substitutions"].LaunchConfiguration = LaunchConfiguration
    spec = importlib.util.spec_from_file_location("localization_launch", ROOT / "launch" / "localization.launch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def arguments(launch_file) -> SimpleNamespace:
    description = launch_file.generate_launch_description().args[0]
    declared = [action for action in description if type(action).__name__ == "DeclareLaunchArgument"]
    return SimpleNamespace(defaults={a.args[0]: a.kwargs["default_value"] for a in declared}, description=description)


def console_scripts() -> dict[str, str]:
    tree = ast.parse((ROOT / "setup.py").read_text())
    strings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return dict(s.split(" = ") for s in strings if " = " in s and ":" in s)


def test_it_has_the_arguments_that_nav2_users_know(arguments):
    known = {"params_file", "namespace", "use_sim_time", "autostart", "log_level", "use_respawn"}
    assert known <= set(arguments.defaults)


def test_it_starts_an_executable_that_exists_with_parameters_that_exist(launch_file, arguments):
    names = {name for name, _, _ in all_parameters(Parameters())} | {"use_sim_time"}
    given = {**arguments.defaults, "map_path": "/maps/a", "tf_mode": "none", "use_sim_time": "true"}
    (node,) = launch_file.localizer(given)
    params_file, overrides = node.kwargs["parameters"]
    assert node.kwargs["package"] == "deviloc_ros"
    assert console_scripts()[node.kwargs["executable"]] == "deviloc_ros.ros.node:main"
    assert Path(params_file).is_file() and set(overrides) <= names
    assert overrides == {"map_path": "/maps/a", "tf_mode": "none", "use_sim_time": True}


def test_files_it_names_exist(arguments):
    (profiles,) = [a for a in arguments.description if type(a).__name__ == "SetEnvironmentVariable"]
    (rviz,) = [a for a in arguments.description if type(a).__name__ == "Node"]
    assert Path(profiles.args[1]).is_file()
    assert yaml.safe_load(Path(rviz.kwargs["arguments"][1]).read_text())["Visualization Manager"]["Displays"]
