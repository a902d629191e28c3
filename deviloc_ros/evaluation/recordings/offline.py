"""Localize the images of a recording as the node would, without ROS and without a clock, reproducibly."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

from numpy.typing import NDArray

from deviloc_ros.bags.bag_index import IndexedBag
from deviloc_ros.bags.reader import RecordedMessage
from deviloc_ros.camera import Camera
from deviloc_ros.config import GnssConfig, RigConfig, TrackingConfig
from deviloc_ros.evaluation.recordings.chosen_images import Images, received_ns
from deviloc_ros.evaluation.recordings.frames import Estimate
from deviloc_ros.localizer import Localizer
from deviloc_ros.masks import Mask, Masks
from deviloc_ros.messages.gnss import GnssFix
from deviloc_ros.messages.headers import stamp_ns
from deviloc_ros.messages.images import pixels_of
from deviloc_ros.status import NotTried, Status, not_tried_if_refused
from deviloc_ros.stopwatch import Stopwatch
from deviloc_ros.tracking.follower import Follower, localize_images
from deviloc_ros.tracking.gnss import GnssBuffer
from deviloc_ros.tracking.grouping import GroupedImage
from deviloc_ros.tracking.odometry import Odometer, Odometry
from deviloc_ros.tracking.rig_images import StampedImage, take_together
from deviloc_ros.tracking.step import Step, group_not_tried, read_group
from deviloc_ros.types import Area, Evidence, Prior


class GnssReplay:
    """Add the positions of a recorded receiver to a follower's buffer at the times they were received.

    positions: when each was received [ns], and the position.
    """

    def __init__(self, positions: Sequence[tuple[int, GnssFix]] = (), config: GnssConfig | None = None) -> None:
        self.book = GnssBuffer(config)
        self._to_come = deque(positions)

    def advance_to(self, time_ns: int) -> None:
        """Add the positions received up to a time."""
        while self._to_come and self._to_come[0][0] <= time_ns:
            self.book.note(self._to_come.popleft()[1])


class OfflineRun:
    """Process a recording once, in order of receipt: decode, follow, record.

    gnss: replays the receiver whose buffer the follower uses, if there is one.
    """

    def __init__(
        self, follower: Follower, bag: IndexedBag, masks: Masks | None = None, gnss: GnssReplay | None = None
    ) -> None:
        self._follower, self._bag, self._masks = follower, bag, masks
        self._gnss = gnss or GnssReplay()
        self._odometer = Odometer(bag.odom_from_base)

    def run(self, images: Iterable[tuple[Images, bool]]) -> list[Estimate]:
        """Return what becomes of the images of each time; the second of a pair says whether they are tried."""
        return [self.localize(group) if tried else estimate_skipped(group) for group, tried in images]

    def localize(self, group: Images) -> Estimate:
        """Return the record of what the node would make of the images of one time."""
        return to_estimate(group, self.follow(group)[1])

    def follow(self, group: Images) -> tuple[dict[str, NDArray], Step]:
        """Return the pixels of the image of each camera that can be had, and what the node would make of them."""
        self._gnss.advance_to(received_ns(group))
        watch = Stopwatch()
        pixels: dict[str, NDArray] = {}

        def read(given: GroupedImage[RecordedMessage]) -> StampedImage:
            with watch.stage("decode"):
                image = read_image(self._bag, given, self._masks)
            pixels[given.camera] = image.pixels
            return image

        odometry_at = self._odometry
        step = self._follower.follow_group(
            read_group(group, read), lambda time_ns, _: odometry_at(time_ns), group[-1].stamp_ns
        )
        return pixels, replace(step, stages_ms=(watch.stages_ms if pixels else {}) | step.stages_ms)

    def _odometry(self, time_ns: int) -> Odometry | None:
        odom_from_base = self._bag.odom_from_base(time_ns)
        return None if odom_from_base is None else self._odometer.read_at(time_ns, odom_from_base)


def read_image(bag: IndexedBag, given: GroupedImage[RecordedMessage], masks: Masks | None) -> StampedImage:
    """Return a recorded image with its camera, mount and mask. Raises NotTried."""
    recorded = given.image
    with not_tried_if_refused(Status.UNDECODABLE):
        message = recorded.message()
    time_ns, frame = stamp_ns(message), message.header.frame_id
    if time_ns == 0:
        raise NotTried(Status.NO_STAMP)
    camera = bag.camera(frame, recorded.time_ns, recorded.topic)
    base_from_cam = bag.base_from_cam(frame, time_ns, recorded.topic)
    with not_tried_if_refused(Status.UNDECODABLE):
        pixels = pixels_of(message)
    mask = find_mask(masks, given.camera or str(time_ns), camera)
    return StampedImage(time_ns, pixels, camera, base_from_cam, mask, given.camera)


def to_estimate(group: Images, step: Step) -> Estimate:
    """Convert a step to an estimate."""
    evidence, fix = step.evidence, step.fix
    return Estimate(
        received_ns(group),
        step.stamp_ns,
        step.status,
        step.detail,
        map_from_base=fix.map_from_base if fix else None,
        covariance=fix.covariance if fix else None,
        inliers=evidence.inliers,
        inlier_ratio=evidence.inlier_ratio,
        coverage=evidence.coverage,
        references=evidence.references,
        prior=step.prior,
        intrinsics=evidence.intrinsics,
        camera=step.camera,
        seen=step.seen,
        stages_ms=step.stages_ms,
        cameras=tuple(replace(report, evidence=None) for report in evidence.cameras),
        map_name=step.map_name,
    )


def estimate_skipped(group: Images) -> Estimate:
    """Return the estimate of images that the machine had no time for."""
    return replace(to_estimate(group, group_not_tried(group, Status.REPLACED)), detail="")


def find_mask(masks: Masks | None, name: str, camera: Camera) -> Mask | None:
    """Return the mask of an image, in a folder that of the camera where there are several, else that of its time.

    Raises ImageError naming it.
    """
    return masks.check(f"{name}.png", (camera.width, camera.height)) if masks else None


def localize_again(
    localizer: Localizer, bag: IndexedBag, group: Images, prior: Prior | Area | None, masks: Masks | None = None
) -> tuple[dict[str, NDArray], Evidence]:
    """Return the pixels of images of one time, and what their result rests on, with its prior. Raises NotTried."""

    def odometry_at(time_ns: int, _: bool) -> Odometry | None:
        odom_from_base = bag.odom_from_base(time_ns)
        return None if odom_from_base is None else Odometry(odom_from_base)

    images = [read_image(bag, given, masks) for given in group]
    taken = take_together(images, odometry_at, RigConfig(), TrackingConfig())
    result = localize_images(localizer, taken, prior)
    return {image.name: image.pixels for image in images}, result.evidence
