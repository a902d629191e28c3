"""Read lists of images to localize, in the formats of hloc and public data sets: names, intrinsics, pairs."""

from __future__ import annotations

from pathlib import Path

from deviloc_ros.camera import Camera
from deviloc_ros.io.plain_files import read_text
from deviloc_ros.sources.base import SourceError
from deviloc_ros.sources.colmap import parse_camera_words


def read_lines(path: Path) -> list[str]:
    """Return the lines with content, without comments. Raises SourceError naming the file."""
    if not path.is_file():
        raise SourceError(f"{path}: not found; docs/published-method.md says what the public data sets have")
    lines = [line.strip() for line in read_text(path).splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def read_pairs(path: Path) -> dict[str, list[str]]:
    """Read `query reference` lines: the references of each query, in order."""
    pairs: dict[str, list[str]] = {}
    for number, line in enumerate(read_lines(path), 1):
        names = line.split()
        if len(names) != 2:
            raise SourceError(f"{path}: line {number}: expected 'query reference', got {line!r}")
        pairs.setdefault(names[0], []).append(names[1])
    return pairs


def read_intrinsics(path: Path) -> dict[str, Camera]:
    """Read `name MODEL width height parameters…` lines, in COLMAP's pixels."""
    cameras = {}
    for number, line in enumerate(read_lines(path), 1):
        name, *words = line.split()
        cameras[name] = parse_intrinsics(words, f"{path}: line {number}")
    return cameras


def read_query_list(path: Path) -> dict[str, Camera | None]:
    """Read lines of a name alone, or of one with its camera as `read_intrinsics` has it.

    Raises:
        SourceError: no such file, no name in it, a duplicate name, or an invalid camera after a name.
    """
    queries: dict[str, Camera | None] = {}
    for number, line in enumerate(read_lines(path), 1):
        name, *words = line.split()
        if name in queries:
            raise SourceError(f"{path}: line {number}: {name!r} is listed twice")
        queries[name] = parse_intrinsics(words, f"{path}: line {number}") if words else None
    if not queries:
        raise SourceError(f"{path}: it lists no image")
    return queries


def parse_intrinsics(words: list[str], where: str) -> Camera:
    """Parse `MODEL width height parameters…` in COLMAP's pixels. Raises SourceError with a prefix."""
    try:
        return parse_camera_words(words)
    except ValueError as error:
        raise SourceError(f"{where}: no camera: {error}") from error
