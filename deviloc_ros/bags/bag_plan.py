"""What to read of a recording: which topics, how the robot is built, and where its poses are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from deviloc_ros.bags.bag_index import Contents, Rig, read_contents
from deviloc_ros.bags.reader import Recording
from deviloc_ros.bags.topics import Topics, choose_topics
from deviloc_ros.bags.transforms import TransformError
from deviloc_ros.bags.truth import Truth, truth_of_file, truth_of_messages, truth_of_transforms


@dataclass(frozen=True, slots=True)
class TruthSource:
    """Where the true poses come from, one of the first three. body: the frame whose they are, empty: the robot's."""

    file: Path | None = None
    topic: str = ""
    transform: tuple[str, str] | None = None  # parent, child
    body: str = ""

    def __str__(self) -> str:
        if self.transform:
            return "transform {} <- {}".format(*self.transform)
        return self.topic or (self.file.name if self.file else "none")


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Topics that are empty are chosen where there is only one."""

    image_topic: str = ""
    camera_info_topic: str = ""
    rig: Rig = field(default_factory=Rig)
    truth: TruthSource = field(default_factory=TruthSource)


def read(recording: Recording, reading: Reading) -> tuple[Topics, Contents]:
    """What there is besides images. Raises ValueError: something that is asked for is missing."""
    topics = choose_topics(recording, reading.image_topic, reading.camera_info_topic, reading.rig.camera is not None)
    return topics, read_contents(recording, topics, reading.rig, reading.truth.topic)


def find_truth(source: TruthSource, contents: Contents, times_ns: list[int], kind: str) -> Truth | None:
    """The truth as map_from_base; None if none was asked for.

    Args:
        times_ns: stamps of the images. kind: type of the topic of the truth.

    Raises:
        ValueError: it is not to be had.
    """
    base = contents.rig.base_frame
    if source.file:
        truth = truth_of_file(source.file)
    elif source.topic:
        truth = truth_of_messages(contents.truth, kind)
    elif source.transform:
        truth = truth_of_transforms(contents.transforms, *source.transform, times_ns)
    else:
        return None
    body = source.body or (source.transform[1] if source.transform else base)
    if body == base:
        return truth
    try:
        return truth.moved(contents.transforms.lookup(body, base, times_ns[0]))
    except TransformError as error:
        raise ValueError(f"ground truth is of frame {body!r}, wanted of {base!r}: {error}") from error
