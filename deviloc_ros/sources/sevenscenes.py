"""Read posed images of 7-Scenes: frames with a pose file each, and the cameras of its sensor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pycolmap

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import rigid_from_matrix
from deviloc_ros.io.plain_files import read_text
from deviloc_ros.sources.base import PosedImage, Skipped, Source, SourceError, read_numbers

SEVEN_SCENES_CAMERA = Camera("PINHOLE", 640, 480, (525.0, 525.0, 320.0, 240.0))
SEVEN_SCENES_DEPTH_CAMERA = Camera("PINHOLE", 640, 480, (585.0, 585.0, 320.0, 240.0))
# The data set gives none: the two lenses of this sensor are 25 mm apart.
SEVEN_SCENES_COLOR_FROM_DEPTH = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([-0.025, 0.0, 0.0]))


def read_seven_scenes(
    folder: Path | str, sequences: tuple[str, ...] = (), camera: Camera = SEVEN_SCENES_CAMERA
) -> Source:
    """Read `seq-XX/frame-NNNNNN.{color.*,pose.txt}`, poses world_from_cam; default: TrainSplit.txt's sequences."""
    folder = Path(folder)
    sequences = sequences or read_training_sequences(folder)
    images, skipped = [], []
    for sequence in sequences:
        frames = sorted((folder / sequence).glob("frame-*.color.*"))
        if not frames:
            raise SourceError(f"{folder / sequence}: no frame-*.color.* images")
        for path in frames:
            name = f"{sequence}/{path.name}"
            pose_file = path_beside_color(path, "pose.txt")
            try:
                world_from_cam = rigid_from_matrix(read_numbers(pose_file, (4, 4)))
                images.append(PosedImage(name, path, camera, world_from_cam.inverse()))
            except ValueError as error:
                skipped.append(Skipped(name, f"{pose_file.name}: {error}"))
    return Source(images, skipped)


def path_beside_color(path: Path, ending: str) -> Path:
    """Return the path of a frame's `depth.png` or `pose.txt` beside its `frame-000000.color.png`."""
    return path.with_name(f"{path.name.split('.')[0]}.{ending}")


def read_training_sequences(folder: Path) -> tuple[str, ...]:
    """Read `sequence1` in TrainSplit.txt as `seq-01`."""
    split = folder / "TrainSplit.txt"
    if not split.is_file():
        raise SourceError(f"{split}: not found; name the sequences")
    try:
        return tuple(f"seq-{int(name.removeprefix('sequence')):02d}" for name in read_text(split).split())
    except ValueError as error:
        raise SourceError(f"{split}: expected lines like 'sequence1': {error}") from error
