"""Keep the calibration of each camera frame, as its camera_info messages give it."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deviloc_ros.camera import Camera
from deviloc_ros.messages.cameras import camera_from_info, lower_case_fields, region_of_interest
from deviloc_ros.status import NotTried, Status

MAX_FRAMES = 64  # more than a robot has cameras; made-up frame names must not fill the memory


@dataclass(frozen=True, slots=True)
class Lenses:
    """Hold the cameras of one camera_info: of raw images (K, D) and of rectified ones (P).

    A string in place of a camera says what is wrong with it.
    """

    raw: Camera | str
    rectified: Camera | str

    @staticmethod
    def from_info(info: Any) -> Lenses:
        """Return both cameras of a message."""
        return Lenses(camera_or_why(info, rectified=False), camera_or_why(info, rectified=True))


def camera_or_why(info: Any, *, rectified: bool) -> Camera | str:
    """Return the camera of a camera_info, or a sentence that says why it is not valid."""
    try:
        return camera_from_info(info, rectified)
    except ValueError as error:
        return str(error)


@dataclass(slots=True, eq=False)
class Calibrations:
    """Hold the calibrations of one frame, oldest first, each with the time [ns] from which it is valid."""

    content: tuple = ()
    times_ns: list[int] = field(default_factory=list)
    lenses: list[Lenses] = field(default_factory=list)


class CameraBook:
    """Keep calibrations by frame; they are converted only when they change.

    rectified: whether the images are rectified, so that P applies instead of K and D; may be changed later. history:
    keep earlier calibrations for earlier images; else the newest is used for every image.
    """

    def __init__(self, rectified: bool, *, history: bool = False) -> None:
        self.rectified = rectified
        self._history = history
        self._frames: OrderedDict[str, Calibrations] = OrderedDict()

    def __len__(self) -> int:
        return len(self._frames)

    def note(self, info: Any, received_ns: int = 0) -> bool:
        """Take a camera_info; return whether it differs from the last one of its frame."""
        frame = info.header.frame_id.lstrip("/")
        calibrations = self._frames.setdefault(frame, Calibrations())
        self._frames.move_to_end(frame)
        if len(self._frames) > MAX_FRAMES:
            self._frames.popitem(last=False)
        content = comparison_key(info)
        if content == calibrations.content:
            return False
        if not self._history:
            calibrations.times_ns.clear()
            calibrations.lenses.clear()
        calibrations.content = content
        calibrations.times_ns.append(received_ns)
        calibrations.lenses.append(Lenses.from_info(info))
        return True

    def camera(self, frame: str, received_ns: int = 0) -> Camera:
        """Return the camera that was valid when an image was received, or the first one for an earlier image.

        Raises:
            NotTried: the frame's calibration is unknown or unusable.
        """
        frame = frame.lstrip("/")
        if frame not in self._frames:
            known = ", ".join(map(repr, self._frames)) or "none yet"
            raise NotTried(Status.NO_CAMERA_INFO, f"image is of frame {frame!r}, camera_info of {known}")
        calibrations = self._frames[frame]
        lenses = calibrations.lenses[max(bisect_right(calibrations.times_ns, received_ns) - 1, 0)]
        camera = lenses.rectified if self.rectified else lenses.raw
        if isinstance(camera, str):
            raise NotTried(Status.BAD_CAMERA_INFO, camera)
        return camera

    @property
    def lenses(self) -> list[Lenses]:
        """Return the cameras of all calibrations of all frames."""
        return [lenses for calibrations in self._frames.values() for lenses in calibrations.lenses]


def comparison_key(info: Any) -> tuple:
    """Return a key that is equal for camera_infos with the same relevant content, NaN included."""
    info = lower_case_fields(info)
    numbers = tuple(np.asarray(values, float).tobytes() for values in (info.d, info.k, info.p))
    size = (info.width, info.height, info.binning_x, info.binning_y)
    return info.distortion_model, numbers, size, region_of_interest(info)
