"""Read text, JSON and YAML of bounded size, so that no file can fill the memory before it is checked."""

from __future__ import annotations

import codecs
import json
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml

T = TypeVar("T")
MAX_TEXT_BYTES = 1 << 28  # three million poses, or half a million frames of a transforms.json
MAX_DIGITS = 150  # of an integer: its square, too, is below the largest float
MAX_DEPTH = 32  # of YAML
MAX_CONFIG_BYTES = 1 << 20  # a thousand times all parameters there are


def read_text(path: Path, max_bytes: int = MAX_TEXT_BYTES, errors: str = "strict") -> str:
    """Read a text file in UTF-8, without its byte order mark.

    Args:
        errors: how to handle invalid UTF-8, as in Path.read_text.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not a regular file, or too large, or not UTF-8.
    """
    check_size(path, max_bytes)
    data = path.read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError(f"{path}: text in UTF-16, as Windows' tools write it; save it as UTF-8")
    try:
        return data.decode("utf-8-sig", errors)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not text in UTF-8: {error.reason} at byte {error.start}") from error


def is_ordinary_file(path: Path) -> bool:
    """Return whether a path leads to a file that is no folder, pipe or device.

    Raises:
        OSError: that cannot be seen, as without permission.
    """
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # a name with a zero byte is none
        return False


def expand_home(path: str) -> Path:
    """Return a path that begins with no `~` any more. Raises ValueError: nobody knows whose home is meant."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{path}: whose home is meant is not known") from error


def check_size(path: Path, max_bytes: int) -> None:
    """Raise ValueError unless a path is a regular file of bounded size, OSError if it does not exist."""
    size = path.stat().st_size
    if not path.is_file():  # a pipe or a device may never end
        raise ValueError(f"{path}: not a file")
    if size > max_bytes:
        raise ValueError(f"{path}: {size} bytes, a file of this kind has at most {max_bytes}")


def read_json(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> Any:
    """Read a JSON file. Raises OSError or ValueError as `read_text` does, or ValueError for invalid JSON."""
    try:
        return json.loads(read_text(path, max_bytes), parse_int=parse_integer)
    except RecursionError as error:
        raise ValueError("nested without end") from error


def parse_integer(text: str) -> int:
    """Parse an integer. Raises ValueError for one that does not fit into a float."""
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} digits, {text[:20]}…")
    return int(text)


class PlainLoader(yaml.SafeLoader):
    """Load plain values; 1e-6 is a number, as in ROS and YAML 1.2, and duplicate names are refused."""

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Return an integer, parsed by `parse_integer`."""
        if len(node.value) > MAX_DIGITS:
            raise yaml.constructor.ConstructorError(
                None, None, f"a number of {len(node.value)} digits", node.start_mark
            )
        return super().construct_yaml_int(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the values by name; duplicates are handled by `join`."""
        names: dict[tuple[str, Any], int] = {}
        kept: list[tuple[yaml.Node, yaml.Node]] = []
        for key, value in node.value:
            name = key.tag, str(key.value)
            if name not in names:
                names[name] = len(kept)
                kept.append((key, value))
            else:
                kept[names[name]] = self.join(*kept[names[name]], value)
        node.value = kept
        return super().construct_mapping(node, deep)

    def join(self, key: yaml.Node, before: yaml.Node, value: yaml.Node) -> tuple[yaml.Node, yaml.Node]:
        """Return what a name means that stands twice."""
        raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", value.start_mark)


class ParameterLoader(PlainLoader):
    """Load parameters as ROS does: duplicate sections are merged, and of duplicate values the later counts."""

    def join(self, key: yaml.Node, before: yaml.Node, value: yaml.Node) -> tuple[yaml.Node, yaml.Node]:
        """Return both sections in one, or the later value."""
        if isinstance(before, yaml.MappingNode) and isinstance(value, yaml.MappingNode):
            before.value.extend(value.value)
            return key, before
        return key, value


PlainLoader.add_constructor("tag:yaml.org,2002:int", PlainLoader.construct_yaml_int)
PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def check_events(text: str, *, aliases: bool = False) -> None:
    """Raise ValueError for YAML with aliases, unless they are allowed, or with very deep nesting."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) and not aliases:
            raise ValueError("aliases (*name) are not read")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")


def read_yaml(path: Path, loading: type[PlainLoader] = PlainLoader, *, aliases: bool = False) -> Any:
    """Read a YAML file of at most a megabyte.

    Args:
        loading: ParameterLoader for parameters of ROS.
        aliases: allow them; before copying or printing a value the caller must then check its size.

    Raises:
        OSError: it cannot be read.
        ValueError: invalid YAML, a duplicate name, or aliases, which can turn a kilobyte into a gigabyte and which ROS
            refuses as well.
    """
    return parse_yaml(read_text(path, MAX_CONFIG_BYTES), loading, aliases=aliases)


def parse_yaml(text: str, loading: type[PlainLoader] = PlainLoader, *, aliases: bool = False) -> Any:
    """Parse YAML text. Raises ValueError as `read_yaml` does."""
    try:
        check_events(text, aliases=aliases)
        loader = loading(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from error


def read_named_lines(path: Path, parse: Callable[[str], tuple[str, T]], what: str) -> dict[str, T]:
    """Read a file with one line per name; `#` begins a comment.

    Args:
        parse: returns name and value of a line; raises ValueError.
        what: kind of value, for the message about a duplicate name.

    Raises:
        OSError: it cannot be read.
        ValueError: naming file and line.
    """
    values: dict[str, T] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            name, value = parse(line)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from error
        if name in values:
            raise ValueError(f"{path}:{number}: the second {what} of {name!r}")
        values[name] = value
    return values
