"""Diagnose why a running robot is not localized: check its topics, transforms, clocks and the node itself."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import rclpy
import tf2_ros
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from deviloc_ros.camera import Camera
from deviloc_ros.doctor.checks import Finding, make_failure, make_ok, make_warning
from deviloc_ros.messages import COMPRESSED_SUFFIX
from deviloc_ros.messages.cameras import camera_from_info
from deviloc_ros.messages.headers import stamp_ns
from deviloc_ros.messages.images import pixels_of
from deviloc_ros.ros.conversions import message_from_serialized
from deviloc_ros.ros.endpoints import deserialize_for
from deviloc_ros.ros.tools.running_node import PATIENCE_S, SIM_TIME, RunningNode, find_running_node
from deviloc_ros.ros.transforms import listen_to_transforms
from deviloc_ros.status import Status

OLD_S, SLOW_HZ = 1.0, 1.0
SECOND_NODE = "_tf"  # suffix of the name of the localizer's second node


@dataclass(slots=True)
class TopicTraffic:
    """Hold what arrived on a topic while listening."""

    topic: str
    publishers: list[str] = field(default_factory=list)  # their node and QoS
    count: int = 0
    unreadable: int = 0  # messages that are not of the topic's type
    seconds: float = 1.0
    last: Any = None
    age_s: float = 0.0  # of the last message's stamp when it arrived


@dataclass(frozen=True, slots=True)
class Questions:
    """Hold what to check. cameras: topics of images and of calibrations of each camera."""

    cameras: tuple[tuple[str, str], ...] = (("image", "camera_info"),)
    map_frame: str = "map"
    odom_frame: str = "odom"
    base_frame: str = "base_link"
    seconds: float = 5.0


class Listener(Node):
    """Listen to everything that the localizer needs.

    given: fields of `Questions` that differ from those of the running localizer, or from the defaults.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__("deviloc_doctor")
        self.localizer = find_running_node(self, min(given.get("seconds", PATIENCE_S), PATIENCE_S))
        if self.localizer is not None and self.localizer.sim_time:  # ages are then those by its clock
            self.set_parameters([Parameter(SIM_TIME, value=True)])
        as_it_has = self.localizer.describe() if self.localizer else {}
        self.asked = asked = Questions(**{**as_it_has, **given})
        self.heard: dict[str, TopicTraffic] = {}
        self.status: DiagnosticStatus | None = None
        self.buffer = tf2_ros.Buffer(node=self)
        listen_to_transforms(self, self.buffer)
        for images, infos in asked.cameras:
            for name, kind in ((images, Image), (images + COMPRESSED_SUFFIX, CompressedImage), (infos, CameraInfo)):
                self._listen(name, kind)
        on_diagnostics = deserialize_for(self._on_diagnostics, DiagnosticArray)
        self.create_subscription(DiagnosticArray, "/diagnostics", on_diagnostics, 10, raw=True)

    def listen(self) -> None:
        """Receive messages for the given time."""
        start_s = time.monotonic()
        while (spent_s := time.monotonic() - start_s) < self.asked.seconds:
            with suppress(ValueError):  # malformed messages on /tf or /diagnostics
                rclpy.spin_once(self, timeout_sec=0.05)
        for heard in self.heard.values():
            heard.seconds = spent_s
            heard.publishers = [
                f"{info.node_name} ({info.qos_profile.reliability.name.lower()}, depth {info.qos_profile.depth})"
                for info in self.get_publishers_info_by_topic(self.resolve_topic_name(heard.topic))
            ]

    def explain_missing_transform(self, target: str, source: str) -> str:
        """Return tf2's reason why there is no transform; empty if there is one."""
        try:
            self.buffer.lookup_transform(target, source, Time())
        except tf2_ros.TransformException as error:
            return str(error)
        return ""

    def _listen(self, topic: str, kind: type) -> None:
        heard = self.heard[topic] = TopicTraffic(topic)

        def note(serialized: bytes) -> None:
            try:
                msg = message_from_serialized(serialized, kind)
            except ValueError:
                heard.unreadable += 1
                return
            heard.count += 1
            heard.last = msg
            heard.age_s = (self.get_clock().now().nanoseconds - stamp_ns(msg)) * 1e-9

        qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
        self.create_subscription(kind, topic, note, qos, raw=True)

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        for status in msg.status:
            if status.name.endswith(": localization"):
                self.status = status


@contextmanager
def listen_to_robot(given: Mapping[str, Any]) -> Iterator[Listener]:
    """Yield a node that has listened for the given time."""
    rclpy.init()
    node = Listener(given)
    try:
        node.listen()
        yield node
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def examine_robot(given: Mapping[str, Any]) -> tuple[list[Finding], tuple[Camera, ...]]:
    """Return findings about the running robot, and its cameras; for `given` see `Listener`."""
    cameras, lasts = [], []
    with listen_to_robot(given) as node:
        findings = [examine_environment(), *introduce(node.localizer)]
        for topic, info_topic in node.asked.cameras:
            raw, compressed, infos = (node.heard[name] for name in (topic, topic + COMPRESSED_SUFFIX, info_topic))
            images = compressed if compressed.count > raw.count else raw
            findings += [examine_topic(images), *examine_image(images, compressed is images), examine_topic(infos)]
            camera, calibration = examine_info(infos, images)
            findings.append(calibration)
            cameras.append(camera)
            lasts.append(images.last)
        findings += [*examine_transforms(node, lasts), examine_node(node.status)]
        findings += examine_names(node.get_node_names_and_namespaces())
    return findings, tuple(filter(None, cameras))


def introduce(localizer: RunningNode | None) -> Iterator[Finding]:
    """Yield a finding that names the localizer whose topics and frames are checked."""
    if localizer is not None:
        topics = ", ".join(f"{image} with {info}" for image, info in localizer.cameras)
        yield make_ok(f"{localizer.name} runs, and listens to {topics or 'no camera'}")


def examine_environment() -> Finding:
    """Report in which ROS environment the robot is looked for."""
    names = ("ROS_DISTRO", "ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTDDS_DEFAULT_PROFILES_FILE")
    given = ", ".join(f"{name}={os.environ[name]}" for name in names if os.environ.get(name))
    rmw = rclpy.get_rmw_implementation_identifier()
    what = f"ROS: {rmw}, {given or 'domain 0'}"
    if rmw.startswith("rmw_fastrtps") and not os.environ.get("FASTDDS_DEFAULT_PROFILES_FILE"):
        return make_warning(what, "large images get lost without config/fastdds.xml: see that file")
    return make_ok(what)


def examine_topic(heard: TopicTraffic) -> Finding:
    """Check that a topic has publishers and messages."""
    rate_hz = heard.count / heard.seconds
    if not heard.publishers:
        advice = "start the camera, or name its topic; compare ROS_DOMAIN_ID and namespaces with `ros2 topic list`"
        return make_failure(f"{heard.topic}: nobody publishes it", advice)
    who = ", ".join(heard.publishers)
    if heard.unreadable:
        what = f"{heard.topic}: {heard.unreadable} messages that cannot be read, {heard.count} that can"
        return make_failure(what, f"see who sends them ({who}), and whether it has the same version of the type")
    if heard.count == 0:
        return make_failure(
            f"{heard.topic}: offered by {who}, but nothing arrived", "see whether the driver is running and sends"
        )
    what = f"{heard.topic}: {rate_hz:.1f} Hz from {who}"
    return make_ok(what) if rate_hz >= SLOW_HZ else make_warning(what, "a slow camera leaves long gaps to odometry")


def examine_image(heard: TopicTraffic, compressed: bool) -> Iterator[Finding]:
    """Check an image's stamps and, for the node, its transport."""
    if heard.last is None:
        return
    if compressed:
        yield make_warning(f"images come on {heard.topic} only", "start the node with image_transport: compressed")
    if stamp_ns(heard.last) == 0:
        yield make_failure("images have no time stamp", "let the driver set header.stamp")
    elif abs(heard.age_s) > OLD_S:
        advice = "a recording or simulator? set use_sim_time: true for the node; else synchronize the clocks"
        yield make_warning(f"images are {heard.age_s:.1f} s old when they arrive", advice)
    else:
        yield make_ok(f"images are {1000 * heard.age_s:.0f} ms old when they come")


def examine_info(heard: TopicTraffic, images: TopicTraffic) -> tuple[Camera | None, Finding]:
    """Check that the calibration is valid, and belongs to the images."""
    info: CameraInfo = heard.last
    if info is None:
        return None, make_failure("no calibration", "publish sensor_msgs/CameraInfo beside the images")
    try:
        camera = camera_from_info(info)
    except ValueError as error:
        return None, make_failure(
            str(error), "calibrate the camera (camera_calibration), or set rectified: true if P is right"
        )
    if images.last is not None and images.last.header.frame_id != info.header.frame_id:
        what = f"image is of frame {images.last.header.frame_id!r}, camera_info of {info.header.frame_id!r}"
        return camera, make_failure(what, "let the driver stamp both with the optical frame")
    size = decode_size(images.last) if images.last is not None else None
    if size is not None and size != (camera.width, camera.height):
        what = f"image of {size[0]} x {size[1]}, camera_info of {camera.width} x {camera.height}"
        return camera, make_failure(what, "publish the calibration of the size that is sent")
    if not 0.2 < camera.focal_px / camera.width < 5:
        return camera, make_warning(f"focal length {camera.focal_px:.0f} px is implausible", "check the calibration")
    return camera, make_ok(f"calibration of {info.header.frame_id!r}: {camera.model}, {camera.width} x {camera.height}")


def decode_size(msg: Image | CompressedImage) -> tuple[int, int] | None:
    """Return width and height [px] of an image, None if it cannot be decoded."""
    try:
        height, width = pixels_of(msg).shape[:2]
    except ValueError:
        return None
    return width, height


def examine_transforms(node: Listener, images: Sequence[Any]) -> Iterator[Finding]:
    """Check that the frames are connected. images: the last of each camera, None if none arrived."""
    asked = node.asked
    for image in filter(None, images):
        optical = image.header.frame_id
        why = node.explain_missing_transform(asked.base_frame, optical)
        what = f"transform {asked.base_frame} <- {optical}"
        advice = "publish where the camera is (static_transform_publisher, URDF), or set base_from_camera"
        if why and has_tried_image(node.status):
            yield make_ok(f"{what}: not in TF; the localizer has base_from_camera or camera_frame")
        else:
            yield make_failure(f"no {what}: {why}", advice) if why else make_ok(what)
    if asked.odom_frame:
        why = node.explain_missing_transform(asked.odom_frame, asked.base_frame)
        what = f"transform {asked.odom_frame} <- {asked.base_frame}"
        advice = "start the odometry; without any, set odom_frame: '' and tf_mode: map_to_base"
        yield make_warning(f"no {what}: {why}", advice) if why else make_ok(what)
    why = node.explain_missing_transform(asked.map_frame, asked.base_frame)
    what = f"transform {asked.map_frame} <- {asked.base_frame}"
    yield (
        make_warning(f"no {what}: {why}", "comes with the first pose, unless tf_mode is none") if why else make_ok(what)
    )


def has_tried_image(status: DiagnosticStatus | None) -> bool:
    """Return whether the localizer has tried to localize an image, so that it knows the camera's mount."""
    reasons = [value.value for value in status.values if value.key == "reason"] if status else []
    return any(Status.from_word(reason).tried for reason in reasons if reason)


def examine_names(nodes: list[tuple[str, str]]) -> Iterator[Finding]:
    """Check that no two nodes share a name: each would receive the other's services and topics."""
    for (name, namespace), count in Counter(nodes).items():
        if count > 1 and not name.endswith(SECOND_NODE):
            what = f"{count} nodes are named {namespace.rstrip('/')}/{name}"
            yield make_warning(what, "end all but one (a killed one is remembered for 20 s), or give them namespaces")


def examine_node(status: DiagnosticStatus | None) -> Finding:
    """Report the localizer's own diagnostics."""
    if status is None:
        return make_warning(
            "no localizer reports on /diagnostics", "start it: ros2 launch deviloc_ros localization.launch.py"
        )
    values = {value.key: value.value for value in status.values}
    what = f"{status.name.partition(':')[0]} says: {status.message}"
    if status.level == DiagnosticStatus.OK:
        return make_ok(what)
    return make_warning(what, explain_reason(values.get("reason", "")))


def explain_reason(word: str) -> str:
    """Return what to do about the reason why the last image gave no pose."""
    if not word:
        return "no image has been tried yet; what is missing stands above"
    known = Status[word.upper()] if word.upper() in Status.__members__ else None
    if known is Status.ACCEPTED:
        return "the last image gave a pose: the message says what else is wrong"
    return f"reason {word}: {known.advice if known else 'see Diagnostics in docs/interface.md'}"
