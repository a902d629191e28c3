"""Choose the topics of a recording that were not named, and explain if the choice is not clear."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from deviloc_ros.bags.reader import Recording
from deviloc_ros.messages import COMPRESSED_SUFFIX

log = logging.getLogger(__name__)
IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
INFO_TYPE = "sensor_msgs/msg/CameraInfo"
DEPTH_SUFFIX = "/compressedDepth"  # of topics, as image_transport names them; they are CompressedImage, too
TRANSFORM_TYPES = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")


@dataclass(frozen=True, slots=True)
class CameraTopics:
    """Name the topics of a camera. image: Image or CompressedImage.

    camera_info: empty if the camera was given otherwise. beside: topics of the other cameras of a rig. camera: its
    name, empty if it is the only one.
    """

    image: str
    camera_info: str
    beside: tuple[CameraTopics, ...] = ()
    camera: str = ""

    @property
    def cameras(self) -> tuple[CameraTopics, ...]:
        """Return the topics of each camera."""
        return (self, *self.beside)

    @property
    def images(self) -> tuple[str, ...]:
        """Return the image topics of all cameras."""
        return tuple(each.image for each in self.cameras)

    @property
    def camera_infos(self) -> tuple[str, ...]:
        """Return the calibration topics of all cameras, each once."""
        return tuple(dict.fromkeys(each.camera_info for each in self.cameras if each.camera_info))

    def camera_of(self, topic: str) -> str:
        """Return the name of the camera with this image topic."""
        return next(each.camera for each in self.cameras if each.image == topic)


def choose_rig_topics(recording: Recording, images: Sequence[str], camera_infos: Sequence[str]) -> CameraTopics:
    """Return the topics of several cameras, in order; calibration topics are given for all of them or none.

    Raises:
        ValueError: as `choose_topics`, or a topic was named twice, or there are too few calibration topics.
    """
    if len(set(images)) < len(images):
        raise ValueError(f"--image-topic names one topic twice: {', '.join(images)}")
    if camera_infos and len(camera_infos) != len(images):
        raise ValueError(f"{len(images)} of --image-topic need as many of --camera-info-topic, or none")
    chosen = [
        choose_topics(recording, image, info, camera_given=False)
        for image, info in zip(images, camera_infos or [""] * len(images), strict=True)
    ]
    named = [replace(topics, camera=name) for topics, name in zip(chosen, name_cameras(images), strict=True)]
    return replace(named[0], beside=tuple(named[1:]))


def name_cameras(images: Sequence[str]) -> list[str]:
    """Return a name for the camera of each topic: the parts in which the topics differ, or else numbers."""
    paths = [image.removesuffix(COMPRESSED_SUFFIX).strip("/").split("/") for image in images]
    common = set.intersection(*map(set, paths))
    names = [re.sub(r"\W+", "_", "_".join(part for part in path if part not in common)) for path in paths]
    if len(set(names)) < len(names) or not all(re.fullmatch(r"[A-Za-z]\w*", name) for name in names):
        return [f"camera_{number}" for number in range(len(images))]
    return names


def choose_topics(recording: Recording, image: str, camera_info: str, camera_given: bool) -> CameraTopics:
    """Return the named topics, or else the only candidates.

    Raises:
        ValueError: no such topic, no candidate, several candidates, or no images on it; the message lists the topics.
    """
    image = image or find_only_image_topic(recording)
    kind = recording.topics.get(image)
    if kind not in IMAGE_TYPES:
        what = f"is of type {kind}" if kind else "is not in the recording"
        raise ValueError(f"{recording.path}: {image} {what}; topics of images: {format_topics(recording, IMAGE_TYPES)}")
    if not recording.count(image):
        raise ValueError(f"{recording.path}: there is no image on {image}; was the camera running?")
    return CameraTopics(image, "" if camera_given else choose_camera_info_topic(recording, image, camera_info))


def find_only_image_topic(recording: Recording) -> str:
    """Return the only image topic. Raises ValueError if there is none, or several."""
    pictures = [name for name in list_topics(recording, IMAGE_TYPES) if not name.endswith(DEPTH_SUFFIX)]
    topics = prefer_filled(recording, pictures)
    if len(topics) == 1:
        return topics[0]
    if not topics:
        there = ", ".join(f"{name} ({kind})" for name, kind in sorted(recording.topics.items())) or "nothing"
        raise ValueError(f"{recording.path}: no topic of images; it has {there}")
    raise ValueError(f"{recording.path}: images on several topics, choose one with --image-topic: {', '.join(topics)}")


def choose_camera_info_topic(
    recording: Recording, image: str, asked: str, flags: tuple[str, str] = ("--camera-info-topic", "--camera")
) -> str:
    """Return the named topic, the one beside the images, or the only one; `flags` are for the error message."""
    topics = list_topics(recording, (INFO_TYPE,))
    if asked:
        if asked in topics:
            return asked
        raise ValueError(
            f"{recording.path}: no camera_info on {asked}; there is {format_topics(recording, (INFO_TYPE,))}"
        )
    namespace = image.removesuffix(COMPRESSED_SUFFIX).removesuffix(DEPTH_SUFFIX).rpartition("/")[0]
    if f"{namespace}/camera_info" in topics:
        return f"{namespace}/camera_info"
    topics = prefer_filled(recording, topics)
    if len(topics) == 1:
        return topics[0]
    if topics:
        raise ValueError(
            f"{recording.path}: which calibration belongs to {image}? choose one with {flags[0]}: {', '.join(topics)}"
        )
    raise ValueError(
        f"{recording.path}: no camera_info in the recording; give the calibration with {flags[1]} MODEL,W,H,PARAMS, as "
        "PINHOLE,640,480,525,525,319.5,239.5"
    )


def choose_transform_topic(recording: Recording, topic: str, image: str) -> str:
    """Return the topic to read for `/tf` or `/tf_static`: itself if it has messages.

    Otherwise the one in the namespace of the images, or the only one with such a name; empty if there is none.
    """
    named = [name for name in list_topics(recording, TRANSFORM_TYPES) if name.endswith(topic)]
    others = prefer_filled(recording, named)
    if topic in others:
        return topic
    of_robot = [name for name in others if image.startswith(f"{name.removesuffix(topic)}/")]
    chosen = of_robot or others
    if len(chosen) == 1:
        log.warning("%s: %s was not recorded, %s is read instead", recording.path, topic, chosen[0])
        return chosen[0]
    if chosen:
        said = ", ".join(chosen)
        log.warning(
            "%s: %s was not recorded; none of %s is read: which robot took the images?", recording.path, topic, said
        )
    return ""


def prefer_filled(recording: Recording, topics: list[str]) -> list[str]:
    """Return the topics with messages, or all if none has: recorders also store topics without messages."""
    return [topic for topic in topics if recording.count(topic)] or topics


def list_topics(recording: Recording, kinds: tuple[str, ...]) -> list[str]:
    """Return the names of topics of these types, sorted."""
    return sorted(name for name, kind in recording.topics.items() if kind in kinds)


def format_topics(recording: Recording, kinds: tuple[str, ...]) -> str:
    """Return the names of topics of these types as text for messages."""
    return ", ".join(list_topics(recording, kinds)) or "none"
