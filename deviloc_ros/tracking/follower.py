"""Take one step of the robot: from an image to what the robot believes of its place. No ROS, no clock of its own.

The node converts, follows, publishes; the offline evaluation decodes, follows, records. Both therefore do the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pycolmap
import torch
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config, TrackingConfig
from deviloc_ros.imaging import Mask
from deviloc_ros.localizer import Localizer
from deviloc_ros.status import NotTried, Status
from deviloc_ros.stopwatch import Stopwatch
from deviloc_ros.tracking.calibration import IntrinsicsCheck
from deviloc_ros.tracking.fix import Fix
from deviloc_ros.tracking.motion_check import MotionCheck
from deviloc_ros.tracking.odometry import Odometry
from deviloc_ros.tracking.sighting import Sighting, make_sighting, with_odometry
from deviloc_ros.tracking.tracker import Tracker, TrackingState
from deviloc_ros.types import Evidence, Lost, Prior, Result

OdometryAgain = Callable[[], Odometry | None]
"""Asks once more for the odometry of an image, which may have arrived while the image was localized."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """Hold what became of one image.

    fix: the robot's pose where it is believed, else None. detail: why not, with numbers. prior: where was searched.
    stages_ms: milliseconds by stage, in order. seen: where the image has the robot, believed or not. camera: that of
    the image.
    """

    stamp_ns: int
    status: Status
    detail: str = ""
    fix: Fix | None = None
    evidence: Evidence = field(default_factory=Evidence)
    prior: Prior | None = None
    stages_ms: dict[str, float] = field(default_factory=dict)
    seen: Fix | None = None
    camera: Camera | None = None


class Follower:
    """Follow one robot through a map, image by image.

    `follow` belongs to one thread at a time; everything else may be called from any thread meanwhile.

    is_planar: the robot drives on the plane z = 0 of the map.
    """

    def __init__(self, localizer: Localizer, tracking: TrackingConfig, *, is_planar: bool = False) -> None:
        self._localizer = localizer
        self._tracker = Tracker(tracking)
        self._is_planar = is_planar
        self._config = localizer.config  # the localizer's own may take a calibration as less sure
        self._intrinsics_check, self._motion_check = IntrinsicsCheck(), MotionCheck()
        self._checked_camera: Camera | None = None
        self._check_lock = threading.Lock()
        self._lock = threading.Lock()

    # ---- one image

    def follow(
        self,
        pixels: NDArray,
        camera: Camera,
        base_from_cam: pycolmap.Rigid3d,
        odometry: Odometry | None,
        stamp_ns: int,
        now_ns: int | Callable[[], int],
        odometry_again: OdometryAgain | None = None,
        mask: Mask | None = None,
    ) -> Step:
        """Localize one image near where the robot should be, and decide whether to believe what comes of it.

        Args:
            pixels: (H, W) gray or (H, W, 3) BGR, uint8.
            odometry: at the image's time, None where it is not known (yet).
            now_ns: the time when the decision falls, or a clock to read then.
            odometry_again: asked for the odometry of a pose that was found without.
            mask: which pixels are used; None: as the localizer has it.
        """
        with self._lock:
            localizer, epoch = self._localizer, self._tracker.epoch
            prior = self._tracker.prior(stamp_ns, odometry, base_from_cam.inverse())
        result = localizer.localize(pixels, camera, prior, mask=mask)
        self._check_calibration(camera, result.evidence)
        stages_ms = dict(result.evidence.stages_ms)
        step = Step(stamp_ns, Status.ACCEPTED, "", None, result.evidence, prior, stages_ms, camera=camera)
        sighting = make_sighting(result, base_from_cam, odometry, stamp_ns, is_planar=self._is_planar)
        if not sighting.found:
            with self._lock:
                if epoch == self._tracker.epoch:
                    self._tracker.count_miss()
            return explain_step(result, step)
        if odometry is None and odometry_again is not None:
            watch = Stopwatch()
            with watch.stage("odometry"):
                sighting = with_odometry(sighting, odometry_again())
            step.stages_ms.update(watch.stages_ms)
        step = replace(step, seen=self._check_motion(sighting))
        return self._judge(step, result, sighting, localizer, epoch, now_ns() if callable(now_ns) else now_ns)

    def _judge(
        self, step: Step, result: Result, sighting: Sighting, localizer: Localizer, epoch: int, now_ns: int
    ) -> Step:
        """Ask the tracker, unless the search rested on what was forgotten or replaced meanwhile."""
        with self._lock:
            if localizer is not self._localizer:
                return replace(step, status=Status.MAP_CHANGED, detail=Status.MAP_CHANGED.sentence)
            if epoch != self._tracker.epoch:
                return replace(step, status=Status.OUTDATED, detail=Status.OUTDATED.sentence)
            status, fix = self._tracker.judge(sighting, now_ns)
            detail = self._tracker.explain(status)
        if status is Status.UNCONFIRMED and (complaint := self.calibration_complaint):
            detail = f"{detail}; {complaint}"
        if status is Status.UNCONFIRMED and isinstance(result, Lost) and result.reason is not Status.AMBIGUOUS:
            return explain_step(result, step)
        return replace(step, status=status, detail=detail, fix=fix)

    def _check_calibration(self, camera: Camera, evidence: Evidence) -> None:
        """Take into account what the image says of its camera; localize the next one by what all have said."""
        with self._check_lock:
            if camera != self._checked_camera:
                self._intrinsics_check.clear_fits()
                self._motion_check.clear_fixes()
                self._checked_camera = camera
            self._intrinsics_check.add_fit(evidence.intrinsics)
            if not self._config.pose.estimate_focal:
                self._localizer.config = self._intrinsics_check.widen(camera, self._config)

    def _check_motion(self, sighting: Sighting) -> Fix | None:
        """Take into account how the robot moved; return where the image has it, by the place that fits best."""
        passing = [place for place in sighting.found if place.passes]
        if not passing:
            return None
        seen = max(passing, key=lambda place: place.support).fix
        with self._check_lock:
            self._motion_check.add_fix(seen)
        return seen

    # ---- what is known

    @property
    def localizer(self) -> Localizer:
        """Return the localizer of the present map."""
        return self._localizer

    @property
    def calibration_complaint(self) -> str:
        """Return what many images say against the camera's calibration, stamps and mounting; empty if nothing."""
        pose = self._config.pose
        with self._check_lock:
            found = [self._motion_check.complaint()]
            if self._checked_camera is not None and not pose.estimate_focal:
                found.insert(0, self._intrinsics_check.complaint(self._checked_camera, pose))
        return "; ".join(filter(None, found))

    @property
    def last_fix(self) -> Fix | None:
        """Return the last fix that was believed."""
        return self._tracker.last

    def state(self, now_ns: int) -> TrackingState:
        """Return what the last believed fix is worth now."""
        with self._lock:
            return self._tracker.state(now_ns)

    def map_from_odom(self, now_ns: int) -> pycolmap.Rigid3d | None:
        """Return the correction of the odometry, None where there is none that holds."""
        with self._lock:
            return self._tracker.map_from_odom(now_ns)

    def expected(self, stamp_ns: int, odometry: Odometry | None) -> Fix | None:
        """Return where the robot should be, None where the last word on it is too old."""
        with self._lock:
            return self._tracker.expected_fix(stamp_ns, odometry)

    # ---- what others say

    def hint(self, guess: Fix) -> None:
        """Search near a guess from now on. It is not a fix: the first image that agrees with it gives one."""
        with self._lock:
            self._tracker.hint(guess)

    def hint_if_untouched(self, recall: Callable[[], Fix | None]) -> None:
        """Take a remembered pose as a hint, unless a fix, a hint or a reset came before it."""
        with self._lock:
            if self._tracker.epoch == 0 and self._tracker.last is None and (guess := recall()) is not None:
                self._tracker.hint(guess)

    def forget(self) -> None:
        """Forget where the robot was: the next image searches the whole map."""
        with self._lock:
            self._tracker.reset()

    def use_map(self, localizer: Localizer) -> None:
        """Go on in another map: where the robot was in the old one says nothing of the new."""
        with self._lock:
            self._localizer, self._config = localizer, localizer.config
            self._tracker.reset()
        self._checked_camera = None

    def release(self) -> None:
        """Let the localizer go, and give its GPU memory back. Nothing may follow."""
        del self._localizer
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def configure(self, config: Config, tracking: TrackingConfig, *, is_planar: bool) -> None:
        """Take new parameters; an image in hand may still see some of the old ones."""
        self._config = self._localizer.config = config
        self._tracker.config, self._is_planar = tracking, is_planar


def explain_step(result: Result, step: Step) -> Step:
    """Return the step of an image that gives no pose, with the reason."""
    return replace(step, status=result.reason, detail=str(result)) if isinstance(result, Lost) else step


def step_not_tried(stamp_ns: int, why: NotTried) -> Step:
    """Return the step of an image that never reached the localizer."""
    return Step(stamp_ns, why.status, str(why))
