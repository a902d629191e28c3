"""Attach the depth image nearest in time to each of a recording's keyframes, and write it to a file beside it."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field, replace

import numpy as np
import pycolmap
from tqdm import tqdm

from deviloc_ros.bags.bag_index import IndexedBag
from deviloc_ros.bags.reader import read_messages
from deviloc_ros.bags.topics import IMAGE_TYPES, choose_camera_info_topic, format_topics
from deviloc_ros.bags.transforms import TransformError
from deviloc_ros.camera import Camera
from deviloc_ros.io.encoded_images import write_picture
from deviloc_ros.messages.camera_book import CameraBook
from deviloc_ros.messages.depth import read_depth_message
from deviloc_ros.messages.headers import stamp_ns
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.sources.depth_images import MILLIMETRES, DepthImage
from deviloc_ros.status import NotTried

MAX_GAP_NS = 35_000_000  # one period of a sensor at 30 Hz


@dataclass(frozen=True, slots=True, eq=False)
class DepthPlan:
    """Say where a recording has depth. camera, color_from_depth: if given they replace those of the recording."""

    topic: str
    camera_info_topic: str = ""
    camera: Camera | None = None
    color_from_depth: pycolmap.Rigid3d | None = None


@dataclass(slots=True, eq=False)
class Keyframe:
    """Hold a posed image that is to get depth. gap_ns: between it and the nearest depth so far."""

    image: PosedImage
    time_ns: int
    frame: str
    gap_ns: int = MAX_GAP_NS + 1


@dataclass(slots=True, eq=False)
class DepthReader:
    """Read the depth topic of a recording once."""

    bag: IndexedBag
    plan: DepthPlan
    quiet: bool = False
    cameras: CameraBook = field(default_factory=lambda: CameraBook(rectified=False, history=True))

    def attach_depth(self, keyframes: list[Keyframe]) -> list[PosedImage]:
        """Return the images, with depth if there is some near enough in time.

        Raises:
            ValueError: no such topic, no calibration, no transform, or messages that are not depth images.
        """
        recording, topic = self.bag.recording, self.plan.topic
        if not recording.count(topic):
            there = format_topics(recording, IMAGE_TYPES)
            raise ValueError(f"{recording.path}: no depth images on {topic}; topics of images: {there}")
        self.read_calibrations()
        in_order = sorted(keyframes, key=lambda keyframe: keyframe.time_ns)
        times_ns = [keyframe.time_ns for keyframe in in_order]
        depths, total = recording.messages((topic,)), recording.count(topic)
        bar = tqdm(depths, total=total, desc="bag: depth", unit="image", disable=self.quiet)
        for recorded, message in read_messages(recording.path, bar):
            time_ns = stamp_ns(message)
            after = bisect_left(times_ns, time_ns)
            for keyframe in in_order[max(after - 1, 0) : after + 1]:
                if abs(time_ns - keyframe.time_ns) < keyframe.gap_ns:
                    keyframe.gap_ns = abs(time_ns - keyframe.time_ns)
                    keyframe.image = replace(
                        keyframe.image, depth=self.write_depth(message, recorded.time_ns, keyframe)
                    )
        return [keyframe.image for keyframe in keyframes]

    def read_calibrations(self) -> None:
        """Read the calibrations of the depth camera, before the images are read."""
        if self.plan.camera is None:
            flags = ("--depth-camera-info-topic", "--depth-camera")
            recording = self.bag.recording
            topic = choose_camera_info_topic(recording, self.plan.topic, self.plan.camera_info_topic, flags)
            for recorded, message in read_messages(recording.path, recording.messages((topic,))):
                self.cameras.note(message, recorded.time_ns)

    def write_depth(self, message: object, received_ns: int, keyframe: Keyframe) -> DepthImage:
        """Write a depth message as PNG in millimetres beside the keyframe."""
        millimetres = np.clip(np.round(read_depth_message(message) * MILLIMETRES), 0, np.iinfo(np.uint16).max)
        path = keyframe.image.path.with_suffix(".depth.png")
        write_picture(path, millimetres.astype(np.uint16))
        frame = message.header.frame_id  # type: ignore[attr-defined]
        return DepthImage(path, self.camera(frame, received_ns), self.color_from_depth(keyframe, frame))

    def camera(self, frame: str, received_ns: int) -> Camera:
        """Return the camera that took a depth image."""
        try:
            return self.plan.camera or self.cameras.camera(frame, received_ns)
        except NotTried as error:
            raise ValueError(f"{self.plan.topic}: {error}; give --depth-camera MODEL,W,H,PARAMS") from error

    def color_from_depth(self, keyframe: Keyframe, frame: str) -> pycolmap.Rigid3d | None:
        """Return color_from_depth from TF, unless it was given, or both images have one frame, being registered."""
        color_frame = self.bag.robot.camera_frame or keyframe.frame.lstrip("/")
        if self.plan.color_from_depth is not None or frame.lstrip("/") == color_frame:
            return self.plan.color_from_depth
        try:
            return self.bag.transforms.lookup(color_frame, frame.lstrip("/"), keyframe.time_ns)
        except TransformError as error:
            raise ValueError(f"{self.plan.topic}: {error}; give --depth-to-color 'x y z qx qy qz qw'") from error
