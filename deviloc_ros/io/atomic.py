"""Write files that appear complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_on_success(path: Path) -> Iterator[Path]:
    """Give a name beside `path` to write to, in a folder that is made if there is none.

    What was written takes the place of `path` at the end. If writing fails, or is cut off, `path` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write a text file as `replace_on_success` does; to a pipe or a device, as the console, the text alone."""
    if path.exists() and not path.is_file():
        path.write_text(text)
        return
    with replace_on_success(path) as beside:
        beside.write_text(text)
