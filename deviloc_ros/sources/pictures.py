"""Pictures as people name them on a command line: files, folders of them, and videos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
from numpy.typing import NDArray

from deviloc_ros.imaging import ImageError, read_gray
from deviloc_ros.sources.photographs import UNREAD, find_photographs

VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture, or what keeps it from being read. name: with the number of the frame where it is of a video."""

    name: str
    path: Path
    gray: NDArray | None = None
    problem: str = ""


def read_pictures(paths: list[Path], every: int = 1) -> Iterator[Picture]:
    """Yield every picture that files, folders and videos hold, in their order; of videos only each `every`-th frame."""
    for path in paths:
        if path.is_dir():
            yield from read_folder(path)
        elif path.suffix.lower() in VIDEOS and path.is_file():
            yield from read_video(path, every)
        else:
            yield read_picture(path)


def read_folder(folder: Path) -> Iterator[Picture]:
    """Yield the photographs below a folder, and those of kinds that are not read with the reason."""
    photographs, unread = find_photographs(folder)
    if not photographs and not unread:
        yield Picture(str(folder), folder, problem=f"{folder}: a folder without images")
    for path in photographs:
        yield read_picture(path)
    for path, why in unread.items():
        yield Picture(str(path), path, problem=f"{path}: {why}")


def read_picture(path: Path) -> Picture:
    """Return one file's picture, or what is wrong with it."""
    if path.is_file() and path.suffix.lower() in UNREAD:
        return Picture(str(path), path, problem=f"{path}: {path.suffix} is not read: {UNREAD[path.suffix.lower()]}")
    try:
        return Picture(str(path), path, read_gray(path))
    except ImageError as error:
        return Picture(str(path), path, problem=str(error))


def read_video(path: Path, every: int) -> Iterator[Picture]:
    """Yield frames of a video, named by their number."""
    video, number = cv2.VideoCapture(str(path)), 0
    try:
        while True:
            found, pixels = video.read()
            if not found:
                break
            if number % every == 0:
                yield Picture(f"{path}#{number}", path, cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY))
            number += 1
    finally:
        video.release()
    if number == 0:
        yield Picture(str(path), path, problem=f"{path}: not a video, or truncated")
