"""Bring the images of a rig's cameras, each with a stamp of its own, to one time by odometry. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.config import RigConfig, TrackingConfig
from deviloc_ros.geometry import check_rigid
from deviloc_ros.imaging import Mask
from deviloc_ros.status import Status
from deviloc_ros.tracking.fix import predict_drift
from deviloc_ros.tracking.odometry import Odometry
from deviloc_ros.types import CameraReport, Extracted, RigImage

OdometryAt = Callable[[int, bool], Odometry | None]
"""Answers where odometry has the robot at a time [ns]; if told so, after waiting for what may be on its way."""


@dataclass(frozen=True, slots=True, eq=False)
class StampedImage:
    """Hold an image, and where its camera sat on the robot when it was taken.

    pixels: (H, W) gray or (H, W, 3) BGR, uint8. mask: which of them are used; None: as the localizer has it. name: of
    the camera, empty where there is only one. extracted: features that are known already.
    """

    stamp_ns: int
    pixels: NDArray
    camera: Camera
    base_from_cam: pycolmap.Rigid3d
    mask: Mask | None = None
    name: str = ""
    extracted: Extracted = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_rigid("StampedImage.base_from_cam", self.base_from_cam)


def bring_to_time(
    images: Sequence[StampedImage],
    stamp_ns: int,
    odometry: Odometry | None,
    odometry_at: OdometryAt,
    rig: RigConfig,
    tracking: TrackingConfig,
) -> tuple[list[RigImage], list[CameraReport]]:
    """Return the images as a rig at `stamp_ns` would have taken them, its frame being the robot's, and who cannot be.

    The robot moved between an image and that time, so the camera stood elsewhere than where it sits: by what odometry
    says. Without odometry an image counts as taken at that time if it nearly was.
    """
    views, left_out = [], []
    for image in images:
        rig_from_cam, std_m, std_rad = image.base_from_cam, 0.0, 0.0
        seconds = abs(stamp_ns - image.stamp_ns) * 1e-9
        if image.stamp_ns != stamp_ns:
            then = None if odometry is None else odometry_at(image.stamp_ns, False)
            if odometry is not None and then is not None:
                rig_from_cam = odometry.odom_from_base.inverse() * then.odom_from_base * image.base_from_cam
                std_m, std_rad = predict_drift(then, odometry, seconds, tracking)
            elif seconds > rig.tolerance_s:
                detail = f"{Status.NO_ODOMETRY.sentence}, {1e3 * seconds:.0f} ms away"
                left_out.append(CameraReport(image.name, Status.NO_ODOMETRY, False, 0, detail))
                continue
        known = image.mask, std_m, std_rad, image.extracted
        views.append(RigImage(image.name, image.pixels, image.camera, rig_from_cam, *known))
    return views, left_out
