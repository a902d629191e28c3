"""Small recordings of a robot whose camera sees one brightness, which the stand-in localizer reads as its place.

`drive` writes the plain one; the others are the same drive as other people would bring it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pycolmap
from rosbags.convert.converter import convert
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from deviloc_ros.bags.reader import TYPES, Recording, zstd
from deviloc_ros.bags.writer import BagWriter
from deviloc_ros.camera import Camera

CAMERA = Camera("PINHOLE", 64, 48, (60.0, 60.0, 31.5, 23.5))
BASE_FROM_CAM = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([0.1, 0.0, 0.2]))
START_NS, PERIOD_NS = 1_700_000_000_000_000_000, 100_000_000
IMAGE, INFO, TRUTH = "/camera/image", "/camera/camera_info", "/ground_truth"
BRIGHTNESSES = tuple(range(10, 22))


def stamp(number: int) -> int:
    return START_NS + number * PERIOD_NS


def map_from_base(brightness: float) -> pycolmap.Rigid3d:
    """Where the robot is when the camera sees this."""
    return pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([brightness / 10, 0, 0])) * BASE_FROM_CAM.inverse()


def drive(
    path: Path,
    brightnesses: Iterable[int] = BRIGHTNESSES,
    *,
    compressed: bool = False,
    info: bool = True,
    tf: bool = True,
    cameras: tuple[str, ...] = ("/camera",),
    lost: tuple[int, ...] = (),
) -> Path:
    """A robot that moves 10 cm an image.

    lost: numbers of the images that are black.
    """
    with BagWriter(path) as bag:
        if tf:
            bag.write_transform(START_NS, "base_link", "camera_optical", BASE_FROM_CAM, static=True)
        for number, brightness in enumerate(brightnesses):
            time_ns = stamp(number)
            pixels = np.full((48, 64, 3), 0 if number in lost else brightness, np.uint8)
            if tf:
                bag.write_transform(time_ns, "odom", "base_link", map_from_base(brightness - 10))
            bag.write_pose(TRUTH, time_ns, "map", map_from_base(brightness))
            for camera in cameras:
                if info:
                    bag.write_camera_info(f"{camera}/camera_info", time_ns, "camera_optical", CAMERA)
                if compressed:
                    data = cv2.imencode(".png", pixels)[1].tobytes()
                    bag.write_compressed_image(f"{camera}/image/compressed", time_ns, "camera_optical", data, "png")
                else:
                    bag.write_image(f"{camera}/image", time_ns, "camera_optical", pixels)
    return path


def rewritten(
    bag: Path,
    path: Path,
    storage: StoragePlugin = StoragePlugin.MCAP,
    compression: CompressionMode | None = None,
    late: dict[tuple[str, int], int] | None = None,
    renamed: dict[str, str] | None = None,
    empty: dict[str, str] | None = None,
) -> Path:
    """The same messages in another storage; `late` gives the time of receipt of some (by topic and time) anew.

    renamed: topics. empty: types of topics without a message, by their names.
    """
    writer = Writer(path, version=8, storage_plugin=storage)
    if compression is not None:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    with Recording(bag) as recording, writer:
        connections = {}
        for topic, kind in (empty or {}).items():
            writer.add_connection(topic, kind, typestore=TYPES)
        for recorded in recording.messages():
            if recorded.topic not in connections:
                topic = (renamed or {}).get(recorded.topic, recorded.topic)
                connections[recorded.topic] = writer.add_connection(topic, recorded.kind, typestore=TYPES)
            received_ns = (late or {}).get((recorded.topic, recorded.time_ns), recorded.time_ns)
            writer.write(connections[recorded.topic], received_ns, recorded.data)
    return path


def damaged(bag: Path, path: Path, topic: str, numbers: Iterable[int], keep: float, packed: bool = False) -> Path:
    """The same bag; of some messages of a topic only the first bytes, a share of them, are left.

    packed: each message was compressed by the recorder.
    """
    seen = -1
    with Recording(bag) as recording, Writer(path, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {}
        for recorded in recording.messages():
            if recorded.topic not in connections:
                connections[recorded.topic] = writer.add_connection(recorded.topic, recorded.kind, typestore=TYPES)
            data = zstd.compress(recorded.data) if packed else recorded.data
            if recorded.topic == topic:
                seen += 1
                data = data[: int(keep * len(data))] if seen in numbers else data
            writer.write(connections[recorded.topic], recorded.time_ns, data)
    return path


def split(bag: Path, path: Path, at: int = 6) -> Path:
    """Two files in a folder without metadata, as a recorder leaves them that was stopped hard between two files."""
    path.mkdir()
    with Recording(bag) as recording:
        everything = list(recording.messages())
    for part, keep in enumerate((lambda t: t < stamp(at), lambda t: t >= stamp(at))):
        folder = path / f"part{part}"
        with Writer(folder, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
            connections = {}
            for recorded in everything:
                if recorded.topic not in connections:
                    connections[recorded.topic] = writer.add_connection(recorded.topic, recorded.kind, typestore=TYPES)
                if keep(recorded.time_ns):
                    writer.write(connections[recorded.topic], recorded.time_ns, recorded.data)
        next(folder.glob("*.mcap")).rename(path / f"drive_{part}.mcap")
        (folder / "metadata.yaml").unlink()
        folder.rmdir()
    return path


def without_metadata(bag: Path) -> Path:
    """The same folder as a recorder leaves it that was stopped hard."""
    (bag / "metadata.yaml").unlink()
    return bag


def zstd_files(bag: Path, suffix: str = ".zstd") -> Path:
    """A folder whose files were compressed one by one, without metadata."""
    for file in list(bag.iterdir()):
        if file.name != "metadata.yaml":
            file.with_name(file.name + suffix).write_bytes(zstd.compress(file.read_bytes()))
            file.unlink()
    return without_metadata(bag)


def of_ros1(bag: Path, path: Path) -> Path:
    """As a ROS 1 bag."""
    ros1 = get_typestore(Stores.ROS1_NOETIC)
    convert([bag], path, "mcap", 8, None, "none", TYPES, ros1, (), (), (), ())
    return path


def cut_off(bag: Path, path: Path, share: float = 0.6) -> Path:
    """The first part of the file, as a full disk leaves it."""
    data = next(bag.glob("*.mcap")).read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path
