"""Localizes the images of a recording as the node would, without ROS and without a clock: the same every time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from deviloc_ros.bags.bag_index import Contents
from deviloc_ros.bags.reader import Recorded
from deviloc_ros.config import TrackingConfig
from deviloc_ros.evaluation.recordings.frames import Estimate
from deviloc_ros.localizer import Localizer
from deviloc_ros.messages.headers import stamp_ns
from deviloc_ros.messages.images import pixels_of
from deviloc_ros.status import Drop, NotTried
from deviloc_ros.stopwatch import Stopwatch
from deviloc_ros.tracking.fix import fix_of, flattened
from deviloc_ros.tracking.odometry import Odometer
from deviloc_ros.tracking.tracker import Tracker, Verdict
from deviloc_ros.types import Evidence, Lost, Prior, Result


class OfflineRun:
    """One pass over a recording: the localizer and the tracker of the node, fed in order of receipt."""

    def __init__(self, localizer: Localizer, contents: Contents, tracking: TrackingConfig) -> None:
        self._localizer = localizer
        self._contents = contents
        self._tracker = Tracker(tracking)
        self._odometer = Odometer(contents.odom_from_base)

    def run(self, images: Iterable[tuple[Recorded, bool]]) -> list[Estimate]:
        """What becomes of each image; the second of a pair says whether it is tried."""
        return [self.localize(image) if tried else skipped(image) for image, tried in images]

    def localize(self, image: Recorded) -> Estimate:
        """One image, as `ros.pipeline.Pipeline` does it."""
        watch, message = Stopwatch(), image.message()
        time_ns, frame = stamp_ns(message), message.header.frame_id
        try:
            if time_ns == 0:
                raise NotTried(Drop.NO_STAMP)
            camera = self._contents.camera(frame, image.time_ns)
            base_from_cam = self._contents.base_from_cam(frame, time_ns)
            with watch.stage("decode"):
                pixels = decoded(message)
        except NotTried as why:
            return Estimate(image.time_ns, time_ns, why.drop.name.lower(), str(why))
        odom_from_base = self._contents.odom_from_base(time_ns)
        odometry = None if odom_from_base is None else self._odometer.read(time_ns, odom_from_base)
        prior = self._tracker.prior(time_ns, odometry, base_from_cam.inverse())
        result = self._localizer.localize(pixels, camera, prior)
        about = {"prior": prior, "stages_ms": watch.stages_ms | result.evidence.stages_ms, **about_evidence(result)}
        if isinstance(result, Lost):
            self._tracker.missed()
            return Estimate(image.time_ns, time_ns, result.reason.name.lower(), str(result), **about)
        fix = fix_of(result, base_from_cam, odometry, time_ns)
        fix = flattened(fix) if self._contents.rig.two_d else fix
        verdict = self._tracker.observe(fix, time_ns)
        status = verdict.name.lower()
        if verdict is not Verdict.ACCEPTED:
            return Estimate(image.time_ns, time_ns, status, self._tracker.said_of(verdict), **about)
        return Estimate(
            image.time_ns, time_ns, status, map_from_base=fix.map_from_base, covariance=fix.covariance, **about
        )


def again(localizer: Localizer, contents: Contents, image: Recorded, prior: Prior | None) -> tuple[NDArray, Evidence]:
    """The pixels of an image, and what its result rests on, with the prior it had. Raises NotTried."""
    message = image.message()
    pixels = decoded(message)
    camera = contents.camera(message.header.frame_id, image.time_ns)
    return pixels, localizer.localize(pixels, camera, prior).evidence


def decoded(message: Any) -> NDArray:
    """(H, W) gray or (H, W, 3) BGR. Raises NotTried."""
    try:
        return pixels_of(message)
    except ValueError as error:
        raise NotTried(Drop.UNDECODABLE, str(error)) from error


def skipped(image: Recorded) -> Estimate:
    """An image that the machine had no time for."""
    return Estimate(image.time_ns, stamp_ns(image.message()), Drop.REPLACED.name.lower())


def about_evidence(result: Result) -> dict[str, Any]:
    """The numbers of an estimate that both kinds of result have."""
    evidence = result.evidence
    return {
        "inliers": evidence.inliers,
        "inlier_ratio": evidence.inlier_ratio,
        "coverage": evidence.coverage,
        "references": evidence.references,
        "focal": evidence.focal,
    }
