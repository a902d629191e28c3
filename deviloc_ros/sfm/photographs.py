"""Pose photographs by structure from motion, as `build-map --images FOLDER` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pycolmap

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config
from deviloc_ros.maps.provenance import ARBITRARY_SCALE
from deviloc_ros.sfm.map_networks import Networks
from deviloc_ros.sfm.matches import find_keypoints
from deviloc_ros.sfm.structure import (
    UnposedImage,
    find_images,
    move_images,
    scale_arbitrarily,
    structure_from_motion,
)
from deviloc_ros.sources.base import PosedImage, Source
from deviloc_ros.workers.base import Serial, Workers

FindScale = Callable[[list[PosedImage]], tuple[pycolmap.Sim3d, str]]
"""Returns what brings posed images to their scale, and in words what that rests on."""


def pose_photographs(
    folder: Path | str, camera: Camera | None = None, config: Config | None = None, *, quiet: bool = False
) -> Source:
    """Pose the photographs below a folder by structure from motion.

    Frame and scale are arbitrary: lengths are not metres until the map is aligned (`map align`).

    Args:
        camera: of all photographs; None: one for each lens is estimated, and returned with the images.
        config: that the map will be built with; None: the default.
        quiet: show no progress bars.

    Raises:
        SourceError: no such folder, no usable image in it, or no three that overlap.
    """
    images, unreadable = find_images(Path(folder), camera)
    networks, workers = Networks(config or Config()), Serial(quiet=quiet)
    source = pose_unposed(images, networks, workers, find_arbitrary_scale, known_camera=camera is not None)
    return replace(source, skipped=unreadable + source.skipped)


def pose_unposed(
    images: list[UnposedImage], networks: Networks, workers: Workers, find_scale: FindScale, *, known_camera: bool
) -> Source:
    """Pose images by structure from motion, at the scale that `find_scale` returns; the notes say how it was found.

    Raises:
        SourceError: no three that overlap.
    """
    keypoints = find_keypoints(images, networks, workers)
    posed, skipped = structure_from_motion(images, keypoints, workers, known_camera=known_camera)
    new_from_model, scale = find_scale(posed)
    notes = {"poses": f"structure from motion, {len(posed)} of {len(images)} images", "scale": scale}
    return Source(move_images(posed, new_from_model), skipped, notes)


def find_arbitrary_scale(images: list[PosedImage]) -> tuple[pycolmap.Sim3d, str]:
    """Return the transform to an arbitrary scale, and the note that it is arbitrary."""
    return scale_arbitrarily(images), ARBITRARY_SCALE
