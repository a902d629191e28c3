"""Read posed images of KITTI odometry: a projection, a list of poses, a folder of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import rigid_from_matrix
from deviloc_ros.io.plain_files import read_text
from deviloc_ros.sources.base import PosedImage, Skipped, Source, SourceError, read_image_size, read_numbers

FOLDERS = {
    "image_0": 0,
    "image_l": 0,
    "image_2": 2,
    "image_1": 1,
    "image_3": 3,
}  # and the camera whose images they hold


def read_kitti(folder: Path | str, image_folder: str = "") -> Source:
    """Read `calib.txt` (P0 to P3), `poses.txt` (world_from_cam of camera 0, 3 x 4 a line) and images.

    Images are those of the left gray camera if there are any, else of the left colour camera, else of a right one.
    """
    folder = Path(folder)
    names = (image_folder,) if image_folder else tuple(FOLDERS)
    images_at = next((folder / name for name in names if (folder / name).is_dir()), None)
    if images_at is None:
        raise SourceError(f"{folder}: no image folder, looked for {', '.join(names)}")
    paths = sorted(p for p in images_at.iterdir() if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
    projection = read_projection(folder / "calib.txt", FOLDERS.get(images_at.name, 0))
    poses = read_numbers(folder / "poses.txt", (-1, 12))
    if len(poses) != len(paths) or not paths:
        raise SourceError(f"{folder / 'poses.txt'}: {len(poses)} poses for {len(paths)} images in {images_at.name}")
    width, height = read_image_size(paths[0])
    fx, fy, cx, cy = projection[[0, 1, 0, 1], [0, 1, 2, 2]].tolist()
    try:
        camera = Camera("PINHOLE", width, height, (fx, fy, cx, cy))
    except ValueError as error:
        raise SourceError(f"{folder / 'calib.txt'}: {error}") from error
    cam_from_first = camera_from_first(projection)
    images, skipped = [], []
    for path, pose in zip(paths, poses, strict=True):
        try:
            images.append(
                PosedImage(path.name, path, camera, cam_from_first * rigid_from_matrix(pose.reshape(3, 4)).inverse())
            )
        except ValueError as error:
            skipped.append(Skipped(path.name, f"poses.txt: {error}"))
    return Source(images, skipped)


def read_projection(path: Path, camera: int) -> NDArray:
    """Read a camera's 3 x 4 projection in a calib.txt: the line named `P2:`, or by number where lines have no names.

    A file of fewer lines has those of the gray cameras, or one that is meant for all.
    """
    if not path.is_file():
        raise SourceError(f"{path}: not found")
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    named = dict(line.split(":", 1) for line in lines if ":" in line)
    if named and f"P{camera}" not in named:
        raise SourceError(f"{path}: no P{camera} in it, only {', '.join(named)}")
    chosen = named.get(f"P{camera}") or (lines[camera] if camera < len(lines) else "".join(lines[:1]))
    try:
        return np.array(chosen.split(), float).reshape(3, 4)
    except ValueError as error:
        raise SourceError(f"{path}: P{camera} is not a 3 x 4 projection: {error}") from error


def camera_from_first(projection: NDArray) -> pycolmap.Rigid3d:
    """Return camera_from_first by its projection; poses are of the first, the left gray camera.

    All of KITTI's projections share one rotation.
    """
    shift = np.linalg.solve(projection[:, :3], projection[:, 3])
    return pycolmap.Rigid3d(pycolmap.Rotation3d(), shift)
