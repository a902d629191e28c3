"""Bring images of a rig's cameras, each with a stamp of its own, to one time by odometry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.config import RigConfig, TrackingConfig
from deviloc_ros.geometry import normalize_rigid
from deviloc_ros.masks import Mask
from deviloc_ros.status import Status
from deviloc_ros.tracking.fix import predict_drift
from deviloc_ros.tracking.odometry import Odometry
from deviloc_ros.types import CameraReport, FeatureCache, RigImage

OdometryAt = Callable[[int, bool], Odometry | None]
"""Returns the odometry at a time [ns], None if unknown; with True it first waits for odometry that may arrive."""


@dataclass(frozen=True, slots=True, eq=False)
class StampedImage:
    """Hold an image with its stamp, its camera and the camera's mount on the robot at that time.

    pixels: (H, W) gray or (H, W, 3) BGR, uint8. mask: which of them are used; None: the localizer's mask. name: of the
    camera, empty if there is only one. extracted: features that are known already.
    """

    stamp_ns: int
    pixels: NDArray
    camera: Camera
    base_from_cam: pycolmap.Rigid3d
    mask: Mask | None = None
    name: str = ""
    extracted: FeatureCache = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_from_cam", normalize_rigid("StampedImage.base_from_cam", self.base_from_cam))


@dataclass(frozen=True, slots=True, eq=False)
class TakenTogether:
    """Hold images of several cameras brought to one time, that of the newest.

    images: as taken, each at its own time. rig_images: as a rig at `stamp_ns` would have taken them; the frame of the
    rig is the robot's. left_out: cameras whose image could not be brought to that time. odometry: at that time, None if
    unknown.
    """

    stamp_ns: int
    images: Sequence[StampedImage]
    rig_images: list[RigImage]
    left_out: list[CameraReport]
    odometry: Odometry | None

    @property
    def base_from_seen(self) -> pycolmap.Rigid3d:
        """Return base_from_cam of the only camera, or the identity for a rig, whose frame is the robot's."""
        return self.rig_images[0].rig_from_cam if len(self.rig_images) == 1 else pycolmap.Rigid3d()

    @property
    def camera(self) -> Camera | None:
        """Return the only camera, None if there are several."""
        return self.rig_images[0].camera if len(self.rig_images) == 1 else None


def take_together(
    images: Sequence[StampedImage], odometry_at: OdometryAt, rig: RigConfig, tracking: TrackingConfig
) -> TakenTogether:
    """Return the images as if all had been taken at the time of the newest; wait for odometry only if they were not.

    An earlier image becomes that of a camera that is mounted elsewhere: offset by the robot's motion since, which
    odometry gives. Without odometry an image is used as it is if its time nearly is that of the newest.
    """
    stamp_ns = max(image.stamp_ns for image in images)
    odometry = odometry_at(stamp_ns, any(image.stamp_ns != stamp_ns for image in images))
    rig_images, left_out = [], []
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
        rig_images.append(RigImage(image.name, image.pixels, image.camera, rig_from_cam, *known))
    return TakenTogether(stamp_ns, images, rig_images, left_out, odometry)
