"""From one image message to a fix, or to the reason why there is none. Runs in the worker thread."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pycolmap
import torch
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from deviloc_ros.camera import Camera
from deviloc_ros.config import bound_to_map
from deviloc_ros.localizer import Localizer
from deviloc_ros.maps.store import Map
from deviloc_ros.messages.cameras import camera_from_info
from deviloc_ros.ros.conversions import image_from_serialized, pixels_from_msg, stamp_ns
from deviloc_ros.ros.parameters import Parameters
from deviloc_ros.ros.transforms import Missing, Transforms
from deviloc_ros.status import Drop, NotTried
from deviloc_ros.stopwatch import Stopwatch
from deviloc_ros.tracking.calibration import FocalCheck
from deviloc_ros.tracking.fix import Fix, fix_of, flattened
from deviloc_ros.tracking.odometry import Odometry
from deviloc_ros.tracking.tracker import Tracker, Verdict
from deviloc_ros.types import Evidence, Localized, Lost


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of an image.

    fix: what to publish, None for nothing. reason: "accepted", or the lower-case name of a Drop, Reason or Verdict.
    """

    stamp_ns: int
    fix: Fix | None
    reason: str
    detail: str = ""
    evidence: Evidence = field(default_factory=Evidence)
    stages_ms: dict[str, float] = field(default_factory=dict)


class CameraBook:
    """The calibration of each camera frame, converted again only when it changes."""

    def __init__(self, rectified: bool) -> None:
        self._rectified = rectified
        self._entries: dict[str, tuple[tuple, Camera | str]] = {}

    def note(self, info: CameraInfo) -> bool:
        """Remember a camera_info. True if it differs from the last one of its frame."""
        roi = (info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height)
        size = (info.width, info.height, info.binning_x, info.binning_y)
        numbers = [array.tobytes() for array in (info.d, info.k, info.p)]  # as bytes, NaN equals NaN
        content = (info.distortion_model, numbers, size, roi)
        known = self._entries.get(info.header.frame_id)
        if known is not None and known[0] == content:
            return False
        try:
            camera: Camera | str = camera_from_info(info, self._rectified)
        except ValueError as error:
            camera = str(error)
        self._entries[info.header.frame_id] = content, camera
        return True

    def camera(self, frame: str) -> Camera:
        """Raises NotTried if the frame's calibration is unknown or unusable."""
        if frame not in self._entries:
            known = ", ".join(repr(name) for name in self._entries) or "none yet"
            raise NotTried(Drop.NO_CAMERA_INFO, f"image is of frame {frame!r}, camera_info of {known}")
        camera = self._entries[frame][1]
        if isinstance(camera, str):
            raise NotTried(Drop.BAD_CAMERA_INFO, camera)
        return camera


def open_localizer(parameters: Parameters) -> Localizer:
    """The localizer of the map at `map_path`. Raises MapError naming what is wrong with it."""
    if not parameters.node.map_path:
        raise ValueError("parameter map_path is empty: it must name the folder of a map")
    reference_map = Map.open(Path(parameters.node.map_path).expanduser())
    return Localizer(reference_map, bound_to_map(parameters.localizer, reference_map.config))


class Pipeline:
    """Everything that lives between configure and cleanup: localizer, tracker, calibrations, counts.

    `process` belongs to the worker thread; all else may be called from the executor's thread meanwhile.
    """

    def __init__(
        self,
        localizer: Localizer,
        transforms: Transforms,
        parameters: Parameters,
        now_ns: Callable[[], int],
        dropped: Counter[Drop],
    ) -> None:
        self.localizer = localizer
        self.pixels: NDArray | None = None  # of the last image, None if it was not decoded
        self.cameras = CameraBook(parameters.node.rectified)
        self.calibration_complaint = ""  # about the camera of the last images
        self._focal_check = FocalCheck()
        self._checked_camera: Camera | None = None
        self.tracker = Tracker(parameters.tracking)
        self.tracker_lock = threading.Lock()
        self._transforms = transforms
        self._parameters = parameters
        self._now_ns = now_ns
        self._dropped = dropped

    def apply(self, parameters: Parameters) -> None:
        """Take new values of the live parameters; an image in hand may still see some of the old ones."""
        self._parameters = parameters
        self.tracker.config = parameters.tracking
        self.localizer.config = bound_to_map(parameters.localizer, self.localizer.config)

    def take(self, localizer: Localizer) -> None:
        """Go on in another map: where the robot was in the old one says nothing of the new."""
        with self.tracker_lock:
            self.localizer = localizer
            self.tracker.reset()
        self._checked_camera = None

    def free(self) -> None:
        """Let the localizer go, and give its GPU memory back."""
        del self.localizer
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def process(self, serialized: bytes) -> Outcome:
        """Localize one serialized image."""
        watch = Stopwatch()
        self.pixels = None
        header, msg = image_from_serialized(serialized, self._parameters.node.image_transport == "compressed")
        time_ns = stamp_ns(header.stamp)
        try:
            self._check_stamp(time_ns)
            outcome = self._localize(msg, header.frame_id, time_ns, watch)
        except NotTried as why:
            self._dropped[why.drop] += 1
            outcome = Outcome(time_ns, None, why.drop.name.lower(), str(why))
        total_ms = (self._now_ns() - time_ns) * 1e-6 if time_ns else 0.0
        stages_ms = {**watch.stages_ms, **outcome.evidence.stages_ms, "stamp_to_result": total_ms}
        return replace(outcome, stages_ms=stages_ms)

    def _localize(self, msg: Image | CompressedImage, frame: str, time_ns: int, watch: Stopwatch) -> Outcome:
        localizer, camera = self.localizer, self.cameras.camera(frame)
        with watch.stage("extrinsic"):
            base_from_cam = self._base_from_cam(frame, time_ns)
        with watch.stage("decode"):
            pixels = self.pixels = decoded(msg)
        odometry = self._odometry(time_ns, wait_s=None)
        with self.tracker_lock:
            epoch, prior = self.tracker.epoch, self.tracker.prior(time_ns, odometry, base_from_cam.inverse())
        result = localizer.localize(pixels, camera, prior)
        self._check_calibration(camera, result.evidence)
        match result:
            case Lost(reason, _, evidence) as lost:
                with self.tracker_lock:
                    if epoch == self.tracker.epoch:
                        self.tracker.missed()
                return Outcome(time_ns, None, reason.name.lower(), str(lost), evidence)
            case Localized() as localized:
                if odometry is None:  # it may have arrived while the image was localized
                    with watch.stage("odometry"):
                        odometry = self._odometry(time_ns, self._parameters.node.transform_timeout)
                fix = fix_of(localized, base_from_cam, odometry, time_ns)
                if self._parameters.node.two_d_mode:
                    fix = flattened(fix)
                return self._judge(fix, localized.evidence, localizer, epoch)

    def _check_calibration(self, camera: Camera, evidence: Evidence) -> None:
        """Whether many images agree that another focal length fits."""
        if camera != self._checked_camera:
            self._focal_check.clear()
            self._checked_camera = camera
        self._focal_check.note(evidence.focal)
        pose = self._parameters.localizer.pose
        self.calibration_complaint = "" if pose.estimate_focal else self._focal_check.complaint(pose.max_focal_error)

    def _judge(self, fix: Fix, evidence: Evidence, localizer: Localizer, epoch: int) -> Outcome:
        """Whether to believe what `localizer` found, searching for what was known in `epoch`."""
        now_ns = self._now_ns()
        with self.tracker_lock:
            if localizer is not self.localizer:
                raise NotTried(Drop.MAP_CHANGED)
            verdict = self.tracker.observe(fix, now_ns) if epoch == self.tracker.epoch else Verdict.OUTDATED
            detail = self.tracker.said_of(verdict)
        believed = fix if verdict is Verdict.ACCEPTED else None
        return Outcome(fix.stamp_ns, believed, verdict.name.lower(), detail, evidence)

    def _check_stamp(self, time_ns: int) -> None:
        """Raises NotTried for an image whose time is unknown or too far from now."""
        limit_s = self._parameters.node.max_image_age_s
        age_s = (self._now_ns() - time_ns) * 1e-9
        if time_ns == 0:
            raise NotTried(Drop.NO_STAMP)
        if limit_s > 0 and age_s > limit_s:
            raise NotTried(Drop.TOO_OLD, f"the image is {age_s:.3f} s old (recorded? then set use_sim_time)")
        if limit_s > 0 and age_s < -limit_s:
            raise NotTried(Drop.FROM_FUTURE, f"the image's stamp is {-age_s:.3f} s in the future")

    def _base_from_cam(self, frame: str, time_ns: int) -> pycolmap.Rigid3d:
        found = self._transforms.base_from_cam(frame, time_ns, self._parameters.node.transform_timeout)
        if isinstance(found, Missing):
            raise NotTried(Drop.NO_EXTRINSIC, found.detail)
        return found

    def _odometry(self, time_ns: int, wait_s: float | None) -> Odometry | None:
        if not self._parameters.node.uses_odometry:
            return None
        found = self._transforms.odometry(time_ns, wait_s)
        return None if isinstance(found, Missing) else found


def decoded(msg: Image | CompressedImage) -> np.ndarray:
    """(H, W) gray or (H, W, 3) BGR. Raises NotTried."""
    try:
        return pixels_from_msg(msg)
    except ValueError as error:
        raise NotTried(Drop.UNDECODABLE, str(error)) from error
