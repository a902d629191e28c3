"""Write files atomically."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


@contextmanager
def name_file_in_errors(path: Path) -> Iterator[None]:
    """Add the file to an OSError that names none, as for a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


@contextmanager
def replace_on_success(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to, which replaces it at the end; parent folders are created.

    If writing fails or is interrupted, `path` is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with name_file_in_errors(path):
            yield beside
            os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file atomically; to a pipe or a device, such as the console, write directly."""
    data = content.encode() if isinstance(content, str) else content
    if path.exists() and not path.is_file():
        with name_file_in_errors(path):
            path.write_bytes(data)
        return
    with replace_on_success(path) as beside:
        beside.write_bytes(data)


@contextmanager
def replace_files_on_success(folder: Path) -> Iterator[Path]:
    """Yield a folder to write files to, which replace those in `folder` at the end; for writers that hide failures.

    On a full disk, pycolmap silently truncates files. So its files are copied into place: if they were truncated, there
    is no space for the copies, and copying fails.

    Raises:
        OSError: naming a file; those in `folder` are unchanged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=folder) as made, ExitStack() as copies:
        yield Path(made)
        for written in sorted(Path(made).iterdir()):
            if not written.stat().st_size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / written.name))
            beside = copies.enter_context(replace_on_success(folder / written.name))
            with written.open("rb") as source, beside.open("wb") as copy:
                shutil.copyfileobj(source, copy)
