"""Localize the images of a recording as the node would, without ROS and without a clock: the same every time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from numpy.typing import NDArray

from deviloc_ros.bags.bag_index import Contents
from deviloc_ros.bags.reader import RecordedMessage
from deviloc_ros.camera import Camera
from deviloc_ros.config import TrackingConfig
from deviloc_ros.evaluation.recordings.frames import Estimate
from deviloc_ros.imaging import Mask, Masks
from deviloc_ros.localizer import Localizer
from deviloc_ros.messages.headers import stamp_ns
from deviloc_ros.messages.images import pixels_of
from deviloc_ros.status import NotTried, Status, not_tried_if_refused
from deviloc_ros.stopwatch import Stopwatch
from deviloc_ros.tracking.follower import Follower, Step, step_not_tried
from deviloc_ros.tracking.odometry import Odometer, Odometry
from deviloc_ros.types import Evidence, Prior


class OfflineRun:
    """Pass over a recording once: decode, follow, record, in order of receipt."""

    def __init__(
        self, localizer: Localizer, contents: Contents, tracking: TrackingConfig, masks: Masks | None = None
    ) -> None:
        self._contents, self._masks = contents, masks
        self._follower = Follower(localizer, tracking, is_planar=contents.rig.two_d)
        self._odometer = Odometer(contents.odom_from_base)

    def run(self, images: Iterable[tuple[RecordedMessage, bool]]) -> list[Estimate]:
        """Return what becomes of each image; the second of a pair says whether it is tried."""
        return [self.localize(image) if tried else estimate_skipped(image) for image, tried in images]

    def localize(self, image: RecordedMessage) -> Estimate:
        """Return the record of what the node would make of one image."""
        return to_estimate(image, self.follow(image)[1])

    def follow(self, image: RecordedMessage) -> tuple[NDArray | None, Step]:
        """Return the pixels of one image, None where they cannot be had, and what the node would make of it."""
        watch, message = Stopwatch(), image.message()
        time_ns, frame = stamp_ns(message), message.header.frame_id
        try:
            if time_ns == 0:
                raise NotTried(Status.NO_STAMP)
            camera = self._contents.camera(frame, image.time_ns)
            base_from_cam = self._contents.base_from_cam(frame, time_ns)
            with watch.stage("decode"), not_tried_if_refused(Status.UNDECODABLE):
                pixels = pixels_of(message)
        except NotTried as why:
            return None, step_not_tried(time_ns, why)
        odometry = self._odometry(time_ns)
        mask = find_mask(self._masks, time_ns, camera)
        step = self._follower.follow(pixels, camera, base_from_cam, odometry, time_ns, time_ns, mask=mask)
        return pixels, replace(step, stages_ms=watch.stages_ms | step.stages_ms)

    def state_after(self, step: Step) -> str:
        """Return what is known of the robot's place at the time of a step."""
        return self._follower.state(step.stamp_ns).value

    def _odometry(self, time_ns: int) -> Odometry | None:
        odom_from_base = self._contents.odom_from_base(time_ns)
        return None if odom_from_base is None else self._odometer.read_at(time_ns, odom_from_base)


def to_estimate(image: RecordedMessage, step: Step) -> Estimate:
    """Return the record of a step."""
    evidence, fix = step.evidence, step.fix
    return Estimate(
        image.time_ns,
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
    )


def estimate_skipped(image: RecordedMessage) -> Estimate:
    """Return the record of an image that the machine had no time for."""
    return Estimate(image.time_ns, stamp_ns(image.message()), Status.REPLACED)


def find_mask(masks: Masks | None, time_ns: int, camera: Camera) -> Mask | None:
    """Return the mask of an image, in a folder by the name that `build-map` gives it. Raises ImageError naming it."""
    return masks.check(f"{time_ns}.png", (camera.width, camera.height)) if masks else None


def localize_again(
    localizer: Localizer, contents: Contents, image: RecordedMessage, prior: Prior | None, masks: Masks | None = None
) -> tuple[NDArray, Evidence]:
    """Return the pixels of an image, and what its result rests on, with the prior it had. Raises NotTried."""
    message = image.message()
    with not_tried_if_refused(Status.UNDECODABLE):
        pixels = pixels_of(message)
    camera = contents.camera(message.header.frame_id, image.time_ns)
    mask = find_mask(masks, stamp_ns(message), camera)
    return pixels, localizer.localize(pixels, camera, prior, mask=mask).evidence
