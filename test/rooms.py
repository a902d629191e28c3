"""A rendered room whose surfaces are known: images of it, and maps made from them. Rendered once a session."""

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
from worlds import SMALL, TRAINED_MATCHERS

from deviloc_ros.config import Config
from deviloc_ros.config_fields import from_dict
from deviloc_ros.mapping.build import MapBuilder, make_graph
from deviloc_ros.mapping.views import BuildReport
from deviloc_ros.maps.store import Map
from deviloc_ros.matching import create_matcher
from deviloc_ros.sfm.map_networks import Networks
from deviloc_ros.sfm.matches import MatchGraph
from deviloc_ros.sources.base import PosedImage, Source
from deviloc_ros.synthetic.render import render_color, render_depth
from deviloc_ros.synthetic.room import make_room
from deviloc_ros.synthetic.scene import Scene
from deviloc_ros.synthetic.trajectory import make_smooth_path
from deviloc_ros.workers.base import Serial

KEYPOINTS = 1024
QUIET = Serial(quiet=True)


def room_config(matcher: str = "xfeat") -> Config:
    """Return a config whose networks see the room's small images as they are: that is faster."""
    return from_dict(Config(), {"matcher": {"name": matcher, "max_keypoints": KEYPOINTS, "min_image_side_px": 0}})


@cache
def room_matcher(name: str):
    return create_matcher(room_config(name).matcher)


@dataclass(eq=False)
class Room:
    """A room with its mapped images, and poses between them."""

    folder: Path
    scene: Scene
    images: list[PosedImage]
    query_poses: list[pycolmap.Rigid3d]
    camera = SMALL

    def depth(self, cam_from_world: pycolmap.Rigid3d) -> np.ndarray:
        return render_depth(self.scene, SMALL, cam_from_world)

    @cached_property
    def queries(self) -> list[np.ndarray]:
        """(H, W, 3) BGR, one for each of `query_poses`."""
        return [render_color(self.scene, SMALL, pose) for pose in self.query_poses]

    @cached_property
    def graph(self) -> MatchGraph:
        """SIFT matches between the mapped images: the same for every map of them."""
        return make_graph(self.images, Networks(room_config()), QUIET)

    def build(self, output: Path, config: Config | None = None, images=None, **options) -> BuildReport:
        config = config or room_config()
        images = self.images if images is None else images
        source = images if isinstance(images, Source) else Source(images, [])
        own_matcher = options.pop("own_matcher", False)
        networks = Networks(config, None if own_matcher else room_matcher(config.matcher.name))
        return MapBuilder(networks, QUIET).build(source, output, **{"graph": self.graph} | options)


def render_room(seed: int, folder: Path) -> Room:
    rng = np.random.default_rng(seed)
    scene = make_room(rng)
    scene.free_low[2] = scene.free_high[2] = 1.1
    target = (scene.free_low + scene.free_high) / 2 + [0, 0.6 * scene.free_high[1], 0]
    poses = make_smooth_path(scene, rng, 13, target, span=0.2)
    images = []
    for number, pose in enumerate(poses[::2]):
        path = folder / f"view-{number}.png"
        cv2.imwrite(str(path), render_color(scene, SMALL, pose))
        images.append(PosedImage(path.name, path, SMALL, pose))
    return Room(folder, scene, images, poses[1::4])


@pytest.fixture(scope="session")
def room(tmp_path_factory) -> Room:
    return render_room(0, tmp_path_factory.mktemp("room"))


@pytest.fixture(scope="session")
def room_folder(room) -> Path:
    """The room's map for `xfeat`, as a folder; whoever wants to damage it makes a copy."""
    room.build(room.folder / "xfeat.map")
    return room.folder / "xfeat.map"


@pytest.fixture(scope="session")
def room_map(room_folder) -> Map:
    return Map.open(room_folder)


@pytest.fixture(scope="session", params=TRAINED_MATCHERS)
def room_map_of_each_matcher(request, room, room_folder) -> Map:
    path = room.folder / f"{request.param}.map"
    if not path.exists():
        room.build(path, room_config(request.param))
    return Map.open(path)
