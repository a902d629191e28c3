"""Index what a recording says besides its images: calibrations, transforms, ground truth, times of the images."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import pycolmap

from deviloc_ros.bags.reader import RecordedMessage, Recording, read_messages
from deviloc_ros.bags.topics import Topics, choose_transform_topic
from deviloc_ros.bags.transforms import TF, TF_STATIC, Track, TransformError, TransformSample, TransformTree
from deviloc_ros.camera import Camera
from deviloc_ros.messages.camera_book import CameraBook
from deviloc_ros.messages.headers import rigid_from_pose, stamp_ns
from deviloc_ros.status import NotTried, Status

ODOMETRY_TYPE = "nav_msgs/msg/Odometry"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Rig:
    """Describe how the robot is named and built.

    camera_frame, base_from_cam, camera: where given they replace what the recording says, of the only camera.
    mounts: base_from_cam of several, by their topics of images. camera_info_frame: take the
    calibration of this frame for images of any. rectified: whether the images are; None: as `rectified.judge_topic`
    finds. odometry_topic: nav_msgs/Odometry, for recordings without its transform.
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
    """Hold the poses of a topic of nav_msgs/Odometry: of `child`, empty where the messages do not say whose."""

    child: str = ""
    track: Track = field(default_factory=lambda: Track(static=False))
    unusable: int = 0  # messages without a valid pose, as drivers send before they know


@dataclass(slots=True, eq=False)
class Contents:
    """Hold all of a recording but its images; small enough to be kept.

    cameras: calibrations of the first camera. beside: of the others of a rig, by their topics of images.
    """

    rig: Rig
    cameras: CameraBook
    beside: dict[str, CameraBook] = field(default_factory=dict)
    transforms: TransformTree = field(default_factory=TransformTree)
    truth: list[Any] = field(default_factory=list)  # messages of the topic of ground truth
    odometry: OdometryPoses = field(default_factory=OdometryPoses)

    def camera(self, frame: str, received_ns: int, topic: str = "") -> Camera:
        """Return the calibration of an image; of several cameras that of its topic. Raises NotTried."""
        book = self.beside.get(topic, self.cameras)
        return self.rig.camera or book.camera(self.rig.camera_info_frame or frame, received_ns)

    def base_from_cam(self, frame: str, time_ns: int, topic: str = "") -> pycolmap.Rigid3d:
        """Return where the camera sits on the robot; of several cameras that of a topic. Raises NotTried."""
        given = self.rig.mounts.get(topic, self.rig.base_from_cam)
        if given is not None:
            return given
        try:
            return self.transforms.lookup(self.rig.base_frame, self.rig.camera_frame or frame.lstrip("/"), time_ns)
        except TransformError as error:
            raise NotTried(Status.NO_EXTRINSIC, str(error)) from error

    def odom_from_base(self, time_ns: int) -> pycolmap.Rigid3d | None:
        """Return the odometry at a time; None where there is none. Late ones count as in time."""
        try:
            return self.find_odometry(time_ns)
        except TransformError:
            return None

    def find_odometry(self, time_ns: int) -> pycolmap.Rigid3d:
        """Return odom_from_base at a time, of the topic of odometry where one was named, else of the transforms.

        Raises:
            TransformError: there is none; the message says why.
        """
        if not self.rig.odometry_topic:
            if not self.rig.odom_frame:
                raise TransformError("no odometry frame was given")
            return self.transforms.lookup(self.rig.odom_frame, self.rig.base_frame, time_ns)
        track, topic = self.odometry.track, self.rig.odometry_topic
        if not track.samples:
            raise TransformError(f"{topic} has no valid pose")
        sample = track.at(time_ns)
        if sample is None:
            reason = f"{topic} was recorded from {track.span_text} only"
            raise TransformError(f"{reason}, asked for {time_ns * 1e-9:.3f} s", reason)
        child = self.odometry.child or self.rig.base_frame
        return sample.parent_from_child * self.transforms.lookup(child, self.rig.base_frame, time_ns)


def read_contents(recording: Recording, topics: Topics, rig: Rig, truth_topic: str) -> Contents:
    """Read everything but the images, in one pass; damaged messages are left out, with a warning.

    Raises:
        ValueError: a topic that was asked for is not there, or odometry is of another frame than
            the robot's and nothing says where one is in the other.
    """
    kind = recording.topics.get(rig.odometry_topic, ODOMETRY_TYPE)  # that a topic is missing is said where it is read
    if rig.odometry_topic and kind != ODOMETRY_TYPE:
        raise ValueError(f"{rig.odometry_topic} is of type {kind}, and no nav_msgs/Odometry")
    contents = Contents(rig, CameraBook(bool(rig.rectified), history=True))
    contents.beside = {each.image: CameraBook(bool(rig.rectified), history=True) for each in topics.beside}
    of_transforms = {choose_transform_topic(recording, topic, topics.image): topic for topic in (TF, TF_STATIC)}
    optional = list(filter(None, of_transforms))
    asked = [topic for topic in (*topics.camera_infos, truth_topic, rig.odometry_topic) if topic]
    recorded_messages = recording.messages((*optional, *dict.fromkeys(asked)))
    for recorded, message in read_messages(recording.path, recorded_messages):
        if recorded.topic in of_transforms:
            contents.transforms.add(message, static=of_transforms[recorded.topic] == TF_STATIC)
        store_message(contents, recorded, message, topics, truth_topic)
    if contents.odometry.unusable:
        log.warning("%s: %d messages without a valid pose, left out", rig.odometry_topic, contents.odometry.unusable)
    check_odometry(contents)
    contents.transforms.log_oddities()
    return contents


def check_odometry(contents: Contents) -> None:
    """Raise ValueError if the topic of odometry has poses of a frame from which there is no way to the base frame."""
    child, base = contents.odometry.child, contents.rig.base_frame
    if not child or child == base or not contents.odometry.track.samples:
        return
    failures = []
    for sample in contents.odometry.track.samples:
        try:
            contents.transforms.lookup(child, base, sample.time_ns)
            return
        except TransformError as error:
            failures.append(str(error))
    raise ValueError(
        f"{contents.rig.odometry_topic} has poses of {child!r}, wanted are those of {base!r}: {failures[0]}; "
        f"if they are of the robot's base, give --base-frame {child}"
    )


def store_message(
    contents: Contents, recorded: RecordedMessage, message: Any, topics: Topics, truth_topic: str
) -> None:
    """Put one message where it belongs: a topic of odometry may be that of the truth, too."""
    if recorded.topic == topics.camera_info:
        contents.cameras.note(message, recorded.time_ns)
    for each in topics.beside:
        if recorded.topic == each.camera_info:
            contents.beside[each.image].note(message, recorded.time_ns)
    if recorded.topic == truth_topic:
        contents.truth.append(message)
    if recorded.topic == contents.rig.odometry_topic:
        odometry = contents.odometry
        try:
            odom_from_child = rigid_from_pose(message.pose.pose)
        except ValueError:
            odometry.unusable += 1
            return
        odometry.child = message.child_frame_id.lstrip("/")
        odometry.track.add(TransformSample(stamp_ns(message), contents.rig.odom_frame, odom_from_child))
