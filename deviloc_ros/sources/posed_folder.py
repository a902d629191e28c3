"""Read a folder of images whose poses are in one file, by the images' names or by times in these names.

By names: lines `NAME QW QX QY QZ TX TY TZ` with cam_from_world, as in hloc and COLMAP. By times: TUM's and EuRoC's
files with world_from_body; an image's name is its time, in seconds for TUM or nanoseconds for EuRoC.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pycolmap

from deviloc_ros.bags.truth import read_truth_file
from deviloc_ros.camera import Camera
from deviloc_ros.io.named_poses import has_named_poses, read_named_poses
from deviloc_ros.io.tum_trajectory import is_time, parse_time, unit_of
from deviloc_ros.sources.base import PosedImage, Skipped, Source, SourceError
from deviloc_ros.sources.photographs import find_photographs

PoseOf = Callable[[str], pycolmap.Rigid3d]
"""world_from_body of an image's name. Raises ValueError: why it has none."""


def read_posed_folder(
    folder: Path | str, poses: Path | str, camera: Camera, body_from_cam: pycolmap.Rigid3d | None = None
) -> Source:
    """Read the images below a folder, in order of their names; those without a pose in the file are skipped.

    Args:
        poses: a file of lines `NAME QW QX QY QZ TX TY TZ` (cam_from_world), or TUM's or EuRoC's, by time.
        body_from_cam: mount of the camera on the body whose poses these are; None: they are the camera's.

    Raises:
        SourceError: no such folder or file, no images, or not one with a pose.
        ValueError: a line of the file is invalid.
    """
    folder, poses, mount = Path(folder), Path(poses), body_from_cam or pycolmap.Rigid3d()
    for path, exists, kind in ((folder, folder.is_dir(), "folder"), (poses, poses.is_file(), "file of poses")):
        if not exists:
            raise SourceError(f"{path}: no such {kind}")
    photographs, unread = find_photographs(folder)
    names = [path.relative_to(folder).as_posix() for path in photographs]
    pose_of = index_by_name(poses) if has_named_poses(poses) else index_by_time(poses, names)
    images, skipped = [], [Skipped(path.relative_to(folder).as_posix(), why) for path, why in unread.items()]
    for name, path in zip(names, photographs, strict=True):
        try:
            images.append(PosedImage(name, path, camera, (pose_of(name) * mount).inverse()))
        except ValueError as error:
            skipped.append(Skipped(name, str(error)))
    if not images:
        why = f"; {skipped[0].name}: {skipped[0].why}" if skipped else ": there are no images in it"
        raise SourceError(f"{folder}: {poses} has the pose of none of {len(names)} images{why}")
    return Source(images, skipped)


def index_by_name(poses: Path) -> PoseOf:
    """Return a function that finds a pose by an image's name."""
    known = read_named_poses(poses)

    def find(name: str) -> pycolmap.Rigid3d:
        if name not in known:
            raise ValueError(f"{poses.name} does not name it; the first that it names is {next(iter(known), '')!r}")
        return known[name].inverse()

    return find


def index_by_time(poses: Path, names: list[str]) -> PoseOf:
    """Return a function that interpolates a pose at the time in an image's name."""
    truth = read_truth_file(poses)
    stems = [Path(name).stem for name in names]
    timed = next((stem for stem in stems if is_time(stem)), None)
    unit = unit_of(timed) if timed is not None else ""

    def find(name: str) -> pycolmap.Rigid3d:
        stem = Path(name).stem
        if not is_time(stem):
            raise ValueError(f"{poses.name} has poses by time, and the image is not named by its time")
        pose = truth.at(parse_time(stem, unit))
        if pose is None:
            first_s, last_s = truth.span_s
            raise ValueError(f"no pose around its time in {poses.name}, which has {first_s:.3f} to {last_s:.3f} s")
        return pose

    return find
