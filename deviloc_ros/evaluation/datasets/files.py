"""Read what all layouts share: lists of names, retrieval pairs, intrinsics and cameras of full-size images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pycolmap

from deviloc_ros.camera import Camera
from deviloc_ros.sources.base import PosedImage, SourceError, read_image_size
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


def read_lines(path: Path) -> list[str]:
    """Return the lines with content, comments left out; raise SourceError naming the file."""
    if not path.is_file():
        raise SourceError(f"{path}: not found; docs/published-method.md says how to get it")
    lines = [line.strip() for line in path.read_text().splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def read_pairs(path: Path) -> dict[str, list[str]]:
    """Read `query reference` lines: the references of each query, in order."""
    pairs: dict[str, list[str]] = {}
    for number, line in enumerate(read_lines(path), 1):
        names = line.split()
        if len(names) != 2:
            raise SourceError(f"{path}: line {number}: expected 'query reference', got {line!r}")
        pairs.setdefault(names[0], []).append(names[1])
    return pairs


def read_intrinsics(path: Path) -> dict[str, Camera]:
    """Read `name MODEL width height parameters…` lines, in COLMAP's pixels."""
    cameras = {}
    for number, line in enumerate(read_lines(path), 1):
        name, *words = line.split()
        try:
            model, width, height, *params = words
            colmap = pycolmap.Camera(
                model=model, width=int(width), height=int(height), params=[float(p) for p in params]
            )
            cameras[name] = camera_from_colmap(colmap)
        except Exception as error:  # pycolmap raises whatever its C++ code throws
            raise SourceError(f"{path}: line {number}: no camera: {' '.join(str(error).split())}") from error
    return cameras


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
