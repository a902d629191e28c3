"""Declare, check and document ROS parameters from the config dataclasses.

A parameter's name is the dotted name of its field. Those that take effect when the node configures can be changed only
while it is unconfigured, the others (live) at any time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from deviloc_ros.config import BESIDE_LOCALIZER, Config, ContributeConfig, GnssConfig, RigConfig, TrackingConfig
from deviloc_ros.config_fields import from_dict, make_unknown_error, walk_fields
from deviloc_ros.io.suggestions import suggest
from deviloc_ros.parameters.node_config import (
    OF_CAMERAS,
    CameraConfig,
    NodeConfig,
    check_camera_names,
    default_camera,
    explain_rename,
)

# A map is bound to the values it was built with: the node takes these from the map and does not declare them.
FIXED_BY_MAP = ("matcher.name", "lift")


@dataclass(frozen=True, slots=True)
class Parameters:
    """Hold all parameters of the node.

    named_cameras: the cameras that `cameras` names.

    Raises:
        ValueError: two cameras have the same topic, or a parameter of a single camera is set together with `cameras`.
    """

    node: NodeConfig = field(default_factory=NodeConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    rig: RigConfig = field(default_factory=RigConfig)
    contribute: ContributeConfig = field(default_factory=ContributeConfig)
    gnss: GnssConfig = field(default_factory=GnssConfig)
    localizer: Config = field(default_factory=Config)
    named_cameras: dict[str, CameraConfig] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.node.cameras:
            return
        for name in OF_CAMERAS:
            if getattr(self.node, name) != getattr(NodeConfig(), name):
                first = self.node.cameras[0]
                raise ValueError(f"{name} is of a single camera: with cameras, set {first}.{name} and so on")
        users: dict[str, str] = {}
        for name, camera in self.named_cameras.items():
            if (other := users.setdefault(camera.subscribed_topic, name)) != name:
                raise ValueError(f"cameras {other} and {name} have the same image_topic, {camera.subscribed_topic}")

    @property
    def cameras(self) -> dict[str, CameraConfig]:
        """Return the cameras by name; the name of a single one is empty."""
        return self.named_cameras if self.node.cameras else {"": self.node}


# The node's own parameters have no prefix: `map_path`, not `node.map_path`.
PREFIXES = {"node": ""} | {name: f"{name}." for name in BESIDE_LOCALIZER} | {"localizer": ""}


def all_fields(parameters: Parameters) -> Iterator[tuple[str, Any, Any]]:
    """Yield dotted name, dataclass field and value of every parameter of the node."""
    for part, prefix in PREFIXES.items():
        yield from walk_fields(getattr(parameters, part), prefix, FIXED_BY_MAP)
    for name, camera in parameters.named_cameras.items():
        yield from walk_fields(camera, f"{name}.")


def all_parameters(parameters: Parameters) -> Iterator[tuple[str, bool, Any]]:
    """Yield dotted name, whether it is live, and value of every parameter of the node."""
    for name, f, value in all_fields(parameters):
        yield name, is_live(f), value


def is_live(f: Any) -> bool:
    """Return whether a change of the parameter takes effect at once."""
    return not f.metadata["read_only"]


def declare_parameters(node: Node) -> Parameters:
    """Declare every parameter and return the values the node was started with.

    Raises:
        ValueError: a value of the wrong type or out of bounds, or an unknown parameter; the message names it.
    """
    values = dict(declare_fields(node, all_fields(Parameters())))
    check_camera_names(values["cameras"])
    cameras = {name: default_camera(name) for name in values["cameras"]}
    for name, camera in cameras.items():
        values |= declare_fields(node, walk_fields(camera, f"{name}."))
    refuse_unknown(node, cameras)
    return change_parameters(Parameters(named_cameras=cameras), values)


def declare_fields(node: Node, declared: Iterable[tuple[str, Any, Any]]) -> Iterator[tuple[str, Any]]:
    """Declare parameters of these names, fields and defaults; yield their names and values. Raises ValueError."""
    for name, f, default in declared:
        # rclpy cannot infer the type of an empty list, so the type is declared without a value.
        given = Parameter.Type.STRING_ARRAY if default == () else default
        try:
            value = node.declare_parameter(name, given, make_descriptor(name, f)).value
        except InvalidParameterTypeException as error:
            wrong = get_given(node)[name].value
            is_whole = isinstance(default, float) and type(wrong) is int
            hint = f"; write {float(wrong)}, not {wrong}" if is_whole else f", got {wrong!r}"
            kind = "a list of names" if default == () else type(default).__name__
            raise ValueError(f"parameter {name} must be {kind}{hint}") from error
        except InvalidParameterValueException as error:
            raise ValueError(f"parameter {name}: {error}") from error
        yield name, tuple(value or ()) if isinstance(default, tuple) else value


def get_given(node: Node) -> dict[str, Parameter]:
    """Return the parameters that the node was started with, by name."""
    return node._parameter_overrides  # rclpy has no public name for it


def refuse_unknown(node: Node, cameras: Iterable[str]) -> None:
    """Raise ValueError if the node was started with an unknown parameter; a misspelt one would have no effect."""
    given = get_given(node)
    unknown = [name for name in given if not node.has_parameter(name) and not name.startswith("qos_overrides.")]
    if not unknown:
        return
    known = [name for name, _, _ in all_fields(Parameters(named_cameras={c: default_camera(c) for c in cameras}))]
    said = [name + explain_unknown(name, known) for name in sorted(unknown)]
    named = f"; cameras: {', '.join(cameras) or 'none is named'}" if any(map(is_of_camera, unknown)) else ""
    raise make_unknown_error(", ".join(said), named)


def is_of_camera(name: str) -> bool:
    """Return whether a name is that of a camera's parameter, for any camera."""
    return name.rpartition(".")[2] in OF_CAMERAS


def explain_unknown(name: str, known: Iterable[str]) -> str:
    """Return a hint about an unknown name: a renamed parameter, one that the map fixes, or a similar one."""
    if renamed := explain_rename(name):
        return renamed
    if name.startswith(FIXED_BY_MAP) and name in {dotted for dotted, _, _ in walk_fields(Config())}:
        return " (the map settles it: it is build-map's)"
    return "" if is_of_camera(name) else suggest(name, known)


def change_parameters(parameters: Parameters, values: Mapping[str, Any]) -> Parameters:
    """Return `parameters` with the named values replaced, checked as a whole.

    Raises:
        ValueError: naming the parameter.
    """
    by_part: dict[str, dict[str, Any]] = {part: {} for part in PREFIXES}
    of_cameras: dict[str, dict[str, Any]] = {name: {} for name in parameters.named_cameras}
    for name, value in values.items():
        first, _, rest = name.partition(".")
        if first in of_cameras:
            of_cameras[first][rest] = value
        else:
            part = find_part(name)
            value = tuple(value) if isinstance(value, list) else value
            put_nested(by_part[part], name.removeprefix(PREFIXES[part]), value)
    parts = {part: from_dict(getattr(parameters, part), nested, PREFIXES[part]) for part, nested in by_part.items()}
    cameras = {
        name: from_dict(camera, of_cameras[name], f"{name}.") for name, camera in parameters.named_cameras.items()
    }
    if tuple(cameras) != parts["node"].cameras:
        raise ValueError("cameras are named when the node starts")
    return Parameters(**parts, named_cameras=cameras)


def find_part(name: str) -> str:
    """Return the name of the field of `Parameters` that holds the parameter with this dotted name."""
    first, dot, _ = name.partition(".")
    if first in BESIDE_LOCALIZER and dot:
        return first
    return "localizer" if dot else "node"


def put_nested(tree: dict[str, Any], dotted: str, value: Any) -> None:
    """Set the value with a dotted name in nested dicts."""
    *parents, leaf = dotted.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
    tree[leaf] = value


def make_descriptor(name: str, f: Any) -> ParameterDescriptor:
    """Return the descriptor of a field, for `ros2 param describe` and rqt, with the range that rclpy enforces."""
    about = f.metadata
    rules = [f"one of {', '.join(about['choices'])}"] if about["choices"] else []
    if not is_live(f):
        rules.append("can be changed only while the node is unconfigured")
    result = ParameterDescriptor(description=about["description"], additional_constraints="; ".join(rules))
    low, high = about["low"], about["high"]
    if low is not None and high is not None:
        if isinstance(f.default, float):
            result.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
        else:
            result.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
    return result


FILES = """\
The node is started with `-p pose.min_inliers:=40` or `--params-file FILE`, commands with `--set pose.min_inliers=40`
or `--config FILE`, which may have any of these layouts. In a node's file (the third) commands ignore the node's own
parameters, such as topics; an unknown name is an error.

```yaml
pose.min_inliers: 40
```

```yaml
pose:
  min_inliers: 40
```

```yaml
/**:                      # or the node's name; the only form that ROS reads, as in config/deviloc.yaml
  ros__parameters:
    image_topic: /camera/image_raw
    pose:
      min_inliers: 40
```
""".splitlines()


def make_parameters_page() -> str:
    """Return the page docs/parameters.md."""
    fixed = [row for row in walk_fields(Config()) if row[0].startswith(FIXED_BY_MAP)]
    return "\n".join(
        [
            "# Parameters",
            "",
            "Made by `python -m deviloc_ros.ros.parameters > docs/parameters.md`; a test keeps it current.",
            "Live parameters take effect at once, the others when the node configures.",
            "",
            *FILES,
            "",
            *make_rows((name, f, default, is_live(f)) for name, f, default in all_fields(Parameters())),
            "",
            "Each camera that `cameras` names has these (`front.image_topic`) instead of those above:",
            "",
            *make_rows(
                (name, f, default, is_live(f)) for name, f, default in walk_fields(default_camera("<name>"), "<name>.")
            ),
            "",
            "The node takes these from the map; `build-map` and the other commands set them:",
            "",
            *make_rows((*row, False) for row in fixed),
            "",
        ]
    )


def make_rows(rows: Iterable[tuple[str, Any, Any, bool]]) -> Iterator[str]:
    """Yield the lines of a Markdown table from name, field, default and liveness of parameters."""
    yield "| parameter | default | range | live | meaning |"
    yield "|---|---|---|---|---|"
    for name, f, default, live in rows:
        about = f.metadata
        low, high = about["low"], about["high"]
        bounds = ", ".join(about["choices"]) or (f"{low} to {high}" if low is not None else "")
        yield f"| `{name}` | {json.dumps(default)} | {bounds} | {'yes' if live else ''} | {about['description']} |"


if __name__ == "__main__":
    print(make_parameters_page(), end="")
