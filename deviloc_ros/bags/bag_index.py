"""What a recording says besides its images: calibrations, transforms, ground truth, and the times of the images."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import pycolmap

from deviloc_ros.bags.reader import Recorded, Recording
from deviloc_ros.bags.topics import Topics
from deviloc_ros.bags.transforms import TF, TF_STATIC, TransformError, TransformTree
from deviloc_ros.camera import Camera
from deviloc_ros.messages.camera_book import CameraBook
from deviloc_ros.messages.headers import rigid_of_pose, stamp_ns
from deviloc_ros.status import NotTried, Status

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Rig:
    """How the robot is named and built.

    camera_frame, base_from_cam, camera: where given they replace what the recording says.
    odometry_topic: nav_msgs/Odometry, for recordings without its transform.
    """

    map_frame: str = "map"
    odom_frame: str = "odom"
    base_frame: str = "base_link"
    camera_frame: str = ""
    base_from_cam: pycolmap.Rigid3d | None = None
    camera: Camera | None = None
    rectified: bool = False
    two_d: bool = False
    odometry_topic: str = ""


@dataclass(slots=True, eq=False)
class Contents:
    """All of a recording but its images; small enough to be kept."""

    rig: Rig
    cameras: CameraBook
    transforms: TransformTree = field(default_factory=TransformTree)
    truth: list[Any] = field(default_factory=list)  # messages of the topic of ground truth
    unusable_odometry: int = 0  # messages of it without a valid pose

    def camera(self, frame: str, received_ns: int) -> Camera:
        """Raises NotTried."""
        return self.rig.camera or self.cameras.camera(frame, received_ns)

    def base_from_cam(self, frame: str, time_ns: int) -> pycolmap.Rigid3d:
        """Raises NotTried."""
        if self.rig.base_from_cam is not None:
            return self.rig.base_from_cam
        try:
            return self.transforms.lookup(self.rig.base_frame, self.rig.camera_frame or frame.lstrip("/"), time_ns)
        except TransformError as error:
            raise NotTried(Status.NO_EXTRINSIC, str(error)) from error

    def odom_from_base(self, time_ns: int) -> pycolmap.Rigid3d | None:
        """The odometry at a time; None where there is none. Late ones count as in time."""
        if not self.rig.odom_frame:
            return None
        try:
            return self.transforms.lookup(self.rig.odom_frame, self.rig.base_frame, time_ns)
        except TransformError:
            return None


def read_contents(recording: Recording, topics: Topics, rig: Rig, truth_topic: str) -> Contents:
    """One pass over everything but the images.

    Raises:
        ValueError: a topic that was asked for is not there, or a message is damaged.
    """
    contents = Contents(rig, CameraBook(rig.rectified, history=True))
    optional = [topic for topic in (TF, TF_STATIC) if topic in recording.topics]
    asked = [topic for topic in (topics.camera_info, truth_topic, rig.odometry_topic) if topic]
    for recorded in recording.messages((*optional, *dict.fromkeys(asked))):
        take(contents, recorded, topics, truth_topic)
    if contents.unusable_odometry:
        log.warning("%s: %d messages without a valid pose, left out", rig.odometry_topic, contents.unusable_odometry)
    return contents


def take(contents: Contents, recorded: Recorded, topics: Topics, truth_topic: str) -> None:
    """Put one message where it belongs: a topic of odometry may be that of the truth, too."""
    message = recorded.message()
    if recorded.topic in (TF, TF_STATIC):
        contents.transforms.add(message, static=recorded.topic == TF_STATIC)
    if recorded.topic == topics.camera_info:
        contents.cameras.note(message, recorded.time_ns)
    if recorded.topic == truth_topic:
        contents.truth.append(message)
    if recorded.topic == contents.rig.odometry_topic:
        try:
            odom_from_base = rigid_of_pose(message.pose.pose)
        except ValueError:  # as drivers send before they know
            contents.unusable_odometry += 1
            return
        contents.transforms.insert(contents.rig.odom_frame, contents.rig.base_frame, stamp_ns(message), odom_from_base)
