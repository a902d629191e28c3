"""Read posed images of a kapture folder: `sensors/{sensors,records_camera,trajectories}.txt`, and `records_data`.

Its poses are sensor_from_world, quaternions wxyz; its cameras have COLMAP's models and pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pycolmap

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import rigid_from_quaternion
from deviloc_ros.io.plain_files import read_text
from deviloc_ros.sources.base import PosedImage, Skipped, Source, SourceError
from deviloc_ros.sources.colmap import camera_from_colmap


def read_kapture(folder: Path | str) -> Source:
    """Read images of all cameras; those without a pose, or with one that is none, are skipped.

    Raises:
        SourceError: a file is missing, or a line of it is not as it should be; cameras on a rig are not read.
    """
    folder = Path(folder)
    sensors = folder / "sensors"
    if (sensors / "rigs.txt").is_file():
        raise SourceError(f"{sensors / 'rigs.txt'}: cameras on a rig are not read; write their own trajectories")
    cameras = {
        fields[0]: parse_camera_fields(sensors / "sensors.txt", fields)
        for fields in read_rows(sensors / "sensors.txt", 3)
        if fields[2] == "camera"
    }
    poses = {(time, sensor): pose for time, sensor, *pose in read_rows(sensors / "trajectories.txt", 9)}
    images, skipped = [], []
    for time, sensor, name, *_ in read_rows(sensors / "records_camera.txt", 3):
        try:
            if sensor not in cameras:
                raise ValueError("no such camera in sensors.txt")
            if (time, sensor) not in poses:
                raise ValueError(f"no pose at time {time}")
            pose = parse_pose_fields(poses[time, sensor])
            images.append(PosedImage(name, sensors / "records_data" / name, cameras[sensor], pose))
        except ValueError as error:
            skipped.append(Skipped(name, f"sensor {sensor!r}: {error}"))
    return Source(sorted(images, key=lambda image: image.name), skipped)


def read_rows(path: Path, least: int) -> Iterator[list[str]]:
    """Yield the comma-separated fields of each line that is no comment; raise SourceError naming file and line."""
    if not path.is_file():
        raise SourceError(f"{path}: not found")
    for number, line in enumerate(read_text(path, errors="replace").splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            fields = [field.strip() for field in line.split(",")]
            if len(fields) < least:
                raise SourceError(f"{path}:{number}: expected {least} fields or more, got {len(fields)}: {line[:80]!r}")
            yield fields


def parse_camera_fields(path: Path, fields: list[str]) -> Camera:
    """Parse `id, name, camera, MODEL, width, height, params…`; raise SourceError naming the sensor."""
    try:
        model, width, height, *params = fields[3:]
        if model not in pycolmap.CameraModelId.__members__:
            raise ValueError(f"camera model {model!r} is unknown")
        return camera_from_colmap(
            pycolmap.Camera(model=model, width=int(width), height=int(height), params=[float(p) for p in params])
        )
    except (ValueError, IndexError) as error:
        raise SourceError(f"{path}: sensor {fields[0]!r}: {error}") from error


def parse_pose_fields(fields: list[str]) -> pycolmap.Rigid3d:
    """Parse `qw, qx, qy, qz, tx, ty, tz`, some of which kapture may leave blank; raise ValueError."""
    if not all(fields):
        raise ValueError("its pose in trajectories.txt is partial")
    w, x, y, z, *translation = (float(field) for field in fields)
    return rigid_from_quaternion((x, y, z, w), translation)
