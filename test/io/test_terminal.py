"""What files hold is printed, and never obeyed by the terminal."""

import io
import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_maps import reference_view, write_map

from deviloc_ros.cli import main
from deviloc_ros.io.terminal import PrintableStream, make_printable
from deviloc_ros.maps.manifest import hash_manifest

EVIL = "\x1b]0;owned\x07\x1b[2Jnothing wrong\r\x9b31m\u202e"


@given(st.text())
def test_nothing_but_lines_tabs_and_printable_characters_comes_out(text):
    made = make_printable(text)
    assert all(c.isprintable() or c in "\n\t" for c in made)
    assert made == text or not all(c.isprintable() or c in "\n\t" for c in text)
    stream = io.StringIO()
    assert PrintableStream(stream).write(text) == len(text) and stream.getvalue() == made


@pytest.mark.parametrize("words", [("map", "info"), ("map", "check")])
@pytest.mark.parametrize("field", ["provenance", "name", "file"])
def test_escapes_in_a_map_are_printed_as_text(tmp_path, capsys, words, field):
    folder = tmp_path / "a.map"
    write_map(folder, [reference_view(0)])
    manifest = json.loads((folder / "manifest.json").read_text())
    if field == "provenance":
        manifest["provenance"][f"made {EVIL}"] = EVIL
    else:
        manifest["views"][0][field] = EVIL
    manifest["sha256"] = hash_manifest(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SystemExit):
        main([*words, str(folder)])
    said = capsys.readouterr()
    assert all(c.isprintable() or c in "\n\t" for c in said.out + said.err)


def test_escapes_in_the_name_of_a_folder_are_printed_as_text(tmp_path, capsys):
    folder = tmp_path / "a\x1b[2J.map"
    write_map(folder, [reference_view(0)])
    shutil.rmtree(folder / "views")
    with pytest.raises(SystemExit):
        main(["map", "check", str(folder)])
    assert "\x1b" not in capsys.readouterr().out
