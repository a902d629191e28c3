"""Write files that appear complete or not at all."""

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
    """Name the file in an OSError that names none, as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


@contextmanager
def replace_on_success(path: Path) -> Iterator[Path]:
    """Give a name beside `path` to write to, in a folder that is made if there is none.

    What was written takes the place of `path` at the end. If writing fails, or is cut off, `path` is as it was.
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
    """Write a file as `replace_on_success` does; to a pipe or a device, as the console, the content alone."""
    data = content.encode() if isinstance(content, str) else content
    if path.exists() and not path.is_file():
        with name_file_in_errors(path):
            path.write_bytes(data)
        return
    with replace_on_success(path) as beside:
        beside.write_bytes(data)


@contextmanager
def replace_files_on_success(folder: Path) -> Iterator[Path]:
    """Give a folder to write files to that take their places in `folder` at the end; for what says nothing of failure.

    pycolmap writes what fits on a full disk, without a word. So copies of its files take the places: where these were
    cut, there is no space for copies.

    Raises:
        OSError: naming a file; those in `folder` are as they were.
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
