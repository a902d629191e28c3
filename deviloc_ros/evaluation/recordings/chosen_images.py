"""Choose which images of a recording to try: all, every k-th, or those that a machine of a given speed could process.

An image of a single camera is a group of one; images of a rig of one time are tried together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from deviloc_ros.bags.bag_plan import Part
from deviloc_ros.bags.reader import RecordedMessage
from deviloc_ros.bags.topics import CameraTopics
from deviloc_ros.config import RigConfig
from deviloc_ros.messages.headers import stamp_ns
from deviloc_ros.tracking.grouping import Group, ImageGrouper

Images = Group[RecordedMessage]
Sampled = Iterator[tuple[Images, bool]]  # images, and whether they are tried


def group_images(
    messages: Iterable[RecordedMessage], topics: CameraTopics, rig: RigConfig, *, has_odometry: bool
) -> Iterator[Images]:
    """Yield the images of each time, as the node groups them; without odometry only those of nearly one time."""
    span_s = rig.window_s if has_odometry else rig.tolerance_s
    names = tuple(each.camera for each in topics.cameras)
    grouper: ImageGrouper[RecordedMessage] = ImageGrouper(names, round(1e9 * rig.window_s), round(1e9 * span_s))
    for message in messages:
        yield from grouper.add(topics.camera_of(message.topic), read_stamp(message), message.time_ns, message)
    yield from grouper.close()


def read_stamp(message: RecordedMessage) -> int:
    """Return the time [ns] of an image, 0 for a damaged one, which is reported when it is tried."""
    try:
        return stamp_ns(message.message())
    except ValueError:
        return 0


def received_ns(images: Images) -> int:
    """Return when the last of some images was received [ns]."""
    return max(image.received_ns for image in images)


def take_part(images: Iterable[Images], part: Part) -> Iterator[Images]:
    """Yield the images of a part of the recording, ignoring the others."""
    first_ns = 0
    for image in images:
        first_ns = first_ns or image[-1].stamp_ns  # of a damaged one it is 0
        if part.holds(image[-1].stamp_ns, first_ns):
            yield image


def take_every_kth(images: Iterable[Images], k: int) -> Iterator[Images]:
    """Yield the first image and each k-th after it, ignoring the others."""
    return (image for number, image in enumerate(images) if number % k == 0)


def try_all(images: Iterable[Images]) -> Sampled:
    """Yield every image to be tried."""
    return ((image, True) for image in images)


def try_within_budget(images: Iterable[Images], budget_ns: int) -> Sampled:
    """Yield all images with whether the node would try them if an image takes `budget_ns`.

    One image waits while the node is busy, and a newer one replaces it. Images come in order of receipt and are yielded
    once each, in that order.
    """
    free_ns, waiting = -(2**63), None
    for image in images:
        if waiting is not None:
            start_ns = max(free_ns, received_ns(waiting))
            tried = start_ns <= received_ns(image)
            if tried:
                free_ns = start_ns + budget_ns
            yield waiting, tried
        waiting = image
    if waiting is not None:
        yield waiting, True
