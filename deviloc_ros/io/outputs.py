"""Refuse to overwrite existing files and folders, with the same message everywhere."""

from __future__ import annotations

import os
from pathlib import Path


def describe_existing(path: Path) -> str:
    """Return the message for an existing file or folder that may not be replaced."""
    return f"{path} is there; --overwrite replaces it"


def refuse_file(path: Path, *, overwrite: bool = False) -> None:
    """Raise OSError if a file must not be written at `path`: it exists and may not be replaced, or it is a folder."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file")
    if not overwrite and (path.exists() or path.is_symlink()):
        raise FileExistsError(describe_existing(path))
    check_above(path)


def check_above(path: Path) -> None:
    """Raise OSError if a parent of `path` is a file, or is not writable."""
    above = next((folder for folder in path.absolute().parents if folder.exists() or folder.is_symlink()), path)
    if not above.exists():
        raise NotADirectoryError(f"{path}: cannot be made, {above} is a link that leads nowhere")
    if not above.is_dir():
        raise NotADirectoryError(f"{path}: cannot be made, {above} is a file")
    if not path.exists() and not os.access(above, os.W_OK):
        raise PermissionError(f"{path}: cannot be made, nothing can be written to {above}")


def refuse_folder(path: Path, *, overwrite: bool = False) -> None:
    """Raise OSError if a folder must not be written at `path`: it is not empty, or it is a file.

    With `overwrite` it need not be empty; the caller checks whether its content may be replaced.
    """
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"{path} is a file; name a folder")
    check_above(path)
    if not overwrite and (path.is_symlink() if not path.is_dir() else any(path.iterdir())):
        raise FileExistsError(describe_existing(path))
