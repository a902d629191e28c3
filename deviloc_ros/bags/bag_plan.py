"""Plan what to read of a recording: which topics, how the robot is built, and where its poses are."""

from __future__ import annotations

import math
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


@dataclass(frozen=True, slots=True)
class Part:
    """Say which images of a recording are taken, by seconds after the first; `end_s` itself is not."""

    start_s: float = 0.0
    end_s: float = math.inf

    def __post_init__(self) -> None:
        if not self.start_s < self.end_s:
            raise ValueError(f"--start {self.start_s:g} is not before --end {self.end_s:g}")

    @property
    def is_all(self) -> bool:
        """Return whether every image is taken."""
        return self == Part()

    def holds(self, time_ns: int, first_ns: int) -> bool:
        """Return whether an image of a time is taken, where the first is of another."""
        return self.start_s <= (time_ns - first_ns) * 1e-9 < self.end_s

    def __str__(self) -> str:
        return f"from {self.start_s:g} s" + ("" if math.isinf(self.end_s) else f" to {self.end_s:g} s")


@dataclass(frozen=True, slots=True, eq=False)
class ReadingPlan:
    """Say which topics are read; those that are empty are chosen where there is only one.

    beside: the topics of images of the other cameras of a rig. beside_infos: their calibrations, or none of them.
    part: which part of the recording images are taken of.
    """

    image_topic: str = ""
    camera_info_topic: str = ""
    rig: Rig = field(default_factory=Rig)
    truth: TruthSource = field(default_factory=TruthSource)
    beside: tuple[str, ...] = ()
    beside_infos: tuple[str, ...] = ()
    part: Part = field(default_factory=Part)


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
