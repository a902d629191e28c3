"""Hold what all layouts share: scenes, their queries, and cameras of full-size images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pycolmap

from deviloc_ros.camera import Camera
from deviloc_ros.sources.base import PosedImage, read_image_size
from deviloc_ros.sources.colmap import camera_from_colmap, camera_to_colmap


@dataclass(frozen=True, slots=True, eq=False)
class BenchmarkQuery:
    """Hold an image to localize; `cam_from_world` is None where only the benchmark's server knows it.

    submitted: its name in a submission file.
    """

    name: str
    path: Path
    camera: Camera
    cam_from_world: pycolmap.Rigid3d | None = None
    submitted: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class BenchmarkScene:
    """Hold one map and its queries.

    candidates: names of the views to match each query with, best first; empty: the map's own retrieval.
    """

    name: str
    map_images: list[PosedImage]
    queries: list[BenchmarkQuery]
    candidates: dict[str, list[str]]


def scale_to_file(image: PosedImage) -> PosedImage:
    """Return the image with its camera and landmarks scaled to the size of its file."""
    width, height = read_image_size(image.path)
    if (width, height) == (image.camera.width, image.camera.height):
        return image
    scale = np.array([width / image.camera.width, height / image.camera.height])
    colmap = camera_to_colmap(image.camera, 1)
    colmap.rescale(width, height)
    landmarks = image.landmarks
    if landmarks is not None:
        landmarks = replace(landmarks, keypoints=(landmarks.keypoints + 0.5) * scale - 0.5)
    return replace(image, camera=camera_from_colmap(colmap), landmarks=landmarks)
