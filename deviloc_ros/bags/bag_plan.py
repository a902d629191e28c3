"""Plan what to read of a recording: which topics, how the robot is built, and where its poses are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from deviloc_ros.bags.bag_index import Contents, Rig, read_contents
from deviloc_ros.bags.reader import Recording
from deviloc_ros.bags.rectified import says_rectified
from deviloc_ros.bags.topics import Topics, choose_rig_topics, choose_topics
from deviloc_ros.bags.transforms import TransformError
from deviloc_ros.bags.truth import (
    Truth,
    name_body_of_messages,
    read_truth_file,
    truth_from_messages,
    truth_from_transforms,
)


@dataclass(frozen=True, slots=True)
class TruthSource:
    """Say where the true poses come from, one of the first three.

    body: the frame whose they are; empty: as the messages say (`child_frame_id`), else the robot's. body_flag: that
    says so on the command line.
    """

    file: Path | None = None
    topic: str = ""
    transform: tuple[str, str] | None = None  # parent, child
    body: str = ""
    body_flag: str = "--ground-truth-frame"

    def __str__(self) -> str:
        if self.transform:
            return "transform {} <- {}".format(*self.transform)
        return self.topic or (self.file.name if self.file else "none")


@dataclass(frozen=True, slots=True, eq=False)
class ReadingPlan:
    """Say which topics are read; those that are empty are chosen where there is only one.

    beside: the topics of images of the other cameras of a rig. beside_infos: their calibrations, or none of them.
    """

    image_topic: str = ""
    camera_info_topic: str = ""
    rig: Rig = field(default_factory=Rig)
    truth: TruthSource = field(default_factory=TruthSource)
    beside: tuple[str, ...] = ()
    beside_infos: tuple[str, ...] = ()


def read_all(recording: Recording, reading: ReadingPlan) -> tuple[Topics, Contents]:
    """Read what there is besides images, and say whether these are rectified.

    Raises:
        ValueError: something that is asked for is missing.
    """
    image, info = reading.image_topic, reading.camera_info_topic
    if reading.beside:
        topics = choose_rig_topics(recording, (image, *reading.beside), (info, *reading.beside_infos) if info else ())
    else:
        topics = choose_topics(recording, image, info, reading.rig.camera is not None)
    contents = read_contents(recording, topics, reading.rig, reading.truth.topic)
    if reading.rig.rectified is None:
        contents.cameras.rectified = says_rectified(topics.image)
        for each in topics.beside:
            contents.beside[each.image].rectified = says_rectified(each.image)
    return topics, contents


def find_truth(source: TruthSource, contents: Contents, times_ns: list[int], kind: str) -> Truth | None:
    """Return the truth as map_from_base; None if none was asked for.

    Args:
        times_ns: stamps of the images. kind: type of the topic of the truth.

    Raises:
        ValueError: it is not to be had.
    """
    base = contents.rig.base_frame
    if source.file:
        truth = read_truth_file(source.file)
    elif source.topic:
        if not contents.truth:
            raise ValueError(f"there is no message on {source.topic}, the topic of true poses")
        truth = truth_from_messages(contents.truth, kind)
    elif source.transform:
        truth = truth_from_transforms(contents.transforms, *source.transform, times_ns)
    else:
        return None
    body = source.body or name_body(source, contents) or base
    if body == base:
        return truth
    try:
        return truth.move_to_base(lambda time_ns: contents.transforms.lookup(body, base, time_ns))
    except TransformError as error:
        raise ValueError(
            f"the poses of {source} are of frame {body!r}, wanted are those of {base!r}: {error}; if they are of the "
            f"robot's base all the same, say so with {source.body_flag} {base}"
        ) from error


def name_body(source: TruthSource, contents: Contents) -> str:
    """Return whose poses the source says that they are, empty if it says nothing: a file, or PoseStamped."""
    if source.transform:
        return source.transform[1]
    return name_body_of_messages(contents.truth) if source.topic else ""
