"""The launch files, without `launch` installed: they run against stand-ins, and all that they name exists."""

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import yaml
from ament_index_python.packages import PackageNotFoundError
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ros_helpers import ROOT

pytest.importorskip("rclpy")

from deviloc_ros.cli import parse
from deviloc_ros.parameters.node_config import NodeConfig, default_camera
from deviloc_ros.ros.parameters import Parameters, all_parameters, change_parameters

STAND_INS = {
    "launch": ["LaunchContext", "LaunchDescription"],
    "launch.actions": [
        "DeclareLaunchArgument",
        "ExecuteProcess",
        "IncludeLaunchDescription",
        "OpaqueFunction",
        "RegisterEventHandler",
        "SetEnvironmentVariable",
        "Shutdown",
    ],
    "launch.event_handlers": ["OnProcessExit"],
    "launch.launch_context": ["LaunchContext"],
    "launch.launch_description_sources": ["PythonLaunchDescriptionSource"],
    "launch.substitutions": [],
    "launch_ros": [],
    "launch_ros.actions": ["Node"],
}


PARAMETERS = "{place}:\n  ros__parameters: {{use_sim_time: {value}}}\n"
SHARED = "deviloc_ros.ros.launching"  # what the launch files import


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


def open_launch_file(monkeypatch, name: str) -> ModuleType:
    """Runs a launch file's module against stand-ins of `launch`."""
    for stand_in, classes in STAND_INS.items():
        module = ModuleType(stand_in)
        for kind in classes:
            setattr(module, kind, recorded(kind))
        monkeypatch.setitem(sys.modules, stand_in, module)
    sys.modules["launch.substitutions"].LaunchConfiguration = LaunchConfiguration
    path = ROOT / (name if "/" in name else f"launch/{name}.launch.py")
    spec = importlib.util.spec_from_file_location(f"{path.name.partition('.')[0]}_launch", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def opened(monkeypatch):
    """Opens launch files by name."""
    yield lambda name: open_launch_file(monkeypatch, name)
    sys.modules.pop(SHARED, None)  # it imported the stand-ins


@pytest.fixture
def launch_file(opened):
    return opened("localization")


def described(launch_file) -> SimpleNamespace:
    description = launch_file.generate_launch_description().args[0]
    defaults = {a.args[0]: a.kwargs["default_value"] for a in of_kind(description, "DeclareLaunchArgument")}
    return SimpleNamespace(defaults=defaults, description=description)


def of_kind(actions: list, kind: str) -> list:
    return [action for action in actions if type(action).__name__ == kind]


@pytest.fixture
def arguments(launch_file) -> SimpleNamespace:
    return described(launch_file)


def evaluate(parameters: dict) -> dict:
    """As launch_ros gives a dictionary's values to a node: texts are read as YAML."""
    return {name: yaml.safe_load(value) if isinstance(value, str) else value for name, value in parameters.items()}


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
    executable = ROOT / "scripts" / node.kwargs["executable"]  # which setup.py puts where ros2 looks
    assert executable.is_file() and "from deviloc_ros.ros.__main__ import main" in executable.read_text()
    assert console_scripts()["deviloc-node"] == "deviloc_ros.ros.__main__:main"
    assert Path(params_file).is_file() and set(overrides) <= names
    assert evaluate(overrides) == {"map_path": "/maps/a", "tf_mode": "none", "use_sim_time": True}
    assert node.kwargs["name"] == "deviloc"  # for which the parameter file was read


@settings(max_examples=30)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
@example("3")
@example("/maps/hall #2.map")
@example("/maps/hall: north.map")
@example("yes")
@example("~")
@example("[a]")
def test_a_text_reaches_the_node_as_it_was_given(text):
    """Whatever YAML would make of it, or 'hall #2' would lead to the map 'hall'."""
    with pytest.MonkeyPatch.context() as patch:
        launch_file = open_launch_file(patch, "localization")
        given = described(launch_file).defaults | {"map_path": text, "image_topic": text}
        (node,) = launch_file.localizer(given)
        overrides = evaluate(node.kwargs["parameters"][1])
        assert overrides["map_path"] == overrides["image_topic"] == text
        nav2 = open_launch_file(patch, "nav2")
        server = nav2.nav2_nodes(described(nav2).defaults | {"map": text})[0]
        assert evaluate(server.kwargs["parameters"][0])["yaml_filename"] == text
        sys.modules.pop(SHARED, None)


@pytest.mark.parametrize("text", ["ture", "truefalse", "2", "y", "none", "True True", "flase"])
@pytest.mark.parametrize(
    ("name", "function", "switch"),
    [
        ("localization", "localizer", "use_sim_time"),
        ("localization", "localizer", "autostart"),
        ("localization", "localizer", "use_respawn"),
        ("localization", "demand", "rviz"),
        ("nav2", "nav2_nodes", "autostart"),
        ("nav2", "demand", "rviz"),
        ("fusion", "ekf", "use_sim_time"),
    ],
)
def test_a_switch_that_is_neither_is_refused_by_name(opened, monkeypatch, name, function, switch, text):
    launch_file = opened(name)
    monkeypatch.setattr(f"{SHARED}.get_package_prefix", lambda package: "/opt/ros")
    given = described(launch_file).defaults | {switch: text, "map": ""}
    with pytest.raises(ValueError, match=f"{switch}:={text} is neither true nor false"):
        getattr(launch_file, function)(given)
    for no in ("false", " FALSE ", "0", "off", "no"):
        getattr(launch_file, function)(given | {switch: no})


def test_options_of_a_map_may_hold_spaces(opened):
    launch_file = opened("mapping")
    given = {**described(launch_file).defaults, "colmap": "/model", "images": "/images", "output": "/maps/a"}
    (build,) = launch_file.mapper(given | {"options": "--every 2 --mask 'my gripper.png'"})
    assert parse(build.kwargs["cmd"][4:]).mask == Path("my gripper.png")


def test_files_it_names_exist(arguments):
    (profiles,) = [a for a in arguments.description if type(a).__name__ == "SetEnvironmentVariable"]
    assert Path(profiles.args[1]).is_file()


def test_rviz_shows_the_robot_of_the_namespace_in_its_time(launch_file, arguments):
    assert launch_file.rviz(arguments.defaults) == []
    given = {**arguments.defaults, "rviz": "true", "namespace": "robot1", "use_sim_time": "true"}
    (rviz,) = launch_file.rviz(given)
    assert rviz.kwargs["namespace"] == "robot1" and rviz.kwargs["parameters"] == [{"use_sim_time": True}]
    layout = yaml.safe_load(Path(rviz.kwargs["arguments"][1]).read_text())["Visualization Manager"]
    topics = [part["Topic"]["Value"] for part in (*layout["Displays"], *layout["Tools"]) if "Topic" in part]
    assert {"deviloc/pose", "initialpose"} <= set(topics) and not any(topic.startswith("/") for topic in topics)


def included(arguments: SimpleNamespace) -> dict[str, str]:
    """What the launch file sets of localization.launch.py's arguments; the file it includes exists."""
    (inclusion,) = of_kind(arguments.description, "IncludeLaunchDescription")
    assert Path(inclusion.args[0].args[0]) == ROOT / "launch" / "localization.launch.py"
    return dict(inclusion.kwargs.get("launch_arguments", ()))


def test_a_recording_is_played_and_all_ends_with_it(opened):
    launch_file = opened("replay")
    arguments = described(launch_file)
    play, handler = launch_file.player({**arguments.defaults, "bag": "/bags/a", "exclude": "/tf /tf_static"})
    assert play.kwargs["cmd"][:4] == ["ros2", "bag", "play", "/bags/a"]
    assert play.kwargs["cmd"][-3:] == ["--exclude-topics", "/tf", "/tf_static"]
    assert handler.args[0].kwargs["target_action"] is play
    assert arguments.defaults["use_sim_time"] == "true" and included(arguments) == {}


def test_two_cameras_are_described_by_a_file_that_the_node_takes(opened):
    arguments = described(opened("two_cameras"))
    assert included(arguments) == {}  # params_file is passed on as it is declared
    (section,) = yaml.safe_load(Path(arguments.defaults["params_file"]).read_text()).values()
    given = section["ros__parameters"]
    cameras = {name: default_camera(name) for name in given.pop("cameras")}
    values = {f"{part}.{name}": value for part in (*cameras, "rig") for name, value in given.pop(part).items()}
    parameters = Parameters(NodeConfig(cameras=tuple(cameras)), named_cameras=cameras)
    assert change_parameters(parameters, values | given).cameras["left"].base_from_camera


def test_a_map_is_built_with_a_command_line_that_exists(opened):
    launch_file = opened("mapping")
    given = {**described(launch_file).defaults, "colmap": "/model", "images": "/images", "output": "/maps/a"}
    (build,) = launch_file.mapper(given | {"options": "--every 2"})
    command = build.kwargs["cmd"]
    assert command[:3] == ["ros2", "run", "deviloc_ros"] and console_scripts()[command[3]] == "deviloc_ros.cli:main"
    options = parse(command[4:])
    assert (str(options.colmap), str(options.output), options.every) == ("/model", "/maps/a", 2)


def test_nav2_manages_the_localizer_without_a_bond(opened, launch_file):
    nav2 = opened("nav2")
    arguments = described(nav2)
    assert included(arguments) == {"autostart": "false"}
    (manager,) = nav2.nav2_nodes(arguments.defaults)
    server, both = nav2.nav2_nodes({**arguments.defaults, "map": "/maps/floor.yaml"})
    assert manager.kwargs["parameters"][0]["node_names"] == ["deviloc"]
    assert both.kwargs["parameters"][0]["node_names"] == [server.kwargs["name"], "deviloc"]
    assert manager.kwargs["parameters"][0]["bond_timeout"] == 0.0
    # It is included after the manager is made, since what is set for it would hold for all that comes later.
    kinds = [type(action).__name__ for action in arguments.description]
    assert kinds.index("OpaqueFunction") < kinds.index("IncludeLaunchDescription")


def test_a_filter_fuses_the_pose_and_owns_the_transform(opened):
    fusion = opened("fusion")
    arguments = described(fusion)
    assert included(arguments) == {"tf_mode": "none"}
    (ekf,) = fusion.ekf(arguments.defaults)
    parameters = yaml.safe_load(Path(ekf.kwargs["parameters"][0]).read_text())["/**"]["ros__parameters"]
    assert parameters["pose0"] == "deviloc/pose" and parameters["world_frame"] == parameters["map_frame"] == "map"
    assert len(parameters["pose0_config"]) == len(parameters["odom0_config"]) == 15


def times(nodes: list) -> list[bool]:
    """Which time each node is told to take."""
    return [node.kwargs["parameters"][-1]["use_sim_time"] for node in nodes]


@pytest.mark.parametrize(
    ("name", "function", "count"),
    [("localization", "localizer", 1), ("localization", "rviz", 1), ("nav2", "nav2_nodes", 2), ("fusion", "ekf", 1)],
)
@pytest.mark.parametrize(
    ("argument", "said", "used"),
    [("", None, False), ("", "true", True), ("", "false", False), ("false", "true", False), ("true", "false", True)],
)
def test_all_nodes_take_one_time_that_of_the_argument_or_else_of_the_parameter_file(
    opened, tmp_path, name, function, count, argument, said, used
):
    launch_file, file = opened(name), tmp_path / "params.yaml"
    file.write_text(PARAMETERS.format(place="/**", value=said) if said else "")
    given = {"params_file": str(file), "use_sim_time": argument, "rviz": "true", "map": "/maps/floor.yaml"}
    nodes = getattr(launch_file, function)(described(launch_file).defaults | given)
    assert times(nodes) == [used] * count


def test_the_parameter_file_is_the_same_for_all_that_is_included(opened):
    files = {described(opened(name)).defaults["params_file"] for name in ("localization", "nav2", "fusion")}
    assert files == {str(ROOT / "config" / "deviloc.yaml")}


NEEDED = {
    "localization": ["rviz2"],
    "replay": ["ros2bag"],
    "nav2": ["nav2_lifecycle_manager", "nav2_map_server", "rviz2"],
    "fusion": ["robot_localization", "rviz2"],
}


@pytest.mark.parametrize(("name", "package"), [(name, p) for name, needed in NEEDED.items() for p in needed])
def test_nothing_is_started_before_all_is_known_to_be_there(opened, monkeypatch, name, package):
    launch_file = opened(name)
    installed = {"deviloc_ros", *NEEDED[name]}

    def prefix(wanted: str) -> str:
        if wanted not in installed:
            raise PackageNotFoundError(wanted)
        return "/opt/ros"

    monkeypatch.setattr(f"{SHARED}.get_package_prefix", prefix)
    arguments = described(launch_file)
    given = arguments.defaults | {"rviz": "true", "map": "/maps/floor.yaml", "bag": "/bags/a"}
    passive = ("DeclareLaunchArgument", "SetEnvironmentVariable")
    first = next(action for action in arguments.description if type(action).__name__ not in passive)
    demand = first.kwargs["function"]
    assert demand is launch_file.demand and demand(given) == []
    installed.remove(package)
    with pytest.raises(RuntimeError, match=f"{package}.*nothing was started"):
        demand(given)


@pytest.mark.parametrize(("namespace", "used"), [("", False), ("robot1", True), ("/robot1/", True), ("robot2", False)])
def test_a_robot_takes_the_time_that_the_file_gives_to_its_namespace(launch_file, tmp_path, namespace, used):
    file = tmp_path / "params.yaml"
    file.write_text(PARAMETERS.format(place="/robot1/deviloc", value="true"))
    given = {**described(launch_file).defaults, "params_file": str(file), "namespace": namespace}
    assert times(launch_file.localizer(given)) == [used]


@pytest.mark.parametrize("name", ["replay", "nav2", "fusion", "two_cameras"])
def test_the_names_that_nav2_users_know_are_passed_on(opened, name):
    known = {"params_file", "namespace", "use_sim_time", "autostart", "log_level"}
    assert known <= set(described(opened(name)).defaults) | set(described(opened("localization")).defaults)


def test_each_half_of_the_nav2_example_has_its_own_parameters(opened, monkeypatch):
    """An include passes its arguments on to what follows, and both halves call theirs `params_file`."""
    monkeypatch.setattr("ament_index_python.packages.get_package_share_directory", lambda name: str(ROOT / name))
    example = opened("examples/nav2/bringup.launch.py")
    arguments = described(example)
    halves = of_kind(arguments.description, "IncludeLaunchDescription")
    given = [{name: value.name for name, value in half.kwargs["launch_arguments"]} for half in halves]
    assert [of_half["params_file"] for of_half in given] == ["localizer_params_file", "nav2_params_file"]
    assert {ours for of_half in given for ours in of_half.values()} == set(arguments.defaults)
    taken = [set(described(opened(name)).defaults) for name in ("nav2", "localization")]  # which the former includes
    assert set(given[0]) <= set.union(*taken)
