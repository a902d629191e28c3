"""A file is there whole, or as it was before."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from deviloc_ros.io.atomic import replace_files_on_success, replace_on_success, write_whole
from deviloc_ros.io.encoded_images import write_picture
from deviloc_ros.io.tum_trajectory import write_tum
from deviloc_ros.maps.files import write_durably


def fill_disk(path: Path) -> Path:
    """What is written beside `path`, to take its place, finds no space; nor what is written to another name there."""
    path.with_name(f".{path.name}.{os.getpid()}").symlink_to("/dev/full")
    return path


def test_text_is_written_whole_into_a_folder_that_is_made(tmp_path):
    write_whole(tmp_path / "new" / "a.json", "[]")
    write_whole(tmp_path / "new" / "a.json", "{}")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.json"]
    assert (tmp_path / "new" / "a.json").read_text() == "{}"
    write_whole(Path("/dev/null"), "gone")
    assert Path("/dev/null").is_char_device()


def test_what_was_written_takes_the_place_of_what_was_there(tmp_path):
    path = tmp_path / "new" / "file.json"
    for text in ("old", "new"):
        with replace_on_success(path) as partial:
            partial.write_text(text)
            assert partial.parent == path.parent and partial != path  # a rename stays on one disk
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("written", [True, False])
def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path, written):
    path = tmp_path / "file.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), replace_on_success(path) as partial:
        if written:
            partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.json", lambda path: write_whole(path, "{}")),
        ("a.bin", lambda path: write_whole(path, b"0")),
        ("a.png", lambda path: write_picture(path, np.zeros((9, 9), np.uint8))),
        ("a.jpg", lambda path: write_picture(path, np.zeros((9, 9, 3), np.uint8))),
        ("a.tum", lambda path: write_tum(path, [(0, pycolmap.Rigid3d())])),
    ],
)
def test_a_full_disk_is_said_with_the_file_and_takes_nothing(tmp_path, name, write):
    path = tmp_path / name
    write(path)
    before = path.read_bytes()
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        write(fill_disk(path))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_device_that_takes_nothing_is_named():
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        write_whole(Path("/dev/full"), "1")


def test_a_full_disk_is_said_with_the_file_of_a_map(tmp_path):
    (tmp_path / "a.safetensors").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '.*a\.safetensors'"):
        write_durably(tmp_path / "a.safetensors", b"0")


def fail_to_copy(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("cut", ["to nothing", "in the middle"])
def test_files_that_a_full_disk_cut_without_a_word_take_no_places(tmp_path, monkeypatch, cut):
    """Where the first copy finds space, the second does not."""
    names = ("a.bin", "b.bin", "c.bin")
    with replace_files_on_success(tmp_path / "model") as beside:
        for name in names:
            (beside / name).write_text("old")
    copies = iter([shutil.copyfileobj, fail_to_copy])
    if cut == "in the middle":
        monkeypatch.setattr(shutil, "copyfileobj", lambda *files: next(copies)(*files))
    with (
        pytest.raises(OSError, match=r"No space left on device: '.*model/b\.bin'"),
        replace_files_on_success(tmp_path / "model") as beside,
    ):
        for name in names:
            (beside / name).write_text("" if cut == "to nothing" and name == "b.bin" else "new")
    assert {path.name: path.read_text() for path in (tmp_path / "model").iterdir()} == dict.fromkeys(names, "old")
