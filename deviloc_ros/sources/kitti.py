"""Posed images of KITTI odometry: a projection, a list of poses, a folder of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import rigid_from_matrix
from deviloc_ros.sources.base import PosedImage, Skipped, Source, SourceError, image_size, read_numbers


def read_kitti(folder: Path, image_folder: str = "image_l") -> Source:
    """KITTI odometry: `calib.txt` (P0 on its first line), `poses.txt` (world_from_cam, 3 x 4 a line), images."""
    candidates = [folder / name for name in (image_folder, "image_0", "image_l")]
    images_at = next((c for c in candidates if c.is_dir()), None)
    if images_at is None:
        raise SourceError(f"{folder}: no image folder, looked for {', '.join(c.name for c in candidates)}")
    paths = sorted(p for p in images_at.iterdir() if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
    projection = read_projection(folder / "calib.txt")
    poses = read_numbers(folder / "poses.txt", (-1, 12))
    if len(poses) != len(paths) or not paths:
        raise SourceError(f"{folder / 'poses.txt'}: {len(poses)} poses for {len(paths)} images in {images_at.name}")
    width, height = image_size(paths[0])
    fx, fy, cx, cy = projection[[0, 1, 0, 1], [0, 1, 2, 2]].tolist()
    try:
        camera = Camera("PINHOLE", width, height, (fx, fy, cx, cy))
    except ValueError as error:
        raise SourceError(f"{folder / 'calib.txt'}: {error}") from error
    images, skipped = [], []
    for path, pose in zip(paths, poses, strict=True):
        try:
            images.append(PosedImage(path.name, path, camera, rigid_from_matrix(pose.reshape(3, 4)).inverse()))
        except ValueError as error:
            skipped.append(Skipped(path.name, f"poses.txt: {error}"))
    return Source(images, skipped)


def read_projection(path: Path) -> NDArray:
    """The first 3 x 4 projection of a calib.txt, with or without its `P0:`."""
    if not path.is_file():
        raise SourceError(f"{path}: not found")
    try:
        first = path.read_text().strip().partition("\n")[0]
        return np.array(first.split(":")[-1].split(), float).reshape(3, 4)
    except ValueError as error:
        raise SourceError(f"{path}: first line is not a 3 x 4 projection: {error}") from error
