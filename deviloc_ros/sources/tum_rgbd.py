"""Read posed images of a TUM RGB-D sequence: `rgb.txt` names images by time, `groundtruth.txt` has world_from_cam.

`depth.txt` names depth images by time; they are registered to the colour images.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pycolmap

from deviloc_ros.bags.truth import read_truth_file
from deviloc_ros.camera import Camera
from deviloc_ros.io.plain_files import read_text
from deviloc_ros.io.tum_trajectory import parse_seconds
from deviloc_ros.sources.base import PosedImage, Skipped, Source, SourceError

# The colour cameras of the data set's page on file formats: fx, fy, cx, cy, k1, k2, p1, p2, k3.
CALIBRATIONS = {
    "1": (517.3, 516.5, 318.6, 255.3, 0.2624, -0.9531, -0.0054, 0.0026, 1.1633),
    "2": (520.9, 521.0, 325.1, 249.7, 0.2312, -0.7849, -0.0033, -0.0001, 0.9172),
    "3": (535.4, 539.2, 320.1, 247.6, 0.0, 0.0, 0.0, 0.0, 0.0),
}

UNITS_PER_M = 5000.0  # of depth images
MAX_DEPTH_GAP_NS = 20_000_000  # as the data set's own script associates images

PoseAt = Callable[[int], pycolmap.Rigid3d | None]
"""world_from_cam at a time [ns]; None where it is not known."""


def read_tum_sequence(folder: Path | str, pose_at: PoseAt | None = None, camera: Camera | None = None) -> Source:
    """Read the images of a sequence; those in a gap of `groundtruth.txt` are skipped.

    Args:
        pose_at: returns world_from_cam at a time [ns], None if unknown; default: groundtruth.txt, interpolated.
        camera: default: the data set's camera in the folder's name, as `freiburg1`.

    Raises:
        SourceError: no `rgb.txt`, an invalid line in it, or no calibration.
        ValueError: no `groundtruth.txt`, or an invalid line in it.
    """
    folder = Path(folder)
    camera = camera or camera_by_name(folder)
    pose_at = pose_at or read_truth_file(folder / "groundtruth.txt").at
    images, skipped = [], []
    for time_ns, name in read_list(folder / "rgb.txt"):
        world_from_cam = pose_at(time_ns)
        if world_from_cam is None:
            skipped.append(Skipped(name, "no pose in groundtruth.txt around its time"))
        else:
            images.append(PosedImage(name, folder / name, camera, world_from_cam.inverse()))
    return Source(images, skipped)


def index_depth(folder: Path) -> Callable[[PosedImage], Path | None]:
    """Return a function that finds the depth image of `depth.txt` nearest in time; it returns None if none is near.

    Raises:
        SourceError: no such list, or an invalid line in it.
    """
    entries = sorted(read_list(folder / "depth.txt"))
    times_ns = np.array([time_ns for time_ns, _ in entries])
    of_image = {name: time_ns for time_ns, name in read_list(folder / "rgb.txt")}

    def nearest(image: PosedImage) -> Path | None:
        gaps_ns = np.abs(times_ns - of_image[image.name])
        if not len(gaps_ns) or gaps_ns.min() > MAX_DEPTH_GAP_NS:
            return None
        return folder / entries[int(gaps_ns.argmin())][1]

    return nearest


def read_list(path: Path) -> list[tuple[int, str]]:
    """Read time [ns] and file of each line. Raises SourceError naming file and line."""
    if not path.is_file():
        raise SourceError(f"{path}: not found")
    entries = []
    for number, line in enumerate(read_text(path, errors="replace").splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            try:
                seconds, name = line.split(maxsplit=1)
                entries.append((parse_seconds(seconds), name.strip()))
            except ValueError as error:
                raise SourceError(f"{path}:{number}: expected a time and a file, got {line[:80]!r}") from error
    return entries


def camera_by_name(folder: Path) -> Camera:
    """Return the data set's camera. Raises SourceError if the folder is not named like one of its sequences."""
    found = re.search(r"(?:freiburg|fr)([123])", folder.resolve().name)
    if found is None:
        raise SourceError(
            f"{folder}: not named like a sequence of the data set, as rgbd_dataset_freiburg1_desk; give --camera"
        )
    *params, k3 = CALIBRATIONS[found[1]]
    if not any(params[4:]):
        return Camera("PINHOLE", 640, 480, tuple(params[:4]))
    return Camera("FULL_OPENCV", 640, 480, (*params, k3, 0.0, 0.0, 0.0))
