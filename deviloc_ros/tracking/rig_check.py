"""Check the mounts of a rig's cameras by many images: which contradicts the others, and by how much."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.geometry import robust_std, rotation_distance_deg, rotation_vector, translation_distance_m
from deviloc_ros.status import Status
from deviloc_ros.types import CameraReport

WINDOW = 30
LEAST_IMAGES = 10
LEAST_CONTRADICTIONS, CONTRADICTS = 3, 0.5  # images, and their share among those that gave the camera a pose
# An offset that matters for poses of centimetres: several times the error of a calibration.
MAX_EXTRINSIC_M, MAX_EXTRINSIC_DEG = 0.03, 0.8
MOVED_M, MOVED_DEG = 0.1, 5.0  # errors at one place are correlated
SURE_STDS = 5.0  # of the median; a smaller deviation may be chance


@dataclass(slots=True, eq=False)
class CameraRecord:
    """Hold the record of one camera over its last images.

    agreed: for images that gave it a pose of its own, whether it took part in the rig's pose. offsets: (6,) each, the
    rig's pose by this camera relative to that by the other camera that agrees best: translation [m], then rotation
    vector [rad], in axes of the rig. said: how far off it was when it last took no part. last: rig_from_world of the
    last image whose offset counted.
    """

    agreed: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))
    offsets: deque[NDArray] = field(default_factory=lambda: deque(maxlen=WINDOW))
    said: str = ""
    last: pycolmap.Rigid3d | None = None

    def note_move(self, rig_from_world: pycolmap.Rigid3d) -> bool:
        """Return whether the rig has moved since the last image that counted; if so this one counts."""
        has_moved = (
            self.last is None
            or translation_distance_m(self.last, rig_from_world) > MOVED_M
            or rotation_distance_deg(self.last, rig_from_world) > MOVED_DEG
        )
        if has_moved:
            self.last = rig_from_world
        return has_moved

    @property
    def contradicts(self) -> bool:
        """Return whether the camera contradicts the rig most of the time."""
        count = len(self.agreed) - sum(self.agreed)
        return count >= LEAST_CONTRADICTIONS and count > CONTRADICTS * len(self.agreed)

    @property
    def offset(self) -> NDArray | None:
        """Return the (6,) error of its mount; None if it is small or not significant."""
        if len(self.offsets) < LEAST_IMAGES:
            return None
        offsets = np.array(self.offsets)
        median = np.median(offsets, axis=0)
        spread = np.array([robust_std(column) for column in (offsets - median).T])
        sure = np.abs(median) > SURE_STDS * spread / np.sqrt(len(offsets))
        off_m, off_deg = np.linalg.norm(median[:3]), np.rad2deg(np.linalg.norm(median[3:]))
        far = (off_m > MAX_EXTRINSIC_M and sure[:3].any()) or (off_deg > MAX_EXTRINSIC_DEG and sure[3:].any())
        return median if far else None


class RigCheck:
    """Compare the poses of a rig's cameras, image by image; only the last `WINDOW` count."""

    def __init__(self) -> None:
        self._cameras: dict[str, CameraRecord] = {}

    def add_images(self, reports: Sequence[CameraReport]) -> None:
        """Take the reports of images of one time into account."""
        own = {r.name: r.rig_from_world for r in reports if r.status is Status.ACCEPTED and r.rig_from_world}
        if len(own) < 2:
            return  # nobody to compare with
        for report in reports:
            if report.name not in own:
                continue
            record = self._cameras.setdefault(report.name, CameraRecord())
            record.agreed.append(report.used)
            if record.note_move(own[report.name]):
                others = [pose for name, pose in own.items() if name != report.name]
                offsets = [measure_offset(own[report.name], other) for other in others]
                record.offsets.append(min(offsets, key=lambda offset: float(np.linalg.norm(offset))))
            if not report.used:
                record.said = report.detail

    def clear(self) -> None:
        """Start over, in another map or with another calibration."""
        self._cameras.clear()

    @property
    def complaints(self) -> dict[str, str]:
        """Return what is wrong, by camera; empty if all agree."""
        found = {}
        off = {name: record.offset for name, record in self._cameras.items()}
        for name, record in self._cameras.items():
            offset = off[name]
            if offset is not None:
                other = "" if len(self._cameras) > 2 else " (or the other camera's)"
                found[name] = f"its extrinsic{other} is off by {describe_offset(offset)} ({len(record.offsets)} images)"
            elif record.contradicts:
                found[name] = f"it contradicts the others: {record.said}"
        return found


def measure_offset(own: pycolmap.Rigid3d, other: pycolmap.Rigid3d) -> NDArray:
    """Return the (6,) offset between rig_from_world by two cameras: translation [m], rotation vector [rad], rig axes.

    It does not depend on where the rig is: it is the error of the one camera's mount if the other's is right.
    """
    off_from_right = own * other.inverse()
    return np.concatenate([off_from_right.translation, rotation_vector(off_from_right.rotation)])


def describe_offset(offset: NDArray) -> str:
    """Say how far (6,) a camera is off, in total and along or about each axis of the robot."""
    metres, degrees = offset[:3], np.rad2deg(offset[3:])
    x, y, z = (f"{value:+.3f}" for value in metres)
    rx, ry, rz = (f"{value:+.1f}" for value in degrees)
    return f"{np.linalg.norm(metres):.3f} m ({x}, {y}, {z}) and {np.linalg.norm(degrees):.1f} deg ({rx}, {ry}, {rz})"
