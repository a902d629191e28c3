"""Make what the demo can drive through: a rendered room, or the 7-Scenes kitchen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray
from tqdm import tqdm

from deviloc_ros.camera import Camera
from deviloc_ros.evaluation.protocols.scenes import frame_number
from deviloc_ros.geometry import rigid_from_matrix
from deviloc_ros.imaging import read_gray
from deviloc_ros.io.encoded_images import write_picture
from deviloc_ros.sources.base import PosedImage, SourceError
from deviloc_ros.sources.colmap import build_reconstruction, read_model
from deviloc_ros.synthetic.photo import expose
from deviloc_ros.synthetic.render import render_color
from deviloc_ros.synthetic.room import make_room
from deviloc_ros.synthetic.scene import Scene
from deviloc_ros.synthetic.trajectory import make_smooth_path

ROOM_CAMERA = Camera("PINHOLE", 640, 480, (525.0, 525.0, 319.5, 239.5))
ROOM_SEED = 0
ROOM_FRAMES, ROOM_VIEWS, ROOM_RATE_HZ = 120, 30, 10.0
KITCHEN_STEP, KITCHEN_RATE_HZ = 12, 7.5
# The camera 12 cm before and 30 cm above the robot's base, looking ahead: its z is the robot's x, its x the robot's -y.
BASE_FROM_CAM = rigid_from_matrix(np.array([[0, 0, 1, 0.12], [-1, 0, 0, 0.0], [0, -1, 0, 0.30]], float))


@dataclass(frozen=True, slots=True, eq=False)
class DriveFrame:
    """Hold one image on the path; `load` gives (H, W, 3) uint8 BGR pixels, or the bytes of a JPEG file."""

    cam_from_world: pycolmap.Rigid3d
    load: Callable[[], NDArray | bytes]

    @property
    def map_from_base(self) -> pycolmap.Rigid3d:
        """Return where the robot truly is."""
        return self.cam_from_world.inverse() * BASE_FROM_CAM.inverse()


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """Hold posed images for the map, and the images of a drive."""

    title: str
    camera: Camera
    rate_hz: float
    compressed: bool
    map_images: list[PosedImage]
    frames: list[DriveFrame]


def render_room(output: Path, views: int = ROOM_VIEWS, frames: int = ROOM_FRAMES) -> World:
    """Render a furnished room; the map's images are written to `output` as photographs with a COLMAP model."""
    rng = np.random.default_rng(ROOM_SEED)
    scene = make_room(rng)
    scene.free_low[2] = scene.free_high[2] = 1.1  # the robot stays on the floor
    target = (scene.free_low + scene.free_high) / 2 + [0, 0.6 * scene.free_high[1], 0]
    map_poses = make_smooth_path(scene, rng, views, target)
    drive_poses = make_smooth_path(scene, rng, frames, target, span=0.6)
    map_images = []
    for number, pose in enumerate(tqdm(map_poses, desc="render the map's images", unit="view")):
        path = output / "images" / f"view-{number:04d}.png"
        write_picture(path, take_photograph(scene, pose, number))
        map_images.append(PosedImage(path.name, path, ROOM_CAMERA, pose))
    model = output / "model"
    model.mkdir(exist_ok=True)
    build_reconstruction(map_images).write_text(str(model))
    drive = [DriveFrame(pose, partial(take_photograph, scene, pose, 1000 + n)) for n, pose in enumerate(drive_poses)]
    return World("rendered room", ROOM_CAMERA, ROOM_RATE_HZ, False, read_model(model, output / "images").images, drive)


def take_photograph(scene: Scene, cam_from_world: pycolmap.Rigid3d, seed: int) -> NDArray:
    """Render what the robot's camera takes from there."""
    return expose(render_color(scene, ROOM_CAMERA, cam_from_world), np.random.default_rng(seed), strength=0.3)


def load_kitchen(data: Path) -> World:
    """Load 7-Scenes Red Kitchen: the map is every 12th frame of seq-01, the drive is seq-02.

    Raises:
        SourceError: the data set is not there.
    """
    folder = data / "7scenes" / "redkitchen"
    if not folder.is_dir():
        raise SourceError(f"{folder}: not found; --data names the folder that holds 7scenes/")
    images = read_model(folder / "sfm_gt", folder).images
    map_images = [i for i in images if i.name.startswith("seq-01") and frame_number(i) % KITCHEN_STEP == 0]
    drive = [image for image in images if image.name.startswith("seq-02")]
    if not map_images or not drive:
        raise SourceError(f"{folder}/sfm_gt: no images of seq-01 or of seq-02")
    return replace(world_from_images(drive, KITCHEN_RATE_HZ), title="7-Scenes Red Kitchen", map_images=map_images)


def world_from_images(images: list[PosedImage], rate_hz: float) -> World:
    """Make the drive of a robot whose camera took these images in their order; JPEG files stay as they are.

    Raises:
        SourceError: there are none, or they are of several cameras.
    """
    if not images or any(image.camera != images[0].camera for image in images):
        raise SourceError(f"a drive needs images of one camera, got {len(images)} of {len({i.camera for i in images})}")
    compressed = all(image.path.suffix.lower() in (".jpg", ".jpeg") for image in images)
    frames = [
        DriveFrame(i.cam_from_world, i.path.read_bytes if compressed else partial(read_gray, i.path)) for i in images
    ]
    return World("posed images", images[0].camera, rate_hz, compressed, [], frames)
