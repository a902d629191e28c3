"""Turn one image message into a step: convert, ask for transforms, follow. Runs in the worker thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pycolmap
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from deviloc_ros.camera import Camera
from deviloc_ros.config import bind_to_map
from deviloc_ros.imaging import Mask
from deviloc_ros.localizer import Localizer
from deviloc_ros.maps.store import Map
from deviloc_ros.messages.camera_book import CameraBook
from deviloc_ros.messages.images import pixels_of, stated_size
from deviloc_ros.ros.conversions import image_from_serialized, read_serialized_stamp
from deviloc_ros.ros.parameters import Parameters
from deviloc_ros.ros.transforms import MissingTransform, Transforms
from deviloc_ros.status import NotTried, Status, not_tried_if_refused
from deviloc_ros.stopwatch import Stopwatch
from deviloc_ros.tracking.follower import Follower, Step, step_not_tried
from deviloc_ros.tracking.odometry import Odometry


def open_localizer(parameters: Parameters) -> Localizer:
    """Return the localizer of the map at `map_path`. Raises MapError or ImageError naming what is wrong with a file."""
    if not parameters.node.map_path:
        raise ValueError("parameter map_path is empty: it must name the folder of a map")
    reference_map = Map.open(Path(parameters.node.map_path).expanduser())
    mask = None
    if parameters.node.mask_path:
        mask = Mask(Path(parameters.node.mask_path).expanduser())
        mask.check_file()
    return Localizer(reference_map, bind_to_map(parameters.localizer, reference_map.config), mask)


class Pipeline:
    """Turn serialized images into steps.

    `process` belongs to the worker thread; all else may be called from the executor's thread meanwhile.

    pixels: of the last image, None if it was not decoded.
    """

    def __init__(
        self,
        follower: Follower,
        transforms: Transforms,
        parameters: Parameters,
        now_ns: Callable[[], int],
        decode: Callable[[Image | CompressedImage], NDArray] = pixels_of,
    ) -> None:
        self.pixels: NDArray | None = None
        self.cameras = CameraBook(parameters.node.rectified)
        self.parameters = parameters
        self._follower = follower
        self._transforms = transforms
        self._decode = decode
        self._now_ns = now_ns

    def process(self, serialized: bytes) -> Step:
        """Localize one serialized image."""
        watch = Stopwatch()
        self.pixels = None
        time_ns = read_serialized_stamp(serialized)
        try:
            with not_tried_if_refused(Status.UNDECODABLE):
                header, msg = image_from_serialized(serialized, self.parameters.node.image_transport == "compressed")
            self._check_stamp(time_ns)
            step = self._follow(msg, header.frame_id, time_ns, watch)
        except NotTried as why:
            step = step_not_tried(time_ns, why)
        total_ms = (self._now_ns() - time_ns) * 1e-6 if time_ns else 0.0
        return replace(step, stages_ms={**watch.stages_ms, **step.stages_ms, "stamp_to_result": total_ms})

    def _follow(self, msg: Image | CompressedImage, frame: str, time_ns: int, watch: Stopwatch) -> Step:
        camera = self.cameras.camera(frame)
        with watch.stage("extrinsic"):
            base_from_cam = self._base_from_cam(frame, time_ns)
        with watch.stage("decode"):
            pixels = self.pixels = self._pixels(msg, camera)
        odometry = self._odometry(time_ns, wait_s=None)
        wait_s = self.parameters.node.transform_timeout
        return self._follower.follow(
            pixels, camera, base_from_cam, odometry, time_ns, self._now_ns, lambda: self._odometry(time_ns, wait_s)
        )

    def _pixels(self, msg: Image | CompressedImage, camera: Camera) -> NDArray:
        """Return the pixels of an image of the camera's size. Raise NotTried for any other, before memory is taken."""
        with not_tried_if_refused(Status.UNDECODABLE):
            width, height = stated_size(msg)
        if (width, height) != (camera.width, camera.height):
            size = f"{camera.width} x {camera.height}"
            raise NotTried(Status.BAD_IMAGE, f"image is {width} x {height} px, its camera_info says {size}")
        with not_tried_if_refused(Status.UNDECODABLE):
            return self._decode(msg)

    def _check_stamp(self, time_ns: int) -> None:
        """Raise NotTried for an image whose time is unknown or too far from now."""
        limit_s = self.parameters.node.max_image_age_s
        age_s = (self._now_ns() - time_ns) * 1e-9
        if time_ns == 0:
            raise NotTried(Status.NO_STAMP)
        if limit_s > 0 and age_s > limit_s:
            raise NotTried(Status.TOO_OLD, f"the image is {age_s:.3f} s old (recorded? then set use_sim_time)")
        if limit_s > 0 and age_s < -limit_s:
            raise NotTried(Status.FROM_FUTURE, f"the image's stamp is {-age_s:.3f} s in the future")

    def _base_from_cam(self, frame: str, time_ns: int) -> pycolmap.Rigid3d:
        found = self._transforms.base_from_cam(frame, time_ns, self.parameters.node.transform_timeout)
        if isinstance(found, MissingTransform):
            raise NotTried(Status.NO_EXTRINSIC, found.detail)
        return found

    def _odometry(self, time_ns: int, wait_s: float | None) -> Odometry | None:
        if not self.parameters.node.uses_odometry:
            return None
        found = self._transforms.odometry(time_ns, wait_s)
        return None if isinstance(found, MissingTransform) else found
