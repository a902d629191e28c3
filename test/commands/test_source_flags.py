"""Which flags a source of images reads: all others are refused by name, as it would ignore them."""

import argparse
from collections.abc import Iterator

import pytest
from test_cli import assert_one_line, status_of

from deviloc_ros.commands import build_map, simulate_bag, update_map
from deviloc_ros.commands.flags.source_flags import (
    ALONE,
    CONTRIBUTED,
    LAYOUTS,
    POSED_FOLDER,
    READ_BY,
    check_flags,
    name_sources,
)

COMMANDS = {"build-map": build_map, "update-map": update_map, "simulate-bag": simulate_bag}
WITHOUT = {"build-map": {CONTRIBUTED}, "update-map": {ALONE}, "simulate-bag": {ALONE, CONTRIBUTED}}
OF_ALL = {
    *("help", "map", "output", "overwrite", "ray", "config", "changes", "matcher", "lift", "landmark_source", "preset"),
    *("weights", "session", "auto_mask", "refine_poses", "descriptor", "rate_hz", "drift", "seed", "truth"),
}


def parser_of(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(exit_on_error=False)
    COMMANDS[command].add(parser)
    return parser


def sources_of(command: str) -> list[str]:
    return [source for source in (*LAYOUTS, POSED_FOLDER, ALONE, CONTRIBUTED) if source not in WITHOUT[command]]


def words_that_give(source: str) -> list[str]:
    """The flags by which a source is given."""
    photographs = {ALONE: ["--images", "photos"], POSED_FOLDER: ["--images", "photos", "--poses", "poses.txt"]}
    return photographs.get(source) or [f"--{source}", "somewhere"]


def words_of(action: argparse.Action) -> list[str]:
    """The flag with a value that is not its default."""
    if action.nargs == 0 or isinstance(action, argparse.BooleanOptionalAction):
        return [action.option_strings[0]]
    other = [choice for choice in action.choices or () if choice != action.default]
    value = other[0] if other else "7"
    return [action.option_strings[0], *[value] * (action.nargs if isinstance(action.nargs, int) else 1)]


def flags_of(command: str) -> Iterator[tuple[str, list[str]]]:
    for action in parser_of(command)._actions:
        if action.dest not in OF_ALL and action.dest not in (*LAYOUTS, CONTRIBUTED):
            yield action.dest, words_of(action)


CASES = [
    (command, source, flag, words)
    for command in COMMANDS
    for source in sources_of(command)
    for flag, words in flags_of(command)
    if (source, flag) != (ALONE, "poses")  # with poses they are no longer alone
    and not (source == POSED_FOLDER and flag in ("pose_topic", "odom_topic", "tf"))  # argparse refuses these
]


@pytest.mark.parametrize(("command", "source", "flag", "words"), CASES)
def test_a_flag_that_the_source_does_not_read_is_refused(command, source, flag, words):
    needed = {"build-map": ["--output", "x"], "update-map": ["x.map"], "simulate-bag": ["--output", "x"]}[command]
    options = parser_of(command).parse_args([*needed, *words_that_give(source), *words])
    if source in READ_BY[flag]:
        check_flags(options)
        return
    with pytest.raises(ValueError, match=f"^{words[0]} goes with .*, not with {name_sources([source])}") as refused:
        check_flags(options)
    for reader in set(READ_BY[flag]) - WITHOUT[command]:
        assert name_sources([reader]) in str(refused.value)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_flag_is_given_where_none_is(command):
    needed = ["x.map"] if command == "update-map" else ["--output", "x"]
    for source in sources_of(command):
        check_flags(parser_of(command).parse_args([*needed, *words_that_give(source)]))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--poses", "cam.tum"], "--images with --poses needs --camera, as PINHOLE,640,480,"),
        (
            ["--poses", "cam.tum", "--positions", "p.txt"],
            "--positions goes with --images alone, not with --images with --poses",
        ),
        (["--odom-topic", "/odom"], "--odom-topic goes with --bag"),
        (["--sequences", "seq-01"], "--sequences goes with --sevenscenes"),
        (["--depth", "."], "--depth goes with --colmap, "),
        ([], "photos: no such folder"),
    ],
)
def test_photographs_do_not_take_flags_of_others(tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(tmp_path)
    assert status_of("build-map", "--images", "photos", "--output", "x.map", *words) == 2
    assert_one_line(capsys, says)


def test_flags_of_depth_that_do_nothing_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = ("--odom-topic", "/odom", "--depth-camera", "PINHOLE,640,480,525,525,319.5,239.5")
    assert status_of("build-map", "--bag", "drive", "--output", "x.map", *flags) == 2
    assert_one_line(capsys, "--depth-camera", "do nothing without --depth-topic")


@pytest.mark.parametrize("command", ["build-map", "update-map"])
def test_the_help_says_what_images_and_camera_are_of(command):
    helps = {action.dest: action.help for action in parser_of(command)._actions}
    assert ("without poses" in helps["images"]) == ("alone" in helps["camera"]) == (command == "build-map")


@pytest.mark.parametrize("word", ["--out-put", "--out-put=x.map", "--no-such-flag"])
def test_an_unknown_flag_is_named_though_another_is_missing(capsys, word):
    assert status_of("build-map", "--images", "photos", word) == 2
    error = capsys.readouterr().err
    assert f"unrecognized arguments: {word.partition('=')[0]}" in error and "required" not in error
    assert ("did you mean '--output'?" in error) == word.startswith("--out")


@pytest.mark.parametrize("words", [["--images", "photos", "--known", "a", "b", "1"], ["--keyframe-m", "-1"], []])
def test_what_is_missing_is_named_where_all_flags_are_known(capsys, words):
    assert status_of("build-map", *words) == 2
    assert "unrecognized" not in capsys.readouterr().err
