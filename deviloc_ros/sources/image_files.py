"""Find images that a file of poses names, also with another suffix or slashes, and in folders of scaled images."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.io.suggestions import suggest
from deviloc_ros.sources.base import PosedImage, SourceError, read_image_size
from deviloc_ros.sources.photographs import SUFFIXES

ENDINGS = (".png", *SUFFIXES)  # tried in this order; instant-ngp leaves out .png
SCALED_FOLDER = re.compile(r"(.+)_([2-9]|\d\d+)")  # images_4: a quarter of the width
SCALES = (2, 4, 8)


def find_image(folder: Path, name: str) -> Path:
    """Return the file with a name, which may have backslashes, or another suffix, or none.

    Raises:
        SourceError: there is none; the message suggests the most similar name.
    """
    names = dict.fromkeys((name, name.replace("\\", "/")))
    for candidate in names:
        path = folder / candidate
        if path.is_file():
            return path
        for suffix in (*ENDINGS, *(suffix.upper() for suffix in ENDINGS)):
            for other in (path.with_name(path.name + suffix), path.with_suffix(suffix)):
                if other.is_file():
                    return other
    path = folder / list(names)[-1]
    if (scaled := find_in_scaled_folder(path)) is not None:
        return scaled
    raise SourceError(f"{path}: no such image{suggest_nearest(path)}")


def find_in_scaled_folder(path: Path) -> Path | None:
    """Return the image with the same name in a folder such as `images_2`, if `images` itself is missing."""
    if path.parent.is_dir():
        return None
    for scale in SCALES:
        scaled = path.parent.with_name(f"{path.parent.name}_{scale}") / path.name
        if scaled.is_file():
            return scaled
    return None


def suggest_nearest(path: Path) -> str:
    """Return "; did you mean ...?" if the folder has a file with a similar name, or that the folder is missing."""
    if not path.parent.is_dir():
        return f", nor a folder {path.parent}"
    return suggest(path.name, [other.name for other in path.parent.iterdir()])


def fit_to_scaled_file(camera: Camera, path: Path) -> Camera:
    """Return the camera scaled to an image in a folder such as `images_4`, which has a fourth of the camera's size.

    For other images the camera is unchanged, so that a wrong size is noticed later.

    Raises:
        SourceError: the file is not an image.
    """
    found = next((m for part in reversed(path.parent.parts) if (m := SCALED_FOLDER.fullmatch(part))), None)
    if found is None:
        return camera
    width, height = read_image_size(path)
    scale = int(found[2])
    if abs(camera.width / scale - width) >= 1 or abs(camera.height / scale - height) >= 1:
        return camera
    return scale_camera(camera, width, height)


def scale_camera(camera: Camera, width: int, height: int) -> Camera:
    """Return the camera of a resized image; the image's outer borders stay fixed."""
    scaled = pycolmap.Camera(model=camera.model, width=camera.width, height=camera.height, params=list(camera.params))
    from_border = np.zeros(len(camera.params))  # where sizes are counted from
    from_border[list(scaled.principal_point_idxs())] = 0.5
    scaled.params = (np.array(scaled.params) + from_border).tolist()
    scaled.rescale(width, height)
    return Camera(camera.model, width, height, tuple((np.array(scaled.params) - from_border).tolist()))


def scale_pixels(pixels: NDArray, camera: Camera, scaled: Camera) -> NDArray:
    """Map (N, 2) pixels of an image to the same image at another size."""
    factors = np.array([scaled.width / camera.width, scaled.height / camera.height])
    return (pixels + 0.5) * factors - 0.5


def fit_images(images: list[PosedImage]) -> list[PosedImage]:
    """Return posed images with their files found, and cameras and landmarks scaled to these.

    The scale is taken from one file per folder and camera.
    """
    cameras: dict[tuple[Camera, Path], Camera] = {}
    fitted = []
    for image in images:
        folder = image.path
        for _ in Path(image.name).parts:
            folder = folder.parent
        try:
            path = find_image(folder, image.name)
            key = (image.camera, path.parent)
            if key not in cameras:
                cameras[key] = fit_to_scaled_file(image.camera, path)
        except SourceError:  # whoever reads it says so
            fitted.append(image)
            continue
        camera, landmarks = cameras[key], image.landmarks
        if landmarks is not None and camera != image.camera:
            landmarks = replace(landmarks, keypoints=scale_pixels(landmarks.keypoints, image.camera, camera))
        fitted.append(replace(image, path=path, camera=camera, landmarks=landmarks))
    return fitted
