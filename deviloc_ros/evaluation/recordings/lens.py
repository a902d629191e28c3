"""Decide whether the images of a recording are rectified, by flags, by the images, or by the topic's name."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from deviloc_ros.bags.bag_index import IndexedBag
from deviloc_ros.bags.reader import RecordedMessage
from deviloc_ros.bags.rectified import is_worth_asking, says_rectified
from deviloc_ros.camera import Camera
from deviloc_ros.localizer import Localizer
from deviloc_ros.messages.images import pixels_of
from deviloc_ros.status import NotTried
from deviloc_ros.tracking.calibration_check import POOLED_STDS, measure_contradiction
from deviloc_ros.types import Evidence

log = logging.getLogger(__name__)
ASKED_IMAGES = 4
AMONG_FIRST = 400  # images of a recording, so that a long one is not read twice
CLEARLY_MORE = 1.15  # ratio of inliers with one lens to those with the other
CLEARLY_BETTER = POOLED_STDS  # difference between the contradictions of two lenses, in standard deviations
NAMES = {False: "raw (K, D)", True: "rectified (P)"}
FLAGS = {False: "--no-rectified", True: "--rectified"}


class LensTrial(NamedTuple):
    """Hold how well a few images fit a lens.

    inliers: in the map. contradiction: by how many standard deviations the most deviating of the lens's intrinsics is
    off; None if the images do not tell.
    """

    inliers: int
    contradiction: float | None

    def describe(self) -> str:
        """Say both in words."""
        if self.contradiction is None:
            return f"{self.inliers} inliers"
        return f"{self.inliers} inliers, off by {self.contradiction:.0f} standard deviations"


def choose_lens(bag: IndexedBag, localizers: Sequence[Localizer]) -> dict[str, Any]:
    """Choose which camera of camera_info took the images; return the reason for the summary.

    A flag decides, else the images, else the topic's name. Contradictions are logged as a warning.
    """
    if bag.robot.camera is not None:
        return {"rectified": None, "because": "the camera was given", "inliers": None}
    cameras, given = bag.cameras, bag.robot.rectified
    named = says_rectified(bag.topics.image)
    decided, because = (named, "topic") if given is None else (given, "flag")
    trials = None
    if is_worth_asking(cameras):
        trials = try_lenses(sample_images(bag), bag, localizers)
        shown = choose_clearly_better(trials)
        if shown is not None and given is None:
            decided, because = shown, "images"
        if decided != named or (shown is not None and shown != decided):
            about = "; ".join(f"{NAMES[rectified]}: {trial.describe()}" for rectified, trial in trials.items())
            what = "%s: images taken for %s, by the %s (%s); if that is wrong, give %s"
            log.warning(what, bag.topics.image, NAMES[decided], because, about, FLAGS[not decided])
    cameras.rectified = decided
    inliers = trials and [trial.inliers for trial in trials.values()]
    return {"rectified": decided, "because": because, "inliers": inliers}


def sample_images(bag: IndexedBag) -> Iterator[RecordedMessage]:
    """Yield a few images, evenly spread over the first of the recording."""
    topic = bag.topics.image
    count = min(bag.recording.count(topic), AMONG_FIRST)
    numbers = {count * number // ASKED_IMAGES for number in range(ASKED_IMAGES)}
    for number, image in enumerate(bag.recording.messages((topic,))):
        if number in numbers:
            yield image
        if number >= max(numbers):
            return


def try_lenses(
    images: Iterator[RecordedMessage], bag: IndexedBag, localizers: Sequence[Localizer]
) -> dict[bool, LensTrial]:
    """Try the lens of K and D (False) and that of P (True) on the images, each in the map that fits."""
    found: dict[bool, list[tuple[Camera, Evidence]]] = {False: [], True: []}
    for image in images:
        try:
            message = image.message()
            pixels = pixels_of(message)
            for rectified, seen in found.items():
                bag.cameras.rectified = rectified
                camera = bag.camera(message.header.frame_id, image.time_ns)
                in_maps = [localizer.localize(pixels, camera).evidence for localizer in localizers]
                seen.append((camera, max(in_maps, key=lambda evidence: evidence.inliers)))
        except (ValueError, NotTried):
            continue  # whoever tries it says so
    return {rectified: judge_lens(seen) for rectified, seen in found.items()}


def judge_lens(seen: list[tuple[Camera, Evidence]]) -> LensTrial:
    """Return how well images fit the lens with which they were localized."""
    fits = [(camera, evidence.intrinsics) for camera, evidence in seen if evidence.intrinsics is not None]
    contradiction = measure_contradiction([fit for _, fit in fits], fits[0][0]) if fits else None
    return LensTrial(sum(evidence.inliers for _, evidence in seen), contradiction)


def choose_clearly_better(trials: dict[bool, LensTrial]) -> bool | None:
    """Return the lens that the images clearly prefer; None if they do not tell, or if criteria disagree."""
    left, right = trials[False].contradiction, trials[True].contradiction
    by_numbers = None
    if left is not None and right is not None and abs(left - right) >= CLEARLY_BETTER:
        by_numbers = right < left
    for this, other in ((True, False), (False, True)):
        if trials[this].inliers > CLEARLY_MORE * trials[other].inliers:
            return None if by_numbers is other else this
    return by_numbers
