"""Index a recording, except for the images: calibrations, transforms, ground truth, times of the images."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import pycolmap

from deviloc_ros.bags.reader import RecordedMessage, Recording, read_messages
from deviloc_ros.bags.topics import CameraTopics, choose_transform_topic
from deviloc_ros.bags.transforms import TF, TF_STATIC, Track, TransformError, TransformSample, TransformTree
from deviloc_ros.camera import Camera
from deviloc_ros.messages.camera_book import CameraBook
from deviloc_ros.messages.headers import rigid_from_pose, stamp_ns
from deviloc_ros.status import NotTried, Status

ODOMETRY_TYPE = "nav_msgs/msg/Odometry"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class RobotSetup:
    """Describe the robot's frames, mounts and calibration.

    camera_frame, base_from_cam, camera: of the only camera; if given they replace those of the recording. mounts:
    base_from_cam of several cameras, by their image topics. camera_info_frame: use the calibration of this frame for
    all images. rectified: whether the images are; None: as `rectified.says_rectified` finds. odometry_topic: of
    nav_msgs/Odometry, for recordings without its transform.
    """

    map_frame: str = "map"
    odom_frame: str = "odom"
    base_frame: str = "base_link"
    camera_frame: str = ""
    base_from_cam: pycolmap.Rigid3d | None = None
    camera: Camera | None = None
    camera_info_frame: str = ""
    rectified: bool | None = None
    two_d: bool = False
    odometry_topic: str = ""
    mounts: dict[str, pycolmap.Rigid3d] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class OdometryPoses:
    """Hold the poses of a nav_msgs/Odometry topic. child: their frame, empty if the messages have none."""

    child: str = ""
    track: Track = field(default_factory=lambda: Track(static=False))
    unusable: int = 0  # messages without a valid pose, as drivers send them at first


@dataclass(slots=True, eq=False)
class IndexedBag:
    """Hold a recording, its topics in use, and the content of these except for the images.

    cameras: calibrations of the first camera. beside: those of the other cameras of a rig, by their image topics.
    """

    recording: Recording
    topics: CameraTopics
    robot: RobotSetup
    cameras: CameraBook
    beside: dict[str, CameraBook] = field(default_factory=dict)
    transforms: TransformTree = field(default_factory=TransformTree)
    truth: list[Any] = field(default_factory=list)  # messages of the topic of ground truth
    odometry: OdometryPoses = field(default_factory=OdometryPoses)

    def camera(self, frame: str, received_ns: int, topic: str = "") -> Camera:
        """Return the camera of an image, by its topic if there are several cameras. Raises NotTried."""
        book = self.beside.get(topic, self.cameras)
        return self.robot.camera or book.camera(self.robot.camera_info_frame or frame, received_ns)

    def base_from_cam(self, frame: str, time_ns: int, topic: str = "") -> pycolmap.Rigid3d:
        """Return the camera's mount, by its topic if there are several cameras. Raises NotTried."""
        given = self.robot.mounts.get(topic, self.robot.base_from_cam)
        if given is not None:
            return given
        try:
            return self.transforms.lookup(self.robot.base_frame, self.robot.camera_frame or frame.lstrip("/"), time_ns)
        except TransformError as error:
            raise NotTried(Status.NO_EXTRINSIC, str(error)) from error

    def odom_from_base(self, time_ns: int) -> pycolmap.Rigid3d | None:
        """Return the odometry at a time, None if there is none; messages that were received late count as in time."""
        try:
            return self.find_odometry(time_ns)
        except TransformError:
            return None

    def find_odometry(self, time_ns: int) -> pycolmap.Rigid3d:
        """Return odom_from_base at a time, from the odometry topic if one was named, else from the transforms.

        Raises:
            TransformError: there is none; the message says why.
        """
        if not self.robot.odometry_topic:
            if not self.robot.odom_frame:
                raise TransformError("no odometry frame was given")
            return self.transforms.lookup(self.robot.odom_frame, self.robot.base_frame, time_ns)
        track, topic = self.odometry.track, self.robot.odometry_topic
        if not track.samples:
            raise TransformError(f"{topic} has no valid pose")
        sample = track.at(time_ns)
        if sample is None:
            reason = f"{topic} was recorded from {track.span_text} only"
            raise TransformError(f"{reason}, asked for {time_ns * 1e-9:.3f} s", reason)
        child = self.odometry.child or self.robot.base_frame
        return sample.parent_from_child * self.transforms.lookup(child, self.robot.base_frame, time_ns)


def index_topics(recording: Recording, topics: CameraTopics, robot: RobotSetup, truth_topic: str) -> IndexedBag:
    """Read everything except the images in one pass; damaged messages are left out with a warning.

    Raises:
        ValueError: a requested topic is missing, or odometry is of another frame than the robot's and no transform
            connects the two.
    """
    kind = recording.topics.get(robot.odometry_topic, ODOMETRY_TYPE)  # that a topic is missing is said where it is read
    if robot.odometry_topic and kind != ODOMETRY_TYPE:
        raise ValueError(f"{robot.odometry_topic} is of type {kind}, not nav_msgs/Odometry")
    bag = IndexedBag(recording, topics, robot, CameraBook(bool(robot.rectified), history=True))
    bag.beside = {each.image: CameraBook(bool(robot.rectified), history=True) for each in topics.beside}
    of_transforms = {choose_transform_topic(recording, topic, topics.image): topic for topic in (TF, TF_STATIC)}
    optional = list(filter(None, of_transforms))
    asked = [topic for topic in (*topics.camera_infos, truth_topic, robot.odometry_topic) if topic]
    recorded_messages = recording.messages((*optional, *dict.fromkeys(asked)))
    for recorded, message in read_messages(recording.path, recorded_messages):
        if recorded.topic in of_transforms:
            bag.transforms.add(message, static=of_transforms[recorded.topic] == TF_STATIC)
        store_message(bag, recorded, message, truth_topic)
    if bag.odometry.unusable:
        log.warning("%s: %d messages without a valid pose, left out", robot.odometry_topic, bag.odometry.unusable)
    check_odometry(bag)
    bag.transforms.log_oddities()
    return bag


def check_odometry(bag: IndexedBag) -> None:
    """Raise ValueError if no transform connects the frame of the odometry topic's poses to the base frame."""
    child, base = bag.odometry.child, bag.robot.base_frame
    if not child or child == base or not bag.odometry.track.samples:
        return
    failures = []
    for sample in bag.odometry.track.samples:
        try:
            bag.transforms.lookup(child, base, sample.time_ns)
            return
        except TransformError as error:
            failures.append(str(error))
    raise ValueError(
        f"{bag.robot.odometry_topic} has poses of {child!r}, expected those of {base!r}: {failures[0]}; "
        f"if they are of the robot's base, give --base-frame {child}"
    )


def store_message(bag: IndexedBag, recorded: RecordedMessage, message: Any, truth_topic: str) -> None:
    """Store one message by its topic; the odometry topic may also be that of the truth."""
    if recorded.topic == bag.topics.camera_info:
        bag.cameras.note(message, recorded.time_ns)
    for each in bag.topics.beside:
        if recorded.topic == each.camera_info:
            bag.beside[each.image].note(message, recorded.time_ns)
    if recorded.topic == truth_topic:
        bag.truth.append(message)
    if recorded.topic == bag.robot.odometry_topic:
        odometry = bag.odometry
        try:
            odom_from_child = rigid_from_pose(message.pose.pose)
        except ValueError:
            odometry.unusable += 1
            return
        odometry.child = message.child_frame_id.lstrip("/")
        odometry.track.add(TransformSample(stamp_ns(message), bag.robot.odom_frame, odom_from_child))
