"""Bring the images of a rig's cameras, each with a stamp of its own, to one time by odometry. Pure."""

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
    extracted: FeatureCache = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_from_cam", normalize_rigid("StampedImage.base_from_cam", self.base_from_cam))


@dataclass(frozen=True, slots=True, eq=False)
class TakenTogether:
    """Hold the images of one time, that of the newest.

    images: as they came, each of its own time. rig_images: as a rig at `stamp_ns` would have taken them, its frame
    being the robot's. left_out: of which cameras there is none of that time. odometry: of that time, if it is there.
    """

    stamp_ns: int
    images: Sequence[StampedImage]
    rig_images: list[RigImage]
    left_out: list[CameraReport]
    odometry: Odometry | None

    @property
    def base_from_seen(self) -> pycolmap.Rigid3d:
        """Return whose pose the images give: that of the only camera, or of the robot."""
        return self.rig_images[0].rig_from_cam if len(self.rig_images) == 1 else pycolmap.Rigid3d()

    @property
    def camera(self) -> Camera | None:
        """Return the only camera, None where there are several."""
        return self.rig_images[0].camera if len(self.rig_images) == 1 else None


def take_together(
    images: Sequence[StampedImage], odometry_at: OdometryAt, rig: RigConfig, tracking: TrackingConfig
) -> TakenTogether:
    """Return the images as if all had been taken when the newest was; odometry is waited for only where they were not.

    The robot moved between an image and that time, so the camera stood elsewhere than where it sits: by what odometry
    says. Without odometry an image counts as taken at that time if it nearly was.
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
