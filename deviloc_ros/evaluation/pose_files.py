"""Compare pose files of the same images, from any program, by name or by time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pycolmap

from deviloc_ros.bags.truth import Truth, read_truth_file
from deviloc_ros.evaluation.metrics import is_wrong_fix, median_errors, recall_by_threshold
from deviloc_ros.evaluation.summary_table import align_table
from deviloc_ros.geometry import rigid_from_matrix, rigid_from_quaternion, rotation_distance_deg, translation_distance_m
from deviloc_ros.io.named_poses import has_named_poses, read_named_poses
from deviloc_ros.io.plain_files import read_json, read_text
from deviloc_ros.io.tum_trajectory import is_number, is_time, parse_time, read_tum, unit_of
from deviloc_ros.maps.alignment.known_positions import fit_poses
from deviloc_ros.maps.alignment.similarity import move_pose
from deviloc_ros.maps.manifest import MANIFEST
from deviloc_ros.maps.store import Map
from deviloc_ros.sources.base import SourceError
from deviloc_ros.sources.colmap import find_model, open_reconstruction
from deviloc_ros.sources.nerfstudio import read_file_path, to_cam_from_world

KINDS = (
    "lines `NAME QW QX QY QZ TX TY TZ` (cam_from_world, as hloc), a COLMAP model, a map, a file of `localize --json`, "
    "a transforms.json, TUM's and EuRoC's poses of the camera by time, or KITTI's by number"
)
ALIGNMENTS = ("rigid", "similarity")
COLUMNS = ("poses", "given", "median", "2cm 2deg", "5cm 5deg", "10cm 5deg", "wrong")
KITTI_NUMBERS = 12  # of a line: a 3 x 4 matrix
WORST = 3  # images that are named


@dataclass(frozen=True, slots=True, eq=False)
class PoseFile:
    """Hold cam_from_world by name, and the names of images that were asked and have none.

    times: world_from_body, where the names are times [ns]. cam_from_body: of what it holds the poses, there and by
    name.
    """

    path: Path
    poses: Mapping[str, pycolmap.Rigid3d]
    lost: frozenset[str] = frozenset()
    times: Truth | None = None
    cam_from_body: pycolmap.Rigid3d = field(default_factory=pycolmap.Rigid3d)


@dataclass(frozen=True, slots=True, eq=False)
class PoseError:
    """Hold the errors of an image's pose, in the unit of the truth; NaN without a pose."""

    name: str
    translation_m: float = np.nan
    rotation_deg: float = np.nan
    scene_m: float = 1.0

    @property
    def localized(self) -> bool:
        """Return whether there is a pose."""
        return bool(np.isfinite(self.translation_m))


def read_pose_file(path: Path) -> PoseFile:
    """Read poses of any of KINDS, which is recognized by the content.

    Raises:
        OSError: it cannot be read.
        ValueError: it is of an unknown kind, or damaged; the message names it.
    """
    if path.is_dir():
        if (path / MANIFEST).is_file():
            return PoseFile(path, {record.name: record.cam_from_world for record in Map.open(path).records})
        model = open_reconstruction(find_model(path))
        return PoseFile(path, {one.name: one.cam_from_world() for one in model.images.values() if one.has_pose})
    if path.suffix.lower() == ".json":
        return read_results(path)
    if not path.is_file():
        raise SourceError(f"{path}: no such file; poses are read from {KINDS}")
    if has_named_poses(path):
        return PoseFile(path, read_named_poses(path))
    if (matrices := read_kitti_poses(path)) is not None:
        return PoseFile(path, {f"{number:06d}": pose.inverse() for number, pose in enumerate(matrices)})
    poses = {str(time_ns): pose.inverse() for time_ns, pose in read_tum(path)}
    return PoseFile(path, poses, times=read_truth_file(path))


def read_kitti_poses(path: Path) -> list[pycolmap.Rigid3d] | None:
    """Return world_from_cam of each line of 12 numbers, as KITTI's poses.txt has them; None if the first has not.

    Raises:
        ValueError: naming file and line.
    """
    lines = [line.split() for line in read_text(path, errors="replace").splitlines() if line.strip()]
    if not lines or len(lines[0]) != KITTI_NUMBERS or not all(map(is_number, lines[0])):
        return None
    poses = []
    for number, words in enumerate(lines, 1):
        try:
            if len(words) != KITTI_NUMBERS:
                raise ValueError(f"expected {KITTI_NUMBERS} numbers, as in the first line, got {len(words)}")
            poses.append(rigid_from_matrix(np.reshape([float(word) for word in words], (3, 4))))
        except ValueError as error:
            raise SourceError(f"{path}:{number}: {error}") from error
    return poses


def mount_camera(file: PoseFile, body_from_cam: pycolmap.Rigid3d) -> PoseFile:
    """Return the poses of a camera from those of the body that carries it."""
    return replace(file, cam_from_body=body_from_cam.inverse())


def read_results(path: Path) -> PoseFile:
    """Read what `localize --json` wrote, or a transforms.json. Raises ValueError."""
    content = read_json(path)
    poses, lost = {}, []
    try:
        if isinstance(content, dict):  # the images themselves need not be there
            frames = content["frames"]
            return PoseFile(path, {read_file_path(one): to_cam_from_world(one["transform_matrix"]) for one in frames})
        for record in content:
            if "world_from_cam" in record:
                pose = record["world_from_cam"]
                poses[str(record["image"])] = rigid_from_quaternion(
                    pose["rotation_xyzw"], pose["translation_m"]
                ).inverse()
            else:
                lost.append(str(record["image"]))
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(f"{path}: neither a transforms.json nor what `localize --json` writes: {error!r}") from error
    return PoseFile(path, poses, frozenset(lost))


def read_times(names: Iterable[str], files: Iterable[PoseFile]) -> dict[str, int]:
    """Return the times [ns] of names: of those by which files have poses by time, and of images named by their time.

    There are none where all files have poses by name: `20230101120000` need not be a time then.

    Raises:
        ValueError: it is unclear in what unit images are named.
    """
    files = [file for file in files if file.times is not None]
    if not files:
        return {}
    stated = {name: int(name) for file in files for name in file.poses}
    others = {name: stem_of(name) for name in names if name not in stated and is_time(stem_of(name))}
    unit = next(map(unit_of, others.values()), "")
    return stated | {name: parse_time(stem, unit) for name, stem in others.items()}


def match_poses(file: PoseFile, names: Iterable[str], times: Mapping[str, int]) -> dict[str, pycolmap.Rigid3d]:
    """Return the pose that a file has of each name: by the same name, by one that ends alike, or at its time.

    Args:
        times: as `read_times` returns them.
    """
    names = list(names)
    if file.times is not None:
        timed = {name: file.times.at(times[name]) for name in names if name in times}
        return {name: file.cam_from_body * pose.inverse() for name, pose in timed.items() if pose is not None}
    other = pair_names(names, file.poses)
    return {name: file.cam_from_body * file.poses[other[name]] for name in names if name in other}


def stem_of(name: str) -> str:
    """Return a name without folders and image suffix; the decimals of a time are not a suffix."""
    last = PurePosixPath(name)
    return last.name if last.suffix[1:].isdigit() else last.stem


def pair_names(names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Return for each name the matching known one: the same, or the only one that differs in folders or suffix.

    A known name that matches several names is not used.
    """
    known = list(known)
    same, alike = set(known), defaultdict(list)
    for one in known:
        alike[stem_of(one)].append(one)
    pairs = {}
    for name in names:
        found = [name] if name in same else [one for one in alike[stem_of(name)] if end_alike(name, one)]
        if len(found) == 1:
            pairs[name] = found[0]
    asked = Counter(pairs.values())
    return {name: one for name, one in pairs.items() if name == one or asked[one] == 1}


def end_alike(one: str, other: str) -> bool:
    """Return whether one of two paths ends with the other, ignoring suffixes."""
    parts = [PurePosixPath(path).parts[:-1] for path in (one, other)]
    shorter, longer = sorted(parts, key=len)
    return longer[len(longer) - len(shorter) :] == shorter


def measure_errors(
    truth: PoseFile, estimate: PoseFile, names: Sequence[str], times: Mapping[str, int], alignment: str = ""
) -> tuple[list[PoseError], str]:
    """Return the error of each image, and in words how the poses were aligned, empty if they were not.

    Args:
        names: of images, as the estimate has them. times: as `read_times` returns them.
        alignment: empty, or one of ALIGNMENTS.

    Raises:
        ValueError: the poses have too little in common for an alignment.
    """
    true, given, moved = match_poses(truth, names, times), match_poses(estimate, names, times), ""
    if alignment:
        fit, moved = fit_poses(given, true, rigid=alignment == "rigid")
        given = {name: move_pose(fit, pose) for name, pose in given.items()}
    errors = []
    for name in names:
        if name in true and name in given:
            errors.append(
                PoseError(
                    name,
                    translation_distance_m(given[name], true[name]),
                    rotation_distance_deg(given[name], true[name]),
                )
            )
        elif name in true:
            errors.append(PoseError(name))
    return errors, moved


def summarize_errors(errors: Sequence[PoseError]) -> dict[str, Any]:
    """Return the figures of a file; images without a pose count as misses."""
    translation_m, rotation_deg = median_errors(errors)
    return {
        "images": len(errors),
        "given": sum(error.localized for error in errors),
        "wrong": sum(is_wrong_fix(error.translation_m, error.rotation_deg) for error in errors),
        "median_translation": translation_m if np.isfinite(translation_m) else None,
        "median_rotation_deg": rotation_deg if np.isfinite(rotation_deg) else None,
        "recall": recall_by_threshold(errors),
        "worst": [error.name for error in sort_worst(errors)[:WORST]],
    }


def sort_worst(errors: Sequence[PoseError]) -> list[PoseError]:
    """Return the errors of localized images, the largest distance first."""
    return sorted((error for error in errors if error.localized), key=lambda error: -error.translation_m)


def format_comparison(summaries: Mapping[str, dict[str, Any]]) -> str:
    """Return a table with a line for each file."""
    rows = []
    for name, summary in summaries.items():
        median = "more than half have none"
        if summary["median_translation"] is not None:
            median = f"{summary['median_translation'] * 100:.2f} cm, {summary['median_rotation_deg']:.2f} deg"
        recall = (f"{summary['recall'][key]:.2f}" for key in ("2cm_2deg", "5cm_5deg", "10cm_5deg"))
        rows.append((name, f"{summary['given']} / {summary['images']}", median, *recall, str(summary["wrong"])))
    return align_table(COLUMNS, rows)
