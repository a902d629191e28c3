"""Declare, check and document ROS parameters from the config dataclasses.

A parameter's name is the dotted name of its field. Those that take effect when the node configures can be changed only
while it is unconfigured, the others (live) at any time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from deviloc_ros.config import (
    BESIDE_LOCALIZER,
    Checked,
    Config,
    ContributeConfig,
    GnssConfig,
    RigConfig,
    TrackingConfig,
    from_dict,
    param,
)
from deviloc_ros.messages.headers import parse_rigid

TF_MODES = ("map_to_odom", "map_to_base", "none")
TRANSPORTS = ("raw", "compressed")
C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class CameraConfig(Checked):
    """Configure one camera: its topics, where it sits, and what of its images is used."""

    image_topic: str = param(
        "image", "images; with image_transport compressed, /compressed is appended", read_only=True
    )
    camera_info_topic: str = param("camera_info", "calibration of the camera", read_only=True)
    image_transport: str = param(
        "raw", "raw: sensor_msgs/Image, compressed: sensor_msgs/CompressedImage", choices=TRANSPORTS, read_only=True
    )
    rectified: bool = param(
        False, "the images are rectified: they are described by P, without distortion", read_only=True
    )
    camera_frame: str = param("", "optical frame of the camera; empty: the image's frame_id", read_only=True)
    base_from_camera: str = param(
        "", "x y z qx qy qz qw of the optical frame in base_frame; empty: from TF", read_only=True
    )
    mask_path: str = param(
        "", "image of the camera's size, white where its images are used; empty: everywhere", read_only=True
    )
    mask_topic: str = param(
        "",
        "sensor_msgs/Image, mono8, of the stamp of each image: white where it is used, as masks of people are made "
        "elsewhere; an image waits transform_timeout for its own. empty: there are none",
        read_only=True,
    )

    def __post_init__(self) -> None:
        Checked.__post_init__(self)
        for name in ("image_topic", "camera_info_topic"):
            if not getattr(self, name):
                raise ValueError(f"{name} must not be empty")
        if self.camera_frame.startswith("/"):
            raise ValueError(f"frames have no leading slash, got {self.camera_frame}")
        if self.base_from_camera:
            try:
                parse_rigid(self.base_from_camera)
            except ValueError as error:
                raise ValueError(f"base_from_camera: {error}") from error

    @property
    def subscribed_topic(self) -> str:
        """Return where the images come: the suffix is added as image_transport does."""
        return self.image_topic + ("/compressed" if self.image_transport == "compressed" else "")


@dataclass(frozen=True, slots=True)
class NodeConfig(CameraConfig):
    """Configure what only the node needs to know: topics, frames, transforms and rates.

    What it has as a `CameraConfig` is of the only camera, and unused where several are named.
    """

    map_path: str = param(
        "", "folder of the map, made by `python -m deviloc_ros build-map`, or of several; a change loads it at once"
    )
    cameras: tuple[str, ...] = param(
        (),
        "names of several cameras, each with parameters of its own, as front.image_topic; empty: one camera",
        read_only=True,
    )
    autostart: bool = param(
        True, "configure and activate without being told; false under a lifecycle manager", read_only=True
    )
    map_frame: str = param("map", "frame of the map", read_only=True)
    odom_frame: str = param("odom", "frame of the odometry; empty: there is none", read_only=True)
    base_frame: str = param("base_link", "frame of the robot, whose pose is published", read_only=True)
    tf_mode: str = param("map_to_odom", "the transform to broadcast", choices=TF_MODES, read_only=True)
    tf_publish_rate_hz: float = param(
        20.0, "map->odom is broadcast this often, of wall time", low=0.1, high=1000.0, read_only=True
    )
    transform_tolerance: float = param(0.2, "map->odom is stamped this far into the future [s]", low=0.0, high=10.0)
    transform_timeout: float = param(
        0.2, "an image waits this long for its transforms [s of wall time]", low=0.0, high=10.0
    )
    two_d_mode: bool = param(False, "the robot moves on the plane z = 0 of the map: only x, y and yaw are published")
    max_image_age_s: float = param(1.0, "older images are dropped; 0 takes images of any age", low=0.0, high=3600.0)
    max_rate_hz: float = param(
        0.0, "images localized per second at most; 0: as many as the machine can", low=0.0, high=1000.0
    )
    continuous: bool = param(True, "localize all images; false: only when ~/trigger_localization is called")
    trigger_timeout_s: float = param(5.0, "~/trigger_localization gives up after this wall time", low=0.1, high=600.0)
    path_length: int = param(1000, "poses that ~/path keeps", low=0, high=1000000, read_only=True)
    save_pose_path: str = param(
        "", "file of the last pose, searched first after a restart; empty: none", read_only=True
    )
    save_pose_rate: float = param(
        0.5,
        "the last pose is written this often [Hz of wall time]; 0: only at the end",
        low=0.0,
        high=100.0,
        read_only=True,
    )
    gnss_topic: str = param(
        "",
        "sensor_msgs/NavSatFix of a receiver on the robot, where the map is aligned to coordinates: narrows the "
        "search, and decides between places that look alike; empty: there is none",
        read_only=True,
    )
    contribute_path: str = param(
        "",
        "folder of images kept for the map to grow by, see `update-map --contributed`; empty: none are kept",
        read_only=True,
    )
    diagnostics_period_s: float = param(
        1.0, "wall time between two /diagnostics messages", low=0.05, high=60.0, read_only=True
    )

    def __post_init__(self) -> None:
        CameraConfig.__post_init__(self)
        for name in ("map_frame", "base_frame"):
            if not getattr(self, name):
                raise ValueError(f"{name} must not be empty")
        named = [frame for frame in (self.map_frame, self.odom_frame, self.base_frame) if frame]
        if len(set(named)) < len(named):
            raise ValueError(f"map_frame, odom_frame and base_frame must differ, got {', '.join(named)}")
        if any(frame.startswith("/") for frame in named):
            raise ValueError(f"frames have no leading slash, got {', '.join(named)}")
        if self.tf_mode == "map_to_odom" and not self.odom_frame:
            raise ValueError("tf_mode map_to_odom needs an odom_frame")
        check_camera_names(self.cameras)

    @property
    def uses_odometry(self) -> bool:
        """Return whether odometry is used: with map_to_base the robot's parent is the map, so odometry cannot be."""
        return bool(self.odom_frame) and self.tf_mode != "map_to_base"


# Names of before, without their units.
RENAMED = {
    "tf_publish_rate": "tf_publish_rate_hz",
    "max_image_age": "max_image_age_s",
    "trigger_timeout": "trigger_timeout_s",
    "diagnostics_period": "diagnostics_period_s",
}

# A map fixes how it was made; the node takes these from the map, and only here can they not be set.
FIXED_BY_MAP = ("matcher.name", "lift")


OF_CAMERAS = tuple(f.name for f in fields(CameraConfig))


@dataclass(frozen=True, slots=True)
class Parameters:
    """Hold all parameters of the node.

    named_cameras: of the node's `cameras`, by name.

    Raises:
        ValueError: two cameras have one topic, or what is of a single camera is set beside `cameras`.
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
                raise ValueError(f"cameras {other} and {name} have one image_topic, {camera.subscribed_topic}")

    @property
    def cameras(self) -> dict[str, CameraConfig]:
        """Return the cameras by name; a single one has none."""
        return self.named_cameras if self.node.cameras else {"": self.node}


# `node.map_path` would say nothing more than `map_path`.
PREFIXES = {"node": ""} | {name: f"{name}." for name in BESIDE_LOCALIZER} | {"localizer": ""}


def check_camera_names(names: Sequence[str]) -> None:
    """Raise ValueError unless each name is one of its own, fit to begin the names of parameters."""
    taken = {f.name for f in fields(Config)} | {*BESIDE_LOCALIZER, "qos_overrides"}
    for name in names:
        if not re.fullmatch(r"[A-Za-z]\w*", name):
            raise ValueError(f"cameras: {name!r} is no name of a camera: letters, digits and _")
        if name in taken:
            raise ValueError(f"cameras: {name!r} begins the names of other parameters")
        if names.count(name) > 1:
            raise ValueError(f"cameras: {name!r} is named twice")


def default_camera(name: str) -> CameraConfig:
    """Return a named camera as it is before anything is said of it."""
    return CameraConfig(image_topic=f"{name}/image", camera_info_topic=f"{name}/camera_info")


def walk_fields(config: Any, prefix: str = "", skip: tuple[str, ...] = FIXED_BY_MAP) -> Iterator[tuple[str, Any, Any]]:
    """Yield dotted name, dataclass field and value of every parameter in a tree of configs."""
    for f in fields(config):
        value = getattr(config, f.name)
        if prefix + f.name in skip:
            continue
        if is_dataclass(value):
            yield from walk_fields(value, f"{prefix}{f.name}.", skip)
        else:
            yield prefix + f.name, f, value


def all_fields(parameters: Parameters) -> Iterator[tuple[str, Any, Any]]:
    """Yield dotted name, dataclass field and value of every parameter of the node."""
    for part, prefix in PREFIXES.items():
        yield from walk_fields(getattr(parameters, part), prefix)
    for name, camera in parameters.named_cameras.items():
        yield from walk_fields(camera, f"{name}.")


def all_parameters(parameters: Parameters) -> Iterator[tuple[str, bool, Any]]:
    """Yield dotted name, whether it is live, and value of every parameter of the node."""
    for name, f, value in all_fields(parameters):
        yield name, is_live(f), value


def is_live(f: Any) -> bool:
    """Return whether a change of a dataclass field takes effect at once."""
    return not f.metadata["read_only"]


def declare_parameters(node: Node) -> Parameters:
    """Declare every parameter and return the values the node was started with.

    Raises:
        ValueError: a value of the wrong type or out of bounds, or a parameter nobody knows; the message names it.
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
        # A list without entries has no type of its own: it is declared by its type, and not set.
        given = Parameter.Type.STRING_ARRAY if default == () else default
        try:
            value = node.declare_parameter(name, given, make_descriptor(name, f)).value
        except InvalidParameterTypeException as error:
            hint = "; write 5.0, not 5" if isinstance(default, float) else ""
            kind = "a list of names" if default == () else type(default).__name__
            raise ValueError(f"parameter {name} must be {kind}{hint}: {error}") from error
        except InvalidParameterValueException as error:
            raise ValueError(f"parameter {name}: {error}") from error
        yield name, tuple(value or ()) if isinstance(default, tuple) else value


def refuse_unknown(node: Node, cameras: Iterable[str]) -> None:
    """Raise ValueError if the node was given a parameter that it does not have: a misspelt one would do nothing."""
    given = node._parameter_overrides  # rclpy has no public name for it
    unknown = [name for name in given if not node.has_parameter(name) and not name.startswith("qos_overrides.")]
    if unknown:
        said = [f"{name} (it is {RENAMED[name]} now)" if name in RENAMED else name for name in sorted(unknown)]
        of_cameras = any(name.rpartition(".")[2] in OF_CAMERAS for name in unknown)
        known = f"; cameras: {', '.join(cameras) or 'none is named'}" if of_cameras else ""
        raise ValueError(f"unknown parameter {', '.join(said)}{known}")


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
    parts = {part: from_dict(getattr(parameters, part), nested) for part, nested in by_part.items()}
    cameras = {
        name: from_dict(camera, of_cameras[name], f"{name}.") for name, camera in parameters.named_cameras.items()
    }
    if tuple(cameras) != parts["node"].cameras:
        raise ValueError("cameras are named when the node starts")
    return Parameters(**parts, named_cameras=cameras)


def find_part(name: str) -> str:
    """Return which field of `Parameters` holds the parameter of this dotted name."""
    first, dot, _ = name.partition(".")
    if first in BESIDE_LOCALIZER and dot:
        return first
    return "localizer" if dot else "node"


def put_nested(tree: dict[str, Any], dotted: str, value: Any) -> None:
    """Put a value at a dotted name into nested dicts."""
    *parents, leaf = dotted.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
    tree[leaf] = value


def make_descriptor(name: str, f: Any) -> ParameterDescriptor:
    """Return what `ros2 param describe` and rqt show of a field, and the range that rclpy enforces."""
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


def make_parameters_page() -> str:
    """Return the page docs/parameters.md."""
    settled = [row for row in walk_fields(Config(), skip=()) if row[0].startswith(FIXED_BY_MAP)]
    return "\n".join(
        [
            "# Parameters",
            "",
            "Made by `python -m deviloc_ros.ros.parameters > docs/parameters.md`; a test keeps it current.",
            "Live parameters take effect at once, the others when the node configures.",
            "",
            *make_rows((name, f, default, is_live(f)) for name, f, default in all_fields(Parameters())),
            "",
            "Each camera that `cameras` names has these (`front.image_topic`), in the place of those above:",
            "",
            *make_rows(
                (name, f, default, is_live(f)) for name, f, default in walk_fields(default_camera("<name>"), "<name>.")
            ),
            "",
            "The node takes these from the map; `build-map` and the other commands set them:",
            "",
            *make_rows((*row, False) for row in settled),
            "",
        ]
    )


def make_rows(rows: Iterable[tuple[str, Any, Any, bool]]) -> Iterator[str]:
    """Yield the lines of a table with the parameters of these names, fields, defaults, and whether they are live."""
    yield "| parameter | default | range | live | meaning |"
    yield "|---|---|---|---|---|"
    for name, f, default, live in rows:
        about = f.metadata
        low, high = about["low"], about["high"]
        bounds = ", ".join(about["choices"]) or (f"{low} to {high}" if low is not None else "")
        yield f"| `{name}` | {json.dumps(default)} | {bounds} | {'yes' if live else ''} | {about['description']} |"


if __name__ == "__main__":
    print(make_parameters_page(), end="")
