"""Receive images, grouped by time, and calibrations from the cameras, and notice cameras that send nothing."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median_low

from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from deviloc_ros.parameters.node_config import CameraConfig
from deviloc_ros.ros.bounded_counter import shorten
from deviloc_ros.ros.conversions import read_serialized_stamp
from deviloc_ros.ros.diagnostics import SILENT_AFTER_S, Tally
from deviloc_ros.ros.endpoints import Endpoints, name_topic_in_errors, newest_only_qos
from deviloc_ros.ros.missing_images import explain_missing_images
from deviloc_ros.ros.parameters import Parameters
from deviloc_ros.ros.pipeline import Pipeline
from deviloc_ros.tracking.grouping import Group, ImageGrouper

AGES_KEPT = 10  # of a camera's images


class ImageIntake:
    """Group serialized images by time and pass them on.

    tally: counts the images of all cameras. hand_over: called with the images of one time, from the executor's thread
    and from that of `hand_over_overdue`, never from both at once.
    """

    def __init__(
        self,
        node: LifecycleNode,
        pipeline: Pipeline,
        parameters: Parameters,
        tally: Tally,
        hand_over: Callable[[Group[bytes]], None],
    ) -> None:
        self._node, self._pipeline, self._tally, self._hand_over = node, pipeline, tally, hand_over
        self._cameras = parameters.cameras
        self.tallies = {name: Tally() for name in parameters.cameras}
        self.topics: dict[str, str] = {}  # of the images, by camera
        self.incompatible_qos: dict[str, str] = {}  # by topic, since the last image
        self._window_ns = round(1e9 * parameters.rig.window_s)
        self._ages_ns: dict[str, deque[int]] = {name: deque(maxlen=AGES_KEPT) for name in parameters.cameras}
        self._grouper_lock = threading.Lock()
        self._grouper = create_grouper(parameters)

    def listen(self, endpoints: Endpoints, parameters: Parameters) -> None:
        """Subscribe to all cameras; images that waited for others in a previous session are dropped."""
        self._cameras, self._grouper = parameters.cameras, create_grouper(parameters)
        self._ages_ns = {name: deque(maxlen=AGES_KEPT) for name in self._cameras}
        self._tally.last_received_s = time.monotonic()
        for name, camera in self._cameras.items():
            self._listen_to_camera(endpoints, name, camera)

    def _listen_to_camera(self, endpoints: Endpoints, name: str, camera: CameraConfig) -> None:
        # Remapped before the suffix is added, as image_transport does.
        with name_topic_in_errors(camera.image_topic):
            topic = camera.append_transport(self._node.resolve_topic_name(camera.image_topic))
        # Raw, since deserializing an image in this thread would delay all other callbacks.
        kind = CompressedImage if camera.image_transport == "compressed" else Image
        endpoints.subscribe_raw(kind, topic, partial(self.note_image, name), newest_only_qos())
        on_info = partial(self._on_camera_info, name)
        endpoints.subscribe(CameraInfo, camera.camera_info_topic, on_info, newest_only_qos())
        if camera.mask_topic:
            note_mask = self._pipeline.masks[name].note
            endpoints.subscribe_raw(Image, camera.mask_topic, note_mask, newest_only_qos())
        self.topics[name] = topic
        self.tallies[name].last_received_s = time.monotonic()

    def note_image(self, camera: str, serialized: bytes) -> None:
        """Take an image of a camera."""
        for tally in (self._tally, self.tallies[camera]):
            tally.received += 1
            tally.last_received_s = time.monotonic()
        self.incompatible_qos.clear()  # it did not prevent images
        stamp_ns, now_ns = read_serialized_stamp(serialized), self._now_ns()
        self._ages_ns[camera].append(now_ns - stamp_ns)
        with self._grouper_lock:
            for group in self._grouper.add(camera, stamp_ns, now_ns, serialized):
                self._hand_over(group)

    def hand_over_overdue(self) -> None:
        """Hand over images that have waited long enough for those of other cameras."""
        with self._grouper_lock:
            for group in self._grouper.close_overdue(self._now_ns()):
                self._hand_over(group)

    def _on_camera_info(self, camera: str, msg: CameraInfo) -> None:
        if self._pipeline.calibrations[camera].note(msg):
            about = f"{shorten(msg.header.frame_id)!r}: {msg.width} x {msg.height} px"
            self._node.get_logger().info(f"camera_info of {about}", throttle_duration_sec=1.0)

    def describe_topics(self) -> str:
        """Return the topics of images and calibrations, in words."""
        return "; ".join(
            f"{name and name + ': '}images on {self.topics[name]} ({camera.image_transport}), "
            f"calibration on {self._node.resolve_topic_name(camera.camera_info_topic)}"
            for name, camera in self._cameras.items()
        )

    def measure_silence_s(self, now_s: float) -> float:
        """Return the time [s] since the last image of any camera, given the monotonic time."""
        return now_s - (self._tally.last_received_s or now_s)

    def explain_silence(self, now_s: float) -> str:
        """Say why no image arrives, if none has for a while; else return an empty string."""
        is_silent = self.measure_silence_s(now_s) > SILENT_AFTER_S
        return explain_missing_images(self._node, *self.topics.values()) if is_silent else ""

    def list_silent_cameras(self, now_s: float) -> Iterator[str]:
        """Yield a complaint for each camera of a rig that sends no images, with the reason."""
        for name, tally in self.tallies.items() if len(self.tallies) > 1 else ():
            topic, silent_s = self.topics[name], now_s - (tally.last_received_s or now_s)
            if silent_s > SILENT_AFTER_S:
                why = explain_missing_images(self._node, topic)
                yield f"camera {name}: no image on {topic} for {silent_s:.0f} s: {why}"

    def list_apart_cameras(self, now_s: float) -> Iterator[str]:
        """Yield which cameras of a rig have images that come so late by their stamps that they are localized apart."""
        ages_ns = {
            name: median_low(ages)
            for name, ages in self._ages_ns.items()
            if len(ages) == AGES_KEPT and now_s - (self.tallies[name].last_received_s or now_s) <= SILENT_AFTER_S
        }
        first = min(ages_ns, key=lambda name: ages_ns[name], default="")
        for name, age_ns in ages_ns.items():
            if (late_ns := age_ns - ages_ns[first]) > self._window_ns > 0:
                late = f"its images come {late_ns * 1e-9:.2f} s later by their stamps than those of {first}"
                yield f"camera {name}: {late}, more than rig.window_s, and are localized apart: are the clocks one?"

    def _now_ns(self) -> int:
        return self._node.get_clock().now().nanoseconds


def create_grouper(parameters: Parameters) -> ImageGrouper[bytes]:
    """Return the grouper of the cameras' images; without odometry only images of nearly one time are grouped."""
    rig = parameters.rig
    span_s = rig.window_s if parameters.node.uses_odometry else rig.tolerance_s
    return ImageGrouper(tuple(parameters.cameras), round(1e9 * rig.window_s), round(1e9 * span_s))
