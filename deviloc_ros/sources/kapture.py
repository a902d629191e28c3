"""Read posed images of a kapture folder: `sensors/{sensors,records_camera,trajectories,rigs}.txt`, and `records_data`.

Poses are device_from_world, quaternions wxyz, of a sensor or of the rig that carries it; those of `rigs.txt` are
sensor_from_rig. Cameras have COLMAP's models and pixels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pycolmap

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import rigid_from_quaternion
from deviloc_ros.io.plain_files import read_text
from deviloc_ros.sources.base import PosedImage, Skipped, Source, SourceError
from deviloc_ros.sources.colmap import parse_camera_words

Fields = list[str]


@dataclass(slots=True)
class Trajectories:
    """Hold device_from_world by time and device, and which devices a rig carries, as fields of the files.

    rigs: by device, each rig that it is on, with device_from_rig.
    """

    poses: dict[tuple[str, str], Fields]
    rigs: dict[str, list[tuple[str, Fields]]] = field(default_factory=dict)

    def find_pose(self, time: str, device: str) -> pycolmap.Rigid3d | None:
        """Return device_from_world, its own or by the nearest rig that carries it; None if none has a pose then.

        Raises:
            ValueError: a pose is invalid or incomplete.
        """
        carried: dict[str, tuple[str, Fields]] = {device: ("", [])}  # by rig, what it carries there
        left = deque([device])  # each once: rigs on rigs may form a ring, or meet again
        while left and (time, left[0]) not in self.poses:
            below = left.popleft()
            for rig, below_from_rig in self.rigs.get(below, ()):
                if rig not in carried:
                    carried[rig] = below, below_from_rig
                    left.append(rig)
        if not left:
            return None
        at = left[0]
        at_from_world = parse_pose_fields(self.poses[time, at], "trajectories.txt")
        while at != device:
            at, below_from_rig = carried[at]
            at_from_world = parse_pose_fields(below_from_rig, "rigs.txt") * at_from_world
        return at_from_world


def read_kapture(folder: Path | str) -> Source:
    """Read images of all cameras; those without a valid pose are skipped.

    Raises:
        SourceError: a file is missing, or a line of it is invalid.
    """
    sensors = Path(folder) / "sensors"
    cameras = {
        fields[0]: parse_camera_fields(sensors / "sensors.txt", fields)
        for fields in read_rows(sensors / "sensors.txt", 3)
        if fields[2] == "camera"
    }
    trajectories = read_trajectories(sensors)
    images, skipped = [], []
    for time, sensor, name, *_ in read_rows(sensors / "records_camera.txt", 3):
        try:
            if sensor not in cameras:
                raise ValueError("no such camera in sensors.txt")
            pose = trajectories.find_pose(time, sensor)
            if pose is None:
                raise ValueError(f"no pose at time {time}")
            images.append(PosedImage(name, sensors / "records_data" / name, cameras[sensor], pose))
        except ValueError as error:
            skipped.append(Skipped(name, f"sensor {sensor!r}: {error}"))
    return Source(sorted(images, key=lambda image: image.name), skipped)


def read_trajectories(sensors: Path) -> Trajectories:
    """Read the poses of devices, and the rigs, if there are some."""
    poses = {(time, device): pose for time, device, *pose in read_rows(sensors / "trajectories.txt", 9)}
    trajectories = Trajectories(poses)
    if (sensors / "rigs.txt").is_file():
        for rig, device, *pose in read_rows(sensors / "rigs.txt", 9):
            trajectories.rigs.setdefault(device, []).append((rig, pose))
    return trajectories


def read_rows(path: Path, least: int) -> Iterator[Fields]:
    """Yield the comma-separated fields of each line except comments. Raises SourceError naming file and line."""
    if not path.is_file():
        raise SourceError(f"{path}: not found")
    for number, line in enumerate(read_text(path, errors="replace").splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            fields = [field.strip() for field in line.split(",")]
            if len(fields) < least:
                raise SourceError(f"{path}:{number}: expected {least} fields or more, got {len(fields)}: {line[:80]!r}")
            yield fields


def parse_camera_fields(path: Path, fields: Fields) -> Camera:
    """Parse `id, name, camera, MODEL, width, height, params…`; raise SourceError naming the sensor."""
    try:
        return parse_camera_words(fields[3:])
    except ValueError as error:
        raise SourceError(f"{path}: sensor {fields[0]!r}: {error}") from error


def parse_pose_fields(fields: Fields, file: str) -> pycolmap.Rigid3d:
    """Parse `qw, qx, qy, qz, tx, ty, tz`, some of which kapture may leave blank; raise ValueError naming the file."""
    if not all(fields):
        raise ValueError(f"its pose in {file} is partial")
    try:
        w, x, y, z, *translation = (float(value) for value in fields)
        return rigid_from_quaternion((x, y, z, w), translation)
    except ValueError as error:
        raise ValueError(f"its pose in {file}: {error}") from error
