"""Read images to localize: single files, all photographs of a folder, or the frames of a video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
from numpy.typing import NDArray

from deviloc_ros.imaging import ImageError, read_gray
from deviloc_ros.sources.base import SourceError
from deviloc_ros.sources.image_files import suggest_nearest
from deviloc_ros.sources.photographs import VIDEOS, explain_no_photographs, explain_unread, find_photographs


@dataclass(frozen=True, slots=True, eq=False)
class QueryPicture:
    """Hold an image, or why it cannot be read.

    gray: (H, W) uint8, None if it cannot be read. path: of the image file or the video.
    """

    name: str
    path: Path
    gray: NDArray | None
    problem: str = ""


def check_paths(paths: Sequence[Path]) -> None:
    """Raise SourceError naming the first path that does not exist; a typo must not count as an unlocalized image."""
    if missing := [path for path in paths if not path.exists() and not path.is_symlink()]:
        others = f" (and {len(missing) - 1} of the others)" if len(missing) > 1 else ""
        raise SourceError(f"{missing[0]}: no such file or folder{suggest_nearest(missing[0])}{others}")


def list_files(paths: Iterable[Path], step: int = 1) -> Iterator[Path]:
    """Yield the files that `read_pictures` takes pictures from, in order."""
    for path in paths:
        photographs, unread = find_photographs(path) if path.is_dir() else ([path], {})
        yield from (*photographs[::step], *unread)


def read_pictures(paths: Iterable[Path], step: int = 1) -> Iterator[QueryPicture]:
    """Yield the images at paths, in order; unreadable ones come with the reason.

    Args:
        step: take every step-th image of a folder, or frame of a video.
    """
    for path in paths:
        if path.is_dir():
            yield from read_folder(path, step)
        elif path.suffix.lower() in VIDEOS:
            yield from read_video(path, step)
        else:
            yield read_picture(path)


def read_folder(folder: Path, step: int) -> Iterator[QueryPicture]:
    """Yield the photographs below a folder in order of their names."""
    photographs, unread = find_photographs(folder)
    for path in photographs[::step]:
        yield read_picture(path)
    for path, why in unread.items():
        yield QueryPicture(str(path), path, None, why)
    if not photographs and not unread:
        why = f"there are no images in this folder{explain_no_photographs(folder)}"
        yield QueryPicture(str(folder), folder, None, why)


def read_picture(path: Path) -> QueryPicture:
    """Read an image file."""
    if path.is_file() and (why := explain_unread(path)):
        return QueryPicture(str(path), path, None, f"{path}: {why}")
    try:
        return QueryPicture(str(path), path, read_gray(path))
    except ImageError as error:
        return QueryPicture(str(path), path, None, str(error))


def read_video(path: Path, step: int) -> Iterator[QueryPicture]:
    """Yield every step-th frame of a video, named by its time, and by its number where times are not distinct."""
    if not path.is_file():
        yield QueryPicture(str(path), path, None, f"{path}: no such video")
        return
    video, count, names = cv2.VideoCapture(str(path)), 0, set[str]()
    try:
        while video.grab():
            count += 1
            if (count - 1) % step:
                continue
            seconds = video.get(cv2.CAP_PROP_POS_MSEC) * 1e-3
            decoded, frame = video.retrieve()
            name = f"{path} {seconds:.3f} s"
            name += f" frame {count}" if name in names else ""
            names.add(name)
            yield (
                QueryPicture(name, path, cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY))
                if decoded
                else QueryPicture(name, path, None, f"{name}: the frame cannot be decoded")
            )
    finally:
        video.release()
    if not count:
        yield QueryPicture(str(path), path, None, f"{path}: not a video, or of a kind that OpenCV does not decode")
