"""Find the mask of each image: the camera's mask file, combined with a mask message of the image's stamp."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np

from deviloc_ros.camera import Camera
from deviloc_ros.io.plain_files import expand_home
from deviloc_ros.masks import WHITE, Mask
from deviloc_ros.messages.images import pixels_of
from deviloc_ros.parameters.node_config import CameraConfig
from deviloc_ros.ros.conversions import image_from_serialized, read_serialized_stamp
from deviloc_ros.status import NotTried, Status, not_tried_if_refused

# Masks of images that are still on their way: those that come while an image waits for transforms, or in a rig for the
# mask of another camera, must not take the place of its own.
KEPT, KEPT_AT_LEAST, KEPT_BYTES = 100, 8, 1 << 26


class MaskBook:
    """Hold the masks of one camera.

    `note` may be called from any thread; `find` waits and is for the worker's thread. missing: number of images whose
    mask message did not arrive in time.
    """

    def __init__(self, config: CameraConfig) -> None:
        """Check the camera's mask file. Raises ImageError naming what is wrong with it."""
        self.missing = 0
        self._own = Mask(expand_home(config.mask_path)) if config.mask_path else None
        if self._own is not None:
            self._own.check_file()
        self._listens = bool(config.mask_topic)
        self._changed = threading.Condition()
        self._by_stamp: OrderedDict[int, bytes] = OrderedDict()

    def note(self, serialized: bytes) -> None:
        """Keep a serialized mask message for the image with its stamp."""
        with self._changed:
            self._by_stamp[read_serialized_stamp(serialized)] = serialized
            while self._are_too_many():
                self._by_stamp.popitem(last=False)
            self._changed.notify_all()

    def _are_too_many(self) -> bool:
        if len(self._by_stamp) <= KEPT_AT_LEAST:
            return False
        return len(self._by_stamp) > KEPT or sum(map(len, self._by_stamp.values())) > KEPT_BYTES

    def find(self, time_ns: int, camera: Camera, wait_s: float) -> Mask | None:
        """Return the mask of an image; wait for its mask message, and do without if that does not arrive.

        Raises:
            NotTried: the mask is not a single-channel image of the camera's size.
        """
        if not self._listens:
            return self._own
        with self._changed:
            self._changed.wait_for(lambda: time_ns in self._by_stamp, wait_s)
            serialized = self._by_stamp.pop(time_ns, None)
        if serialized is None:
            self.missing += 1
            return self._own
        with not_tried_if_refused(Status.BAD_IMAGE):
            pixels = pixels_of(image_from_serialized(serialized, compressed=False)[1])
        if pixels.shape != (camera.height, camera.width):
            size = " x ".join(map(str, reversed(pixels.shape[:2])))
            kind = "" if pixels.ndim == 2 else ", and not mono8"
            raise NotTried(
                Status.BAD_IMAGE, f"its mask is {size} px{kind}, the image is {camera.width} x {camera.height}"
            )
        hidden = np.asarray(pixels < WHITE)
        return Mask(self._own.file if self._own else None, hidden)
