"""Turn serialized images into steps: decode, look up transforms, follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pycolmap
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from deviloc_ros.camera import Camera
from deviloc_ros.config import bind_to_map
from deviloc_ros.io.plain_files import expand_home
from deviloc_ros.localizer import Localizer, create_localizers
from deviloc_ros.maps.inspect import check_metres
from deviloc_ros.maps.manifest import find_maps
from deviloc_ros.maps.store import Map
from deviloc_ros.messages.camera_book import CameraBook
from deviloc_ros.messages.images import pixels_of, stated_size
from deviloc_ros.parameters.node_config import CameraConfig
from deviloc_ros.ros.conversions import image_from_serialized
from deviloc_ros.ros.mask_book import MaskBook
from deviloc_ros.ros.parameters import Parameters
from deviloc_ros.ros.transforms import MissingTransform, Transforms
from deviloc_ros.status import NotTried, Status, not_tried_if_refused
from deviloc_ros.stopwatch import Stopwatch
from deviloc_ros.tracking.follower import Follower
from deviloc_ros.tracking.grouping import Group, GroupedImage
from deviloc_ros.tracking.odometry import Odometry
from deviloc_ros.tracking.rig_images import StampedImage
from deviloc_ros.tracking.step import ReadGroup, Step, read_group


def open_localizers(parameters: Parameters) -> list[Localizer]:
    """Return the localizer of each map at `map_path`: of that map, or of those directly below this folder.

    Raises:
        MapError: a file is damaged, or a map's unit is not the metre; the message names it.
    """
    if not parameters.node.map_path:
        raise ValueError("parameter map_path is empty: it must name the folder of a map, or of several")
    maps = [Map.open(folder) for folder in find_maps(expand_home(parameters.node.map_path))]
    check_metres(maps)
    return create_localizers(maps, [bind_to_map(parameters.localizer, one.config) for one in maps])


@dataclass(frozen=True, slots=True, eq=False)
class ReadImages:
    """Hold images of one time that were read, with the stages' times.

    pixels: by the camera's name, including images that were decoded but cannot be localized.
    """

    group: ReadGroup
    pixels: dict[str, NDArray]
    watch: Stopwatch


class Pipeline:
    """Turn serialized images into steps.

    `read` and `follow` may each be called from one thread: features of the next image are extracted while this one is
    localized. Everything else may be called from the executor's thread meanwhile.
    """

    def __init__(
        self,
        follower: Follower,
        transforms: Transforms,
        parameters: Parameters,
        now_ns: Callable[[], int],
        decode: Callable[[Image | CompressedImage], NDArray] = pixels_of,
    ) -> None:
        self.calibrations = {name: CameraBook(camera.rectified) for name, camera in parameters.cameras.items()}
        self.parameters = parameters
        self.masks = {name: MaskBook(camera) for name, camera in parameters.cameras.items()}
        self._follower = follower
        self._transforms = transforms
        self._decode = decode
        self._now_ns = now_ns

    def read(self, group: Group[bytes]) -> ReadImages:
        """Decode the serialized images of one time, and extract the features that are needed first."""
        watch = Stopwatch()
        pixels: dict[str, NDArray] = {}
        read = read_group(group, lambda given: self._read(given, watch, pixels))
        self._follower.look_ahead(read.images, watch)
        return ReadImages(read, pixels, watch)

    def follow(self, images: ReadImages) -> Step:
        """Localize the images of one time together; those that cannot be used are left out."""
        step = self._follower.follow_group(images.group, self._odometry, self._now_ns)
        images.watch.add(step.stages_ms)
        total_ms = (self._now_ns() - step.stamp_ns) * 1e-6 if step.stamp_ns else 0.0
        return replace(step, stages_ms={**images.watch.stages_ms, "stamp_to_result": total_ms})

    def _read(self, given: GroupedImage[bytes], watch: Stopwatch, decoded: dict[str, NDArray]) -> StampedImage:
        """Return an image with its camera, mount and mask. Raises NotTried."""
        config, time_ns = self.parameters.cameras[given.camera], given.stamp_ns
        with not_tried_if_refused(Status.UNDECODABLE):
            header, msg = image_from_serialized(given.image, config.image_transport == "compressed")
        self._check_stamp(time_ns)
        camera = self.calibrations[given.camera].camera(header.frame_id)
        with watch.stage("extrinsic"):
            base_from_cam = self._base_from_cam(config, header.frame_id, time_ns)
        with watch.stage("decode"):
            pixels = decoded[given.camera] = self._pixels(msg, camera)
        with watch.stage("mask"):
            mask = self.masks[given.camera].find(time_ns, camera, self.parameters.node.transform_timeout)
        return StampedImage(time_ns, pixels, camera, base_from_cam, mask, given.camera)

    def _pixels(self, msg: Image | CompressedImage, camera: Camera) -> NDArray:
        """Decode an image of the camera's size. Raises NotTried for any other size, before memory is allocated."""
        with not_tried_if_refused(Status.UNDECODABLE):
            width, height = stated_size(msg)
        if (width, height) != (camera.width, camera.height):
            size = f"{camera.width} x {camera.height}"
            raise NotTried(Status.BAD_IMAGE, f"image is {width} x {height} px, its camera_info says {size}")
        with not_tried_if_refused(Status.UNDECODABLE):
            return self._decode(msg)

    def _check_stamp(self, time_ns: int) -> None:
        """Raise NotTried for an image without a stamp, or whose stamp is too far from now."""
        limit_s = self.parameters.node.max_image_age_s
        age_s = (self._now_ns() - time_ns) * 1e-9
        if time_ns == 0:
            raise NotTried(Status.NO_STAMP)
        if limit_s > 0 and age_s > limit_s:
            raise NotTried(Status.TOO_OLD, f"the image is {age_s:.3f} s old (recorded? then set use_sim_time)")
        if limit_s > 0 and age_s < -limit_s:
            raise NotTried(Status.FROM_FUTURE, f"the image's stamp is {-age_s:.3f} s in the future")

    def _base_from_cam(self, camera: CameraConfig, frame: str, time_ns: int) -> pycolmap.Rigid3d:
        found = self._transforms.base_from_cam(camera, frame, time_ns, self.parameters.node.transform_timeout)
        if isinstance(found, MissingTransform):
            raise NotTried(Status.NO_EXTRINSIC, found.detail)
        return found

    def _odometry(self, time_ns: int, may_wait: bool) -> Odometry | None:
        if not self.parameters.node.uses_odometry:
            return None
        found = self._transforms.odometry(time_ns, self.parameters.node.transform_timeout if may_wait else None)
        return None if isinstance(found, MissingTransform) else found
