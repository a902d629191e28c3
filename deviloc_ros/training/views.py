"""Store training views, images with sparse landmarks and true depth everywhere, in safetensors shards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import rigid_from_matrix, transform_points
from deviloc_ros.io.atomic import replace_on_success
from deviloc_ros.synthetic.photo import decode_image
from deviloc_ros.types import Landmarks

NOTHING = 65535
FORMAT = "deviloc_ros training views, version 2"


@dataclass(frozen=True, slots=True, eq=False)
class TrainingView:
    """Hold one posed image of a place made of planes, so that its true depth is known at any subpixel position.

    jpeg: (n,) uint8, the gray image. surface_png: (m,) uint8, a 16-bit image with each pixel's plane, or NOTHING.
    planes: (Q, 3) float32 [1/m]; a plane times a ray of z = 1 is the inverse depth. landmark_keypoints: (M, 2) px where
    they were detected; landmark_points_in_world: (M, 3) m as triangulated, with all the errors that has;
    landmark_depth_stds: (M,) as `Landmarks` has them. place: views of one place see the same things, so they belong on
    one side of a data split.
    """

    name: str
    place: str
    camera: Camera
    cam_from_world: pycolmap.Rigid3d
    jpeg: NDArray
    surface_png: NDArray
    planes: NDArray
    landmark_keypoints: NDArray
    landmark_points_in_world: NDArray
    landmark_depth_stds: NDArray

    def gray(self) -> NDArray:
        """Return the (H, W) uint8 image."""
        return decode_image(self.jpeg, cv2.IMREAD_GRAYSCALE)

    def surfaces(self) -> NDArray:
        """Return (H, W) uint16, the plane of each pixel: two neighbours that differ lie on an edge or a crease."""
        return decode_image(self.surface_png, cv2.IMREAD_UNCHANGED)

    def depths_at(self, keypoints: NDArray) -> NDArray:
        """Return (N,) true depths [m] at (N, 2) px inside the image, 0 where there is nothing.

        Exact between pixels, too.
        """
        surfaces = self.surfaces()
        columns, rows = np.clip(np.rint(keypoints).astype(int), 0, np.array(surfaces.shape[::-1]) - 1).T
        plane = surfaces[rows, columns]
        inverse = (self.planes[np.where(plane == NOTHING, 0, plane)] * self.camera.rays(keypoints)).sum(1)
        # At an edge a keypoint can lie just outside the rectangle of its nearest pixel, where that plane may recede.
        seen = (plane != NOTHING) & (inverse > 1e-4)
        return np.where(seen, 1 / np.where(seen, inverse, 1.0), 0.0)

    def landmarks_in_cam(self) -> NDArray:
        """Return (M, 3) landmarks [m] in the camera's frame."""
        return transform_points(self.cam_from_world, self.landmark_points_in_world)

    def landmarks(self) -> Landmarks:
        """Return landmarks as a map has them."""
        ids, stds = np.arange(len(self.landmark_keypoints)), self.landmark_depth_stds
        return Landmarks(ids, self.landmark_keypoints, self.landmark_points_in_world, stds)


ARRAYS = ("jpeg", "surface_png", "planes", "landmark_keypoints", "landmark_points_in_world", "landmark_depth_stds")


def write_shard(path: Path, views: list[TrainingView]) -> None:
    """Write views to one file; it appears complete or not at all."""
    tensors, index = {}, []
    for number, view in enumerate(views):
        for array in ARRAYS:
            tensors[f"{number}.{array}"] = np.ascontiguousarray(getattr(view, array))
        camera = [view.camera.model, view.camera.width, view.camera.height, list(view.camera.params)]
        pose = view.cam_from_world.matrix().tolist()
        index.append({"name": view.name, "place": view.place, "camera": camera, "cam_from_world": pose})
    with replace_on_success(path) as unfinished:
        save_file(tensors, unfinished, {"format": FORMAT, "views": json.dumps(index)})


def read_shard(path: Path) -> list[TrainingView]:
    """Read the views of one file.

    Raises:
        ValueError: not a file of training views of this version.
    """
    with safe_open(path, "numpy") as file:
        metadata = file.metadata() or {}
        if metadata.get("format") != FORMAT:
            raise ValueError(f"{path}: not {FORMAT}")
        views = []
        for number, entry in enumerate(json.loads(metadata["views"])):
            model, width, height, params = entry["camera"]
            camera = Camera(model, width, height, tuple(params))
            pose = rigid_from_matrix(np.array(entry["cam_from_world"]))
            arrays = {array: file.get_tensor(f"{number}.{array}") for array in ARRAYS}
            views.append(TrainingView(entry["name"], entry["place"], camera, pose, **arrays))
    return views


def shard_paths(folder: Path) -> list[Path]:
    """Return the finished shards of a folder, in order."""
    return sorted(folder.glob("views-*.safetensors"))


def read_views(folder: Path) -> Iterator[TrainingView]:
    """Yield all views of a folder, in order, shard by shard.

    Raises:
        ValueError: there are none.
    """
    paths = shard_paths(folder)
    if not paths:
        raise ValueError(f"{folder} holds no training views (views-*.safetensors)")
    for path in paths:
        yield from read_shard(path)
