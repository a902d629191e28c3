"""No map or recording that is there is written over without --overwrite; results of a run replace earlier ones."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from deviloc_ros.cli import add_flags, all_commands, run_command
from deviloc_ros.io.outputs import refuse_file, refuse_folder

# Paths that are read, or that hold what a command goes on with.
READ = {
    "ablate": {"data", "config"},
    "adapt": {"map", "weights"},
    "bench": {"data", "map", "folder", "config", "docs", "cache"},
    "benchmark": {"data", "config"},
    "build-map": {"config"},
    "compare": {"runs", "map"},
    "compare-poses": {"truth", "estimates", "queries"},
    "demo": {"data"},
    "doctor": {"map"},
    "evaluate": {"data", "map", "config"},
    "evaluate-bag": {"bags", "map", "mask", "ground_truth", "images_of", "config", "contribute"},
    "evaluate-pin": {"data", "weights"},
    "export-map": {"map"},
    "fetch-weights": {"file", "output"},  # a cache; files are known by their hashes
    "import-descriptor": {"folder"},
    "localize": {"map", "images", "rig", "mask", "config", "queries", "pairs"},
    "map": {"map", "maps", "positions", "colmap", "poses", "tags", "images", "occupancy", "pairs", "to"},
    "train": {"data"},
    "update-map": {"map", "contributed", "config"},
    "view": {"map", "bag", "ground_truth", "images_of", "config"},
}
SOURCES = {"colmap", "sevenscenes", "kitti", "tum", "nerfstudio", "kapture", "bag", "images", "poses", "depth", "mask"}
OF_SOURCES = {"build-map", "update-map", "simulate-bag"}
SOURCE_FILES = {"positions"}


def parsers_of(parser: argparse.ArgumentParser, words: tuple[str, ...]):
    """Every parser that runs something, with the words that lead to it."""
    inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    for action in inner:
        for name, below in action.choices.items():
            yield from parsers_of(below, (*words, name))
    if parser.get_default("run") is not None:
        yield words, parser


def all_parsers():
    for name, command in all_commands().items():
        if not command.module:
            continue
        parser = argparse.ArgumentParser()
        add_flags(parser, command)
        yield from parsers_of(parser, (name,))


def paths_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if action.type is Path]


def outputs_of(words: tuple[str, ...], parser: argparse.ArgumentParser, prefix: str = "") -> dict[str, str]:
    """Which options say where something is written, and whether that is a file or a folder."""
    if words == ("train",):
        return {} if prefix else {"output": "file"}
    named = {"file": parser.get_default(f"{prefix}files"), "folder": parser.get_default(f"{prefix}folders")}
    return {name: kind for kind, names in named.items() for name in names or ()}


PARSERS = dict(all_parsers())
OUTPUTS, RESULTS = (
    [(words, *output) for words, parser in PARSERS.items() for output in outputs_of(words, parser, prefix).items()]
    for prefix in ("", "result_")
)


def words_for(words: tuple[str, ...], output: str, path: Path) -> list[str]:
    """A command line that writes to `path`, whose other words lead nowhere."""
    line, positional = list(words), []
    for action in PARSERS[words]._actions:
        value = str(path) if action.dest == output else next(iter(action.choices or ()), "nowhere")
        if not action.option_strings and action.nargs != argparse.PARSER:
            positional.append(value)
        elif action.option_strings and (action.required or action.dest == output):
            line += [action.option_strings[0], value]
    for group in PARSERS[words]._mutually_exclusive_groups:
        if group.required and output not in [action.dest for action in group._group_actions]:
            line += [group._group_actions[0].option_strings[0], "nowhere"]
    return line + positional


@pytest.mark.parametrize("words", PARSERS, ids=" ".join)
def test_of_every_path_it_is_known_whether_it_is_written(words):
    known = READ.get(words[0], set()) | set(outputs_of(words, PARSERS[words]))
    known |= set(outputs_of(words, PARSERS[words], "result_"))
    known |= SOURCES | SOURCE_FILES if words[0] in OF_SOURCES else set()
    assert {action.dest for action in paths_of(PARSERS[words])} <= known


def name_case(value) -> str:
    return value if isinstance(value, str) else " ".join(value)


@pytest.mark.parametrize(("words", "output", "kind"), OUTPUTS, ids=name_case)
def test_what_is_there_is_refused_before_anything_is_done(words, output, kind, tmp_path, capsys):
    there = tmp_path / "there"
    mine = there / "note" if kind == "folder" else there
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    assert run_command(words_for(words, output, there)) == 2
    assert capsys.readouterr().err == f"deviloc: {there} is there; --overwrite replaces it\n"
    assert mine.read_text() == "mine" and list(tmp_path.iterdir()) == [there]


@pytest.mark.parametrize(("words", "output", "kind"), OUTPUTS + RESULTS, ids=name_case)
def test_a_folder_is_no_file_and_a_file_no_folder(words, output, kind, tmp_path, capsys):
    there = tmp_path / "there"
    there.mkdir() if kind == "file" else there.write_text("mine")
    overwrite = ["--overwrite"] if (words, output, kind) in OUTPUTS else []
    assert run_command([*words_for(words, output, there), *overwrite]) == 2
    assert f"name a {kind}" in capsys.readouterr().err


@pytest.mark.parametrize("refuse", [refuse_file, refuse_folder])
def test_what_cannot_be_made_is_refused_before_anything_is_done(tmp_path, refuse):
    (tmp_path / "file").write_text("mine")
    refuse(tmp_path / "not" / "there" / "yet", overwrite=True)
    with pytest.raises(NotADirectoryError, match=r"cannot be made, .*file is a file"):
        refuse(tmp_path / "file" / "below" / "it", overwrite=True)
    with pytest.raises(NotADirectoryError, match="/dev/null is a file"):
        refuse(Path("/dev/null/a"), overwrite=True)
    (tmp_path / "link").symlink_to("nowhere/at/all")
    with pytest.raises(NotADirectoryError, match=r"cannot be made, .*link is a link that leads nowhere"):
        refuse(tmp_path / "link" / "below" / "it", overwrite=True)


def test_a_device_is_no_folder():
    with pytest.raises(NotADirectoryError, match="/dev/full is a file; name a folder"):
        refuse_folder(Path("/dev/full"), overwrite=True)


def test_a_mask_that_was_edited_by_hand_is_not_replaced_either(tmp_path, capsys):
    (tmp_path / "a.map-mask.png").write_text("mine")
    line = ["build-map", "--kitti", "nowhere", "--output", str(tmp_path / "a.map"), "--auto-mask"]
    assert run_command(line) == 2
    assert "a.map-mask.png is there; --overwrite replaces it" in capsys.readouterr().err


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir])
def test_nothing_and_an_empty_folder_are_no_obstacle(tmp_path, make):
    make(tmp_path / "new")
    refuse_folder(tmp_path / "new")


@pytest.mark.parametrize("refuse", [refuse_file, refuse_folder])
def test_a_link_that_leads_nowhere_is_there(tmp_path, refuse):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError, match="is there; --overwrite replaces it"):
        refuse(tmp_path / "link")
