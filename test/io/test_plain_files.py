"""Files of parameters, poses and lists: their size is looked at first, and what they hold does not grow."""

import os
import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deviloc_ros.config import Config
from deviloc_ros.io.plain_files import (
    MAX_CONFIG_BYTES,
    ParameterLoader,
    expand_home,
    is_ordinary_file,
    parse_yaml,
    read_json,
    read_text,
    read_yaml,
)
from deviloc_ros.parameters.parameter_file import load_config

ROOT = Path(__file__).resolve().parents[2]
BILLION_LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
)


def sparse(path, size: int):
    with path.open("wb") as file:
        file.truncate(size)
    return path


@pytest.mark.parametrize("read", [read_text, read_json])
def test_files_larger_than_any_of_their_kind_are_not_read(tmp_path, read):
    with pytest.raises(ValueError, match="at most"):
        read(sparse(tmp_path / "large", 1 << 40))


def test_files_of_parameters_are_small(tmp_path):
    with pytest.raises(ValueError, match=f"at most {MAX_CONFIG_BYTES}"):
        load_config(sparse(tmp_path / "large.yaml", MAX_CONFIG_BYTES + 1), Config())


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_may_never_end_is_not_read(tmp_path, kind):
    path = tmp_path / "odd"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="not a file"):
        read_text(path)


@pytest.mark.parametrize("text", [BILLION_LAUGHS, "[" * 100_000, "a: [", "\x00", "!!python/object/apply:os.system [x]"])
def test_yaml_that_grows_or_breaks_is_refused(tmp_path, text):
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(ValueError):
        read_yaml(path)
    with pytest.raises(ValueError, match=r"odd\.yaml"):
        load_config(path, Config())


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["{:e}", "{:.0e}", "{:E}", "{!r}", "{:+g}"]))
def test_numbers_are_numbers_however_they_are_written(number, form):
    """YAML 1.1 takes 1e-6 for text, since it has no point."""
    text = form.format(number)
    assert parse_yaml(text) == float(text) and not isinstance(parse_yaml(text), str)


@pytest.mark.parametrize("text", ["1e", "e5", "1e5x", "a1e5", "1.5.2e1", "2026-11-30", "DEAD", "1e+"])
def test_what_is_no_number_stays_what_it_is(text):
    assert not isinstance(parse_yaml(text), (int, float))


def test_a_byte_order_mark_is_no_text(tmp_path):
    (tmp_path / "marked").write_bytes("a: ü\n".encode("utf-8-sig"))
    assert read_text(tmp_path / "marked") == "a: ü\n" and read_yaml(tmp_path / "marked") == {"a": "ü"}
    (tmp_path / "marked").write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(tmp_path / "marked") == [1]


@pytest.mark.parametrize(
    ("encoding", "message"),
    [("utf-16", r"file: text in UTF-16, .*save it as UTF-8"), ("latin-1", "file: not text in UTF-8")],
)
def test_text_of_another_encoding_is_named(tmp_path, encoding, message):
    (tmp_path / "file").write_text("ü", encoding=encoding)
    with pytest.raises(ValueError, match=message):
        read_text(tmp_path / "file")


def test_only_this_module_reads_the_files_of_users():
    for folder in ("bags", "io", "maps", "ros", "sources", "commands/flags"):
        for file in (ROOT / "deviloc_ros" / folder).glob("*.py"):
            if file.name != "plain_files.py":
                assert not re.search(r"\.read_text\(|yaml\.(safe_)?load\(|json\.load\(", file.read_text()), file


def test_what_stands_twice_is_refused():
    with pytest.raises(ValueError, match="'a' is given twice"):
        parse_yaml("a: 1\nb: 2\na: 3")


def test_parameters_that_stand_twice_are_joined_as_ros_does():
    """As rclpy was seen to take them."""
    text = "/**: {ros__parameters: {a: 1, b: 1}}\n/**: {ros__parameters: {b: 2, b: 3}}"
    assert parse_yaml(text, ParameterLoader) == {"/**": {"ros__parameters": {"a": 1, "b": 3}}}


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzzed") / "file"
    path.write_bytes(data)
    for read in (read_json, read_yaml, lambda path: load_config(path, Config())):
        with suppress(ValueError):
            read(path)


@given(st.integers(301, 4000), st.booleans(), st.sampled_from(["[{}]", '{{"a": {}}}', "{}"]))
def test_integers_that_no_float_holds_are_refused(tmp_path_factory, digits, negative, form):
    path = tmp_path_factory.mktemp("any") / "a.json"
    path.write_text(form.format(f"{'-' * negative}1{'0' * digits}"))
    for read in (read_json, read_yaml):
        with pytest.raises(ValueError, match="digits"):
            read(path)
    path.write_text(form.format(2**63))
    assert str(2**63) in str(read_json(path)) and str(2**63) in str(read_yaml(path))


def test_the_home_of_nobody_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expand_home("~/a") == tmp_path / "a" and expand_home("/a~") == Path("/a~")
    with pytest.raises(ValueError, match="~nobody_at_all/a"):
        expand_home("~nobody_at_all/a")


@pytest.mark.parametrize("name", ["folder", "pipe", "missing", "file/below", "zero\0byte"])
def test_what_is_no_file_is_none(tmp_path, name):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    assert is_ordinary_file(tmp_path / "file") and not is_ordinary_file(tmp_path / name)
