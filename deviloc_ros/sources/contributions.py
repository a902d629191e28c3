"""Write and read contributions: images that a robot localized with certainty, kept to extend its map.

An entry of the folder is `NAME.json` (camera, pose in the map, covariance), `NAME.jpg`, and `NAME.mask.png` if only a
part of the image is used. The JSON is written last: without it there is no entry.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import rigid_from_quaternion
from deviloc_ros.io.atomic import replace_on_success
from deviloc_ros.io.plain_files import read_json
from deviloc_ros.masks import Mask
from deviloc_ros.sources.base import PosedImage, Skipped, SourceError

MAX_BYTES = 1 << 16  # of an entry's JSON
JPEG_QUALITY = 95
IMAGE, MASK, ENTRY = ".jpg", ".mask.png", ".json"


@dataclass(frozen=True, slots=True, eq=False)
class Contribution:
    """Hold an image that was kept.

    covariance: as in `Localized`. inliers: of its pose. map_id: identity of the map in which it was localized.
    """

    name: str
    path: Path
    camera: Camera
    cam_from_world: pycolmap.Rigid3d
    covariance: NDArray
    inliers: int
    map_id: str
    mask: Mask | None = None

    def to_posed_image(self) -> PosedImage:
        """Return the entry as a posed image."""
        return PosedImage(self.path.name, self.path, self.camera, self.cam_from_world, mask=self.mask)


def pack_contribution(kept: Contribution, gray: NDArray, used: NDArray | None) -> dict[str, bytes]:
    """Return the content of an entry's files by suffix, in the order in which to write them.

    Args:
        gray: (H, W) uint8.
        used: (H, W) bool, which pixels; None: all.
    """
    lens, pose = kept.camera, kept.cam_from_world
    content = {
        "camera": {"model": lens.model, "width": lens.width, "height": lens.height, "params": list(lens.params)},
        "rotation_xyzw": pose.rotation.quat.tolist(),
        "translation_m": pose.translation.tolist(),
        "covariance": kept.covariance.tolist(),
        "inliers": kept.inliers,
        "map_id": kept.map_id,
    }
    files = {IMAGE: encode(gray, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])}
    if used is not None:
        files[MASK] = encode(255 * used.astype(np.uint8), ".png", [])
    return files | {ENTRY: json.dumps(content).encode()}


def write_contribution(folder: Path, name: str, files: Mapping[str, bytes]) -> None:
    """Write the files of an entry. On OSError none of them is left."""
    try:
        for suffix, data in files.items():
            with replace_on_success(folder / f"{name}{suffix}") as beside:
                beside.write_bytes(data)
    except OSError:
        for suffix in files:
            with suppress(OSError):
                (folder / f"{name}{suffix}").unlink()
        raise


def encode(pixels: NDArray, suffix: str, options: list[int]) -> bytes:
    """Encode an image as the bytes of a file."""
    return cv2.imencode(suffix, pixels, options)[1].tobytes()


def delete_contribution(folder: Path, name: str) -> None:
    """Delete those files of an entry that exist, its JSON first. Raises OSError."""
    for suffix in (ENTRY, IMAGE, MASK):
        (folder / f"{name}{suffix}").unlink(missing_ok=True)


def measure_contribution(folder: Path, name: str) -> int:
    """Return the size of an entry in bytes."""
    files = (folder / f"{name}{suffix}" for suffix in (ENTRY, IMAGE, MASK))
    return sum(file.stat().st_size for file in files if file.is_file())


def read_contributions(folder: Path) -> tuple[list[Contribution], list[Skipped]]:
    """Read the entries of a folder, by name; also return those that cannot be used.

    Raises:
        SourceError: there is no such folder, or no entry in it.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder")
    kept: list[Contribution] = []
    skipped = []
    for path in list_entries(folder):
        try:
            kept.append(read_contribution(path))
        except ValueError as error:
            skipped.append(Skipped(path.stem, str(error)))
    if not kept and not skipped:
        raise SourceError(f"{folder}: holds no contribution, a NAME{ENTRY} beside NAME{IMAGE}")
    return kept, skipped


def list_entries(folder: Path) -> Iterator[Path]:
    """Yield the JSON files of a folder by name, except those being written, whose names begin with a dot."""
    yield from sorted(path for path in folder.glob(f"*{ENTRY}") if not path.name.startswith("."))


def read_contribution(path: Path) -> Contribution:
    """Read the entry with this JSON file. Raises SourceError naming the file and what is wrong with it."""
    image = path.with_suffix(IMAGE)
    try:
        kept = parse_contribution(path.stem, image, read_json(path, MAX_BYTES))
    except KeyError as error:
        raise SourceError(f"{path}: field {error} is missing") from error
    except (OSError, ValueError, TypeError, OverflowError) as error:
        raise SourceError(f"{path}: {error}") from error
    if not image.is_file():
        raise SourceError(f"{image}: not found")
    mask = path.with_suffix(MASK)
    return replace(kept, mask=Mask(mask)) if mask.is_file() else kept


def parse_contribution(name: str, image: Path, content: Any) -> Contribution:
    """Parse the content of an entry's JSON. Raises KeyError, ValueError, TypeError or OverflowError."""
    if not isinstance(content, dict):
        raise ValueError("not an entry by fields")
    lens = content["camera"]
    camera = Camera(lens["model"], lens["width"], lens["height"], tuple(map(float, lens["params"])))
    pose = rigid_from_quaternion(content["rotation_xyzw"], content["translation_m"])
    covariance = np.array(content["covariance"], float).reshape(6, 6)
    if not np.isfinite(covariance).all() or not np.allclose(covariance, covariance.T):
        raise ValueError("its covariance is not finite and symmetric")
    if np.linalg.eigvalsh(covariance)[0] <= 0:
        raise ValueError("its covariance is not positive")
    return Contribution(name, image, camera, pose, covariance, int(content["inliers"]), str(content["map_id"]))
