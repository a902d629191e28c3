"""Ask the running localizer for the names of its topics and frames."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import rclpy
from rcl_interfaces.msg import ParameterValue
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node

from deviloc_ros.messages import COMPRESSED_SUFFIX

TELLTALE = "trigger_localization"  # a service that only a localizer has
SIM_TIME = "use_sim_time"
FRAMES = ("map_frame", "odom_frame", "base_frame")
PATIENCE_S = 3.0  # discovering a running node may take this long
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunningNode:
    """Describe a running localizer.

    cameras: topics of images and of calibrations of each. frames: by parameter. sim_time: whether it uses /clock.
    """

    name: str
    cameras: tuple[tuple[str, str], ...]
    frames: dict[str, str] = field(default_factory=dict)
    sim_time: bool = False

    def describe(self) -> dict[str, Any]:
        """Return cameras and frames by name, leaving out what is unknown."""
        return ({"cameras": self.cameras} if self.cameras else {}) | self.frames


def find_running_node(asker: Node, patience_s: float = PATIENCE_S) -> RunningNode | None:
    """Return the only running localizer; None if there is none, or several."""
    found = spin_for(asker, lambda: list_localizers(asker), patience_s) or []
    if len(found) != 1:
        return None
    name, namespace = found[0]
    full_name = f"{namespace.rstrip('/')}/{name}"
    heard = asker.get_subscriber_names_and_types_by_node(name, namespace)
    values = ask_parameters(asker, full_name, (*FRAMES, SIM_TIME), patience_s)
    frames = {name: values[name].string_value for name in FRAMES if name in values}
    sim_time = SIM_TIME in values and values[SIM_TIME].bool_value
    return RunningNode(full_name, pair_subscriptions(heard), frames, sim_time)


def list_localizers(asker: Node) -> list[tuple[str, str]]:
    """Return name and namespace of each node that has the service of a localizer.

    A node's services can be known before the node itself is.
    """
    known = set(asker.get_node_names_and_namespaces())
    suffix = f"/{TELLTALE}"
    services = [name.removesuffix(suffix) for name, _ in asker.get_service_names_and_types() if name.endswith(suffix)]
    nodes = [(name.rpartition("/")[2], name.rpartition("/")[0] or "/") for name in services]
    return [node for node in nodes if node in known]


def pair_subscriptions(heard: list[tuple[str, list[str]]]) -> tuple[tuple[str, str], ...]:
    """Return for each calibration topic that a node subscribes to the image topic with the most similar name.

    Args:
        heard: topics and their types. A mask is an image, too, and has a topic of its own.
    """

    def topics_of(kind: str) -> list[str]:
        return sorted(topic for topic, kinds in heard if f"sensor_msgs/msg/{kind}" in kinds)

    images = topics_of("Image") + [topic.removesuffix(COMPRESSED_SUFFIX) for topic in topics_of("CompressedImage")]
    images = [image for image in images if "mask" not in image] or images
    if not images:
        return ()
    return tuple(
        (max(images, key=lambda image: len(os.path.commonpath([image, info]))), info)
        for info in topics_of("CameraInfo")
    )


def ask_parameters(asker: Node, full_name: str, names: Sequence[str], patience_s: float) -> dict[str, ParameterValue]:
    """Return the values of a node's parameters; empty if it does not answer, or does not know one of them."""
    client: Any = asker.create_client(GetParameters, f"{full_name}/get_parameters")
    try:
        if not spin_for(asker, client.service_is_ready, patience_s):
            return {}
        future = client.call_async(GetParameters.Request(names=list(names)))
        if not spin_for(asker, future.done, patience_s):
            return {}
        answer: Any = future.result()
        return dict(zip(names, answer.values, strict=True)) if len(answer.values) == len(names) else {}
    finally:
        asker.destroy_client(client)


def spin_for(asker: Node, ask: Callable[[], T], patience_s: float) -> T:
    """Spin a node until `ask` returns something true, or time is up; return the last answer."""
    deadline_s = time.monotonic() + patience_s
    while not (answer := ask()) and time.monotonic() < deadline_s:
        rclpy.spin_once(asker, timeout_sec=0.05)
    return answer
