"""Localize a camera in a map made earlier, after DeViLoc (Giang, Song, Jo, CVPR 2024).

    image + Camera -> Features -> Matches (2D-2D, per reference) -> Correspondences (2D-3D, confidence)
                   -> merged Correspondences -> Localized | Lost(reason)

    from deviloc_ros import Camera, Localizer

    localizer = Localizer("kitchen.map")
    result = localizer.localize(image, Camera("PINHOLE", 640, 480, (525.0, 525.0, 319.5, 239.5)))

Every reference keypoint is lifted to 3D when the map is built, so a query costs one feature pass, one match against the
nearby references, one merge (CPA) and one PnP. A name below is imported when it is first used: importing the package
itself imports nothing heavy.
"""

import ctypes
from contextlib import suppress
from typing import TYPE_CHECKING

# pycolmap exports a zlib of its own, which libz would call in the place of itself if pycolmap were what loads it: the
# next PNG that Pillow or Matplotlib wrote would then break the heap.
with suppress(OSError):
    ctypes.CDLL("libz.so.1")

if TYPE_CHECKING:
    from deviloc_ros.camera import Camera as Camera
    from deviloc_ros.config import Config as Config
    from deviloc_ros.config import TrackingConfig as TrackingConfig
    from deviloc_ros.config_fields import change_config as change_config
    from deviloc_ros.geometry import rigid_from_matrix as rigid_from_matrix
    from deviloc_ros.imaging import read_gray as read_gray
    from deviloc_ros.localizer import Localizer as Localizer
    from deviloc_ros.mapping.build import build_map as build_map
    from deviloc_ros.maps.store import Map as Map
    from deviloc_ros.masks import Mask as Mask
    from deviloc_ros.parameters.parameter_file import load_config as load_config
    from deviloc_ros.sfm.photographs import pose_photographs as pose_photographs
    from deviloc_ros.sources.base import PosedImage as PosedImage
    from deviloc_ros.status import Status as Status
    from deviloc_ros.tracking.follower import Follower as Follower
    from deviloc_ros.tracking.odometry import Odometry as Odometry
    from deviloc_ros.tracking.rig_images import StampedImage as StampedImage
    from deviloc_ros.types import Localized as Localized
    from deviloc_ros.types import Lost as Lost
    from deviloc_ros.types import Prior as Prior
    from deviloc_ros.types import RigImage as RigImage

__version__ = "0.1.0"

_MODULE_OF = {
    "Camera": "camera",
    "Config": "config",
    "Follower": "tracking.follower",
    "Localized": "types",
    "Localizer": "localizer",
    "Lost": "types",
    "Map": "maps.store",
    "Mask": "masks",
    "Odometry": "tracking.odometry",
    "PosedImage": "sources.base",
    "Prior": "types",
    "RigImage": "types",
    "StampedImage": "tracking.rig_images",
    "Status": "status",
    "TrackingConfig": "config",
    "build_map": "mapping.build",
    "change_config": "config_fields",
    "load_config": "parameters.parameter_file",
    "pose_photographs": "sfm.photographs",
    "read_gray": "imaging",
    "rigid_from_matrix": "geometry",
}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> object:
    """Import a public name on its first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    """Return the public names beside the imported ones, for completion in a shell."""
    return sorted({*globals(), *_MODULE_OF})
