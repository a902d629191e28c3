"""Define the node's own parameters, in addition to those of `config.py`. Imports nothing of ROS."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields

from deviloc_ros.config import BESIDE_LOCALIZER, Config
from deviloc_ros.config_fields import CheckedConfig, param
from deviloc_ros.messages import COMPRESSED_SUFFIX
from deviloc_ros.messages.headers import parse_rigid

TF_MODES = ("map_to_odom", "map_to_base", "none")
TRANSPORTS = ("raw", "compressed")


@dataclass(frozen=True)
class CameraConfig(CheckedConfig):
    """Configure one camera: its topics, its mount, and which pixels of its images are used."""

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
        "sensor_msgs/Image, mono8, with the stamp of each image: white where it is used, as from a detector of people; "
        "an image waits transform_timeout for its mask. empty: none",
        read_only=True,
    )

    def __post_init__(self) -> None:
        CheckedConfig.__post_init__(self)
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
        """Return the topic that is subscribed, with the suffix of the transport."""
        return self.append_transport(self.image_topic)

    def append_transport(self, topic: str) -> str:
        """Return an image topic with the suffix of the transport."""
        return topic + (COMPRESSED_SUFFIX if self.image_transport == "compressed" else "")


@dataclass(frozen=True)
class NodeConfig(CameraConfig):
    """Configure the node: topics, frames, transforms and rates.

    Its fields of `CameraConfig` are for a single camera, and unused if `cameras` names several.
    """

    map_path: str = param(
        "", "folder of the map, made by `deviloc build-map`, or of several; a change loads it at once"
    )
    cameras: tuple[str, ...] = param(
        (),
        "names of several cameras, each with parameters of its own, as front.image_topic; empty: one camera",
        read_only=True,
    )
    autostart: bool = param(True, "configure and activate at start; false under a lifecycle manager", read_only=True)
    map_frame: str = param("map", "frame of the map", read_only=True)
    odom_frame: str = param("odom", "frame of the odometry; empty: no odometry", read_only=True)
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
        0.0, "largest number of images localized per second; 0: as many as the machine can", low=0.0, high=1000.0
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
        "sensor_msgs/NavSatFix of a receiver on the robot, for maps aligned to coordinates: narrows the search, and "
        "decides between places that look alike; empty: none",
        read_only=True,
    )
    contribute_path: str = param(
        "",
        "folder of images kept to extend the map with, see `update-map --contributed`; empty: none are kept",
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
        """Return whether odometry is used; not with map_to_base, since then the parent of the base is the map."""
        return bool(self.odom_frame) and self.tf_mode != "map_to_base"


# Earlier names, which had no units.
RENAMED = {
    "tf_publish_rate": "tf_publish_rate_hz",
    "max_image_age": "max_image_age_s",
    "trigger_timeout": "trigger_timeout_s",
    "diagnostics_period": "diagnostics_period_s",
}


def explain_rename(name: str) -> str:
    """Return the new name of a renamed parameter in brackets; empty if it is not one."""
    return f" (it is {RENAMED[name]} now)" if name in RENAMED else ""


OF_CAMERAS = tuple(f.name for f in fields(CameraConfig))
OF_NODE = tuple(f.name for f in fields(NodeConfig))
OF_ROS = ("use_sim_time", "qos_overrides", "start_type_description_service")  # parameters that every node has


def check_camera_names(names: Sequence[str]) -> None:
    """Raise ValueError unless names are unique, and valid as the first part of parameter names."""
    taken = {f.name for f in fields(Config)} | {*BESIDE_LOCALIZER, "qos_overrides"}
    for name in names:
        if not re.fullmatch(r"[A-Za-z]\w*", name):
            raise ValueError(f"cameras: {name!r} is not a camera name: use letters, digits and _")
        if name in taken:
            raise ValueError(f"cameras: {name!r} begins the names of other parameters")
        if names.count(name) > 1:
            raise ValueError(f"cameras: {name!r} is named twice")


def default_camera(name: str) -> CameraConfig:
    """Return the default config of a named camera."""
    return CameraConfig(image_topic=f"{name}/image", camera_info_topic=f"{name}/camera_info")
