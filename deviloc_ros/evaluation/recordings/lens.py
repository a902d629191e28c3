"""Find out whether the images of a recording are rectified: by flags, by the topic's name, by the images themselves."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from deviloc_ros.bags.bag_index import Contents
from deviloc_ros.bags.reader import RecordedMessage, Recording
from deviloc_ros.bags.rectified import is_worth_asking, says_rectified
from deviloc_ros.bags.topics import Topics
from deviloc_ros.localizer import Localizer
from deviloc_ros.messages.images import pixels_of
from deviloc_ros.status import NotTried

log = logging.getLogger(__name__)
ASKED_IMAGES = 4
AMONG_FIRST = 400  # images of a recording, so that not all of a long one is read twice
CLEARLY_MORE = 1.15  # times the inliers, with one lens as with the other
NAMES = {False: "as taken (K, D)", True: "rectified (P)"}
FLAGS = {False: "--no-rectified", True: "--rectified"}


def choose_lens(recording: Recording, topics: Topics, contents: Contents, localizer: Localizer) -> dict[str, Any]:
    """Settle which camera of camera_info took the images, and return for the summary what that rests on.

    A flag decides, then the images, then the topic's name. What contradicts the decision is said in a warning.
    """
    if contents.rig.camera is not None:
        return {"rectified": None, "because": "the camera was given", "inliers": None}
    cameras, given = contents.cameras, contents.rig.rectified
    named = says_rectified(topics.image)
    decided, because = (named, "topic") if given is None else (given, "flag")
    inliers = None
    if is_worth_asking(cameras):
        inliers = count_inliers(sample_images(recording, topics), contents, localizer)
        shown = choose_clearly_better(inliers)
        if shown is not None and given is None:
            decided, because = shown, "images"
        about = {NAMES[rectified]: count for rectified, count in inliers.items()}
        if decided != named or (shown is not None and shown != decided):
            what = "%s: images taken for %s, by the %s; inliers in the map: %s; if that is wrong, give %s"
            log.warning(what, topics.image, NAMES[decided], because, about, FLAGS[not decided])
    cameras.rectified = decided
    return {"rectified": decided, "because": because, "inliers": inliers and list(inliers.values())}


def sample_images(recording: Recording, topics: Topics) -> Iterator[RecordedMessage]:
    """Yield a few images, evenly spread over the first of the recording."""
    count = min(recording.count(topics.image), AMONG_FIRST)
    numbers = {count * number // ASKED_IMAGES for number in range(ASKED_IMAGES)}
    for number, image in enumerate(recording.messages((topics.image,))):
        if number in numbers:
            yield image
        if number >= max(numbers):
            return


def count_inliers(images: Iterator[RecordedMessage], contents: Contents, localizer: Localizer) -> dict[bool, int]:
    """Return the inliers of the images in the map with the lens of K and D (False), and with that of P (True)."""
    counts = {False: 0, True: 0}
    for image in images:
        try:
            message = image.message()
            pixels = pixels_of(message)
            for rectified in counts:
                counts[rectified] += count_inliers_with(
                    pixels, message.header.frame_id, image, contents, localizer, rectified
                )
        except (ValueError, NotTried):
            continue  # whoever tries it says so
    return counts


def count_inliers_with(
    pixels: NDArray, frame: str, image: RecordedMessage, contents: Contents, localizer: Localizer, rectified: bool
) -> int:
    """Return the inliers of one image with one of the two lenses. Raises NotTried."""
    contents.cameras.rectified = rectified
    return localizer.localize(pixels, contents.camera(frame, image.time_ns)).evidence.inliers


def choose_clearly_better(inliers: dict[bool, int]) -> bool | None:
    """Return which lens the images clearly prefer; None where they do not tell."""
    if inliers[True] > CLEARLY_MORE * inliers[False]:
        return True
    if inliers[False] > CLEARLY_MORE * inliers[True]:
        return False
    return None
