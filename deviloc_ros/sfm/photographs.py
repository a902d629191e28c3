"""Pose photographs of which nothing is known, as `build-map --images FOLDER` does."""

from __future__ import annotations

from pathlib import Path

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config
from deviloc_ros.maps.provenance import ARBITRARY_SCALE
from deviloc_ros.sfm.map_networks import Networks
from deviloc_ros.sfm.matches import find_keypoints
from deviloc_ros.sfm.structure import find_images, move_images, scale_arbitrarily, structure_from_motion
from deviloc_ros.sources.base import Source
from deviloc_ros.workers.base import Serial


def pose_photographs(
    folder: Path | str, camera: Camera | None = None, config: Config | None = None, *, quiet: bool = False
) -> Source:
    """Find where the photographs below a folder were taken, from nothing but themselves, by structure from motion.

    Frame and scale are the result's own: lengths are not metres until the map is aligned (`map align`).

    Args:
        camera: of all of them; None: one for each lens is estimated, and is with the images that are returned.
        config: what the map will be built with, where that is not the default.
        quiet: show no bars of progress.

    Raises:
        SourceError: no such folder, no usable image in it, or no three that overlap.
    """
    workers = Serial(quiet=quiet)
    images, unreadable = find_images(Path(folder), camera)
    keypoints = find_keypoints(images, Networks(config or Config()), workers)
    posed, skipped = structure_from_motion(images, keypoints, workers, known_camera=camera is not None)
    moved = move_images(posed, scale_arbitrarily(posed))
    notes = {"poses": f"structure from motion, {len(posed)} of {len(images)} images", "scale": ARBITRARY_SCALE}
    return Source(moved, unreadable + skipped, notes)
