"""Load a config from a parameter file, which may be that of a robot's node."""

from __future__ import annotations

import reprlib
from dataclasses import fields
from pathlib import Path
from typing import Any

from deviloc_ros.config import BESIDE_LOCALIZER, Config, ContributeConfig, GnssConfig, RigConfig, TrackingConfig
from deviloc_ros.config_fields import C, flatten_names, from_dict, make_unknown_error, walk_fields
from deviloc_ros.io.suggestions import suggest
from deviloc_ros.parameters.layouts import ParameterFile, read_parameters
from deviloc_ros.parameters.node_config import OF_CAMERAS, OF_NODE, OF_ROS, check_camera_names, explain_rename

BESIDE = dict(zip(BESIDE_LOCALIZER, (TrackingConfig, RigConfig, ContributeConfig, GnssConfig), strict=True))
# The flags of commands that correspond to parameters of the node.
FLAGS = {
    "image_topic": "--image-topic",
    "camera_info_topic": "--camera-info-topic",
    "cameras": "--image-topic",
    "rectified": "--rectified",
    "camera_frame": "--camera-frame",
    "base_from_camera": "--extrinsic",
    "mask_path": "--mask",
    "map_frame": "--map-frame",
    "odom_frame": "--odom-frame",
    "base_frame": "--base-frame",
    "two_d_mode": "--two-d",
    "gnss_topic": "--gnss-topic",
    "contribute_path": "--contribute",
}


def load_config(path: Path | str, config: C, section: str = "") -> C:
    """Return `config` with the values of a parameter file.

    Args:
        section: of the values in the file, as "tracking" for a `TrackingConfig`; empty for a `Config`.

    Raises:
        OSError: the file cannot be read.
        ValueError: anything in the file is invalid; the message names file and parameter.
    """
    path = Path(path)
    try:
        values = take_own(read_parameters(path))
        if section:
            return from_dict(config, values.get(section) or {}, f"{section}.")
        return from_dict(config, {key: value for key, value in values.items() if key not in BESIDE})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def take_own(file: ParameterFile) -> dict[str, Any]:
    """Return the values of a file without the node's own. Raises ValueError naming an unknown parameter."""
    values, of_node = file.values, find_node_parameters(file.values)
    if file.is_of_ros:
        values = {key: value for key, value in values.items() if key not in of_node}
    refuse_unknown(values, knows_node=file.is_of_ros)
    for name, default in BESIDE.items():
        from_dict(default(), values.get(name) or {}, f"{name}.")
    return values


def find_node_parameters(values: dict[str, Any]) -> dict[str, Any]:
    """Return the node's own values, and ROS's. Raises ValueError naming an unknown parameter of a camera."""
    cameras = values.get("cameras") or []
    if not isinstance(cameras, list) or not all(isinstance(name, str) for name in cameras):
        raise ValueError(f"cameras must be a list of names, got {reprlib.repr(cameras)}")
    check_camera_names(cameras)
    for camera in cameras:
        of_camera = values.get(camera)
        for name in of_camera if isinstance(of_camera, dict) else ():
            if name not in OF_CAMERAS:
                raise make_unknown_error(f"{camera}.{name}", suggest(name, OF_CAMERAS))
    own = {*OF_NODE, *OF_ROS, *cameras}
    return {key: value for key, value in values.items() if key in own}


def refuse_unknown(values: dict[str, Any], *, knows_node: bool = False) -> None:
    """Raise ValueError naming the first unknown parameter in nested values, with a similar known one.

    Args:
        knows_node: whether the node's own parameters may be suggested.
    """
    sections = [f.name for f in fields(Config)]
    for key, value in values.items():
        if key in sections or key in BESIDE:
            continue
        if key.startswith("/"):
            raise ValueError(f"{key}: `ros__parameters:` must be below the name of a node")
        (name, *_) = flatten_names({key: value})
        if name in OF_NODE:
            raise ValueError(f"{name} is a parameter of the node only{explain_flag(name)}")
        if knows_node and (renamed := explain_rename(name)):
            raise make_unknown_error(name, renamed)
        known = [*list_known(), *(OF_NODE if knows_node else ())]
        raise make_unknown_error(name, suggest(name, known) or f"; known: {', '.join(sections)}")


def list_known() -> list[str]:
    """Return the dotted names of all parameters of localizer and tracking."""
    beside = [row for name, default in BESIDE.items() for row in walk_fields(default(), f"{name}.")]
    return [name for name, _, _ in (*walk_fields(Config()), *beside)]


def explain_flag(name: str) -> str:
    """Name the flag of commands that corresponds to a parameter of the node; empty if there is none."""
    return f"; commands that use it have {FLAGS[name]}" if name in FLAGS else ""
