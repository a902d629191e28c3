"""A file is there whole, or as it was before."""

from pathlib import Path

import pytest

from deviloc_ros.io.atomic import replace_on_success, write_whole


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
