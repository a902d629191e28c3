"""Check the cameras of a robot by many images: their calibrations, stamps and mounts."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config, PoseConfig
from deviloc_ros.tracking.calibration_check import IntrinsicsCheck
from deviloc_ros.tracking.fix import Fix
from deviloc_ros.tracking.motion_check import MotionCheck
from deviloc_ros.tracking.rig_check import RigCheck
from deviloc_ros.tracking.sighting import Sighting
from deviloc_ros.types import Evidence, RigImage


class CameraChecks:
    """Hold the checks of all cameras of one robot. Images are added by one thread; any may ask."""

    def __init__(self) -> None:
        self._intrinsics: dict[str, tuple[Camera, IntrinsicsCheck]] = {}  # by the camera's name
        self._motion, self._rig = MotionCheck(), RigCheck()
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Start over, as in another map."""
        with self._lock:
            self._intrinsics.clear()
            self._motion, self._rig = MotionCheck(), RigCheck()

    def add_images(self, rig_images: Sequence[RigImage], evidence: Evidence) -> None:
        """Take into account what images of one time tell about their cameras' intrinsics and mounts."""
        by_camera = {report.name: report.evidence for report in evidence.cameras}
        with self._lock:
            for image in rig_images:
                camera, check = self._intrinsics.get(image.name, (None, IntrinsicsCheck()))
                if camera != image.camera:
                    check = IntrinsicsCheck()
                    self._intrinsics[image.name] = image.camera, check
                    self._motion.clear_fixes()
                check.add_fit((by_camera.get(image.name) or evidence).intrinsics)
            self._rig.add_images(evidence.cameras)

    def add_sighting(self, sighting: Sighting) -> Fix | None:
        """Take the robot's motion into account; return the fix of the place that fits best, None if none passes."""
        passing = [place for place in sighting.found if place.passes]
        if not passing:
            return None
        seen = max(passing, key=lambda place: place.support).fix
        with self._lock:
            self._motion.add_fix(seen)
        return seen

    def widen(self, config: Config) -> Config:
        """Return `config` with the standard deviations of wrong calibrations widened by their errors."""
        if config.pose.estimate_focal:
            return config
        with self._lock:
            for camera, check in self._intrinsics.values():
                config = check.widen(camera, config)
        return config

    def calibration_complaint(self, pose: PoseConfig) -> str:
        """Say what is wrong with calibrations, stamps and mounts; empty if nothing is."""
        said = []
        with self._lock:
            if not pose.estimate_focal:
                found = {name: check.complaint(camera, pose) for name, (camera, check) in self._intrinsics.items()}
                said = [f"{complaint}, {name}" if name else complaint for name, complaint in found.items() if complaint]
            motion = self._motion.complaint()
        return "; ".join(said + ([motion] if motion else []))

    @property
    def camera_complaints(self) -> dict[str, str]:
        """Return what is wrong with cameras' mounts on a rig, by the camera's name; empty if nothing is."""
        with self._lock:
            return self._rig.complaints
