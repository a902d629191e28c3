"""Plan what to read from a recording: topics, the robot's setup, and the source of true poses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deviloc_ros.bags.bag_index import IndexedBag, RobotSetup, index_topics
from deviloc_ros.bags.reader import Recording
from deviloc_ros.bags.rectified import says_rectified
from deviloc_ros.bags.topics import choose_rig_topics, choose_topics
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
    """Say where the true poses come from: one of the first three.

    body: the frame whose poses they are; empty: that of the messages (`child_frame_id`), else the robot's. body_flag:
    the flag of `body`, for messages.
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
    """Say which images of a recording are used, by seconds after the first, from start_s on and before end_s."""

    start_s: float = 0.0
    end_s: float = math.inf

    def __post_init__(self) -> None:
        if not self.start_s < self.end_s:
            raise ValueError(f"a part's start, {self.start_s:g} s, is not before its end, {self.end_s:g} s")

    @property
    def is_all(self) -> bool:
        """Return whether every image is used."""
        return self == Part()

    def holds(self, time_ns: int, first_ns: int) -> bool:
        """Return whether an image is used, given its time and that of the first; one without a stamp, 0, is."""
        return time_ns == 0 or self.start_s <= (time_ns - first_ns) * 1e-9 < self.end_s

    def find_first(self, times_ns: Sequence[int]) -> int:
        """Return the time [ns] of a recording's first image, ignoring damaged ones with time 0; 0 if there is none.

        Raises:
            ValueError: no image is in the part; the message says how long the recording is.
        """
        whole = [time_ns for time_ns in times_ns if time_ns > 0]
        first_ns = min(whole, default=0)
        if not self.is_all and not any(self.holds(time_ns, first_ns) for time_ns in whole):
            length_s = (max(whole, default=0) - first_ns) * 1e-9
            raise ValueError(f"no image {self}; the recording lasts {length_s:.1f} s")
        return first_ns

    def __str__(self) -> str:
        return f"from {self.start_s:g} s" + ("" if math.isinf(self.end_s) else f" to {self.end_s:g} s")


@dataclass(frozen=True, slots=True, eq=False)
class ReadingPlan:
    """Say which topics to read; an empty one is chosen automatically if there is only one candidate.

    beside: image topics of the other cameras of a rig. beside_infos: topics of their calibrations, or none. part: which
    images to use.
    """

    image_topic: str = ""
    camera_info_topic: str = ""
    robot: RobotSetup = field(default_factory=RobotSetup)
    truth: TruthSource = field(default_factory=TruthSource)
    beside: tuple[str, ...] = ()
    beside_infos: tuple[str, ...] = ()
    part: Part = field(default_factory=Part)


def index_bag(recording: Recording, reading: ReadingPlan) -> IndexedBag:
    """Choose topics, read everything except images, and decide by the topics' names whether images are rectified.

    Raises:
        ValueError: something that was requested is missing.
    """
    image, info = reading.image_topic, reading.camera_info_topic
    if reading.beside:
        topics = choose_rig_topics(recording, (image, *reading.beside), (info, *reading.beside_infos) if info else ())
    else:
        topics = choose_topics(recording, image, info, reading.robot.camera is not None)
    bag = index_topics(recording, topics, reading.robot, reading.truth.topic)
    if reading.robot.rectified is None:
        bag.cameras.rectified = says_rectified(topics.image)
        for each in topics.beside:
            bag.beside[each.image].rectified = says_rectified(each.image)
    return bag


def find_truth(source: TruthSource, bag: IndexedBag, times_ns: list[int]) -> Truth | None:
    """Return the truth as map_from_base; None if none was requested.

    Args:
        times_ns: stamps of the images.

    Raises:
        ValueError: it is not available.
    """
    base = bag.robot.base_frame
    if source.file:
        truth = read_truth_file(source.file)
    elif source.topic:
        if not bag.truth:
            raise ValueError(f"there is no message on {source.topic}, the topic of true poses")
        truth = truth_from_messages(bag.truth, bag.recording.topics.get(source.topic, ""))
    elif source.transform:
        truth = truth_from_transforms(bag.transforms, *source.transform, times_ns)
    else:
        return None
    body = source.body or name_body(source, bag) or base
    if body == base:
        return truth
    try:
        return truth.move_to_base(lambda time_ns: bag.transforms.lookup(body, base, time_ns))
    except TransformError as error:
        raise ValueError(
            f"the poses of {source} are of frame {body!r}, expected those of {base!r}: {error}; if they are of the "
            f"robot's base all the same, say so with {source.body_flag} {base}"
        ) from error


def name_body(source: TruthSource, bag: IndexedBag) -> str:
    """Return the frame whose poses the source states, empty if it states none, as files and PoseStamped."""
    if source.transform:
        return source.transform[1]
    return name_body_of_messages(bag.truth) if source.topic else ""
