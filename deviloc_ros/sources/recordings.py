"""Read keyframes from a recording, with poses from a topic, from transforms or from a file."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from deviloc_ros.bags.bag_index import IndexedBag
from deviloc_ros.bags.bag_plan import Part, ReadingPlan, find_truth, index_bag
from deviloc_ros.bags.reader import Recording, read_messages
from deviloc_ros.bags.rectified import describe_lens
from deviloc_ros.bags.repeated_images import RepeatCounter
from deviloc_ros.bags.truth import Truth
from deviloc_ros.camera import Camera
from deviloc_ros.io.encoded_images import write_picture
from deviloc_ros.messages.headers import stamp_ns
from deviloc_ros.messages.images import pixels_of
from deviloc_ros.sources.base import PosedImage, Skipped, Source, SourceError
from deviloc_ros.sources.keyframes import PosedFrame, Spacing, select_keyframes
from deviloc_ros.sources.recorded_depth import DepthPlan, DepthReader, Keyframe
from deviloc_ros.sources.time_offset import TurnCollector, measure_agreement
from deviloc_ros.status import NotTried

log = logging.getLogger(__name__)


@dataclass(slots=True)
class BagFrames:
    """Iterate over the posed images of a recording, and note why others are left out."""

    bag: IndexedBag
    truth: Truth
    part: Part = field(default_factory=Part)
    first_ns: int = 0
    quiet: bool = False
    cameras: dict[int, Camera] = field(default_factory=dict)
    frame_ids: dict[int, str] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    turns: TurnCollector = field(default_factory=TurnCollector)
    repeated: RepeatCounter = field(default_factory=RepeatCounter)

    def __iter__(self) -> Iterator[PosedFrame]:
        recording, topic = self.bag.recording, self.bag.topics.image
        total, images = recording.count(topic), recording.messages((topic,))
        bar = tqdm(images, total=total, desc="bag: images", unit="image", disable=self.quiet)
        for recorded in self.repeated.first_only(bar):
            try:
                message = recorded.message()
                time_ns, frame = stamp_ns(message), message.header.frame_id
                if not self.part.holds(time_ns, self.first_ns):
                    continue
                world_from_base = self.truth.at(time_ns)
                if world_from_base is None:
                    raise ValueError("no pose around its time")
                base_from_cam = self.bag.base_from_cam(frame, time_ns)
                self.cameras[time_ns] = self.bag.camera(frame, recorded.time_ns)
                self.frame_ids[time_ns] = frame
                pixels = pixels_of(message)
                self.turns.add_image(time_ns, pixels, self.cameras[time_ns], base_from_cam)
                yield PosedFrame(time_ns, (world_from_base * base_from_cam).inverse(), pixels)
            except (ValueError, NotTried) as error:
                self.skipped.append(Skipped(f"image received at {recorded.time_ns} ns", str(error)))


def read_bag(
    path: Path | str,
    reading: ReadingPlan,
    spacing: Spacing,
    folder: Path | str,
    *,
    time_offset_s: float = 0.0,
    depth: DepthPlan | None = None,
    quiet: bool = False,
) -> Source:
    """Write the keyframes of a recording into a folder and pose them.

    Args:
        folder: where they are written and stay, for a map to be built from them.
        reading: topics, mounts, and the source of poses, whose frame becomes the map's.
        time_offset_s: added to an image's stamp to get the time of its pose.
        depth: where the recording has depth, if that is to be used.

    Raises:
        ValueError: no bag, no such topic, no poses, no usable image, or the folder cannot be written to; the message
            says why.
    """
    folder = Path(folder)
    with Recording(path) as recording:
        bag = index_bag(recording, reading)
        lens = "" if reading.robot.rectified is not None else describe_lens(bag.cameras, bag.topics.image)
        frames = find_frames(bag, reading, round(time_offset_s * 1e9), quiet=quiet)
        make_folder(folder)
        chosen = [write_keyframe(frame, frames, folder) for frame in select_keyframes(frames, spacing)]
        images = [keyframe.image for keyframe in chosen]
        if depth is not None:
            images = DepthReader(bag, depth, quiet).attach_depth(chosen)
    if not images:
        listing = "".join(f"\n  {s.name}: {s.why}" for s in frames.skipped[:5])
        count, image_topic = recording.count(bag.topics.image), bag.topics.image
        raise SourceError(f"{path}: none of {count} images on {image_topic} can be used{listing}")
    timing = measure_agreement(frames.turns.turns, frames.truth, time_offset_s)
    notes = {"timing": str(timing)} | ({"lens": lens} if lens else {})
    warned = frozenset(notes) if not timing.is_good else frozenset(notes) - {"timing"}
    for subject in notes:
        if subject in warned:
            log.warning("%s: %s", path, notes[subject])
    if frames.repeated.count:
        notes["repeated images"] = str(frames.repeated)
    return Source(images, frames.skipped, notes, warned)


def find_frames(bag: IndexedBag, reading: ReadingPlan, offset_ns: int, *, quiet: bool) -> BagFrames:
    """Find the poses of a recording's images, and its part that is read.

    Args:
        offset_ns: added to an image's stamp to get the time of its pose.

    Raises:
        SourceError: there are no poses, or no image in the part.
    """
    recording, topic = bag.recording, bag.topics.image
    messages = read_messages(recording.path, recording.messages((topic,)))
    times_ns = [stamp_ns(message) for _, message in messages]
    try:
        truth = find_truth(reading.truth, bag, [time_ns + offset_ns for time_ns in times_ns])
    except ValueError as error:
        raise SourceError(f"{recording.path}: the robot's poses, from {reading.truth}: {error}") from error
    if truth is None:
        raise SourceError(
            f"{recording.path}: where are the robot's poses? give --odom-topic, --pose-topic, --tf or --poses"
        )
    try:
        first_ns = reading.part.find_first(times_ns)
    except ValueError as error:
        raise SourceError(f"{recording.path}: {topic}: {error}") from error
    return BagFrames(bag, truth.shift_earlier(offset_ns), reading.part, first_ns, quiet)


def make_folder(folder: Path) -> None:
    """Make a folder. Raises SourceError if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SourceError(f"{folder}: keyframes cannot be written there: {error.strerror}") from error


def write_keyframe(frame: PosedFrame, frames: BagFrames, folder: Path) -> Keyframe:
    """Write a frame as PNG, losslessly, named by its time. Raises SourceError if that fails."""
    time_ns = frame.time_ns
    path = folder / f"{time_ns}.png"
    try:
        write_picture(path, frame.pixels)
    except OSError as error:
        raise SourceError(f"{path}: cannot be written: {error.strerror or error}") from error
    image = PosedImage(path.name, path, frames.cameras[time_ns], frame.cam_from_world)
    return Keyframe(image, time_ns, frames.frame_ids[time_ns])
