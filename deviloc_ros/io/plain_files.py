"""Read text, JSON and YAML of bounded size: no file may fill the memory before anything in it is checked."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

MAX_TEXT_BYTES = 1 << 28  # three million poses, or half a million frames of a transforms.json
MAX_DEPTH = 32  # of YAML
MAX_CONFIG_BYTES = 1 << 20  # a thousand times all parameters there are


def read_text(path: Path, max_bytes: int = MAX_TEXT_BYTES, **options: Any) -> str:
    """Read a text file.

    Args:
        options: of Path.read_text.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no ordinary file, or larger than any of its kind, or not text.
    """
    check_size(path, max_bytes)
    return path.read_text(**options)


def check_size(path: Path, max_bytes: int) -> None:
    """Raise ValueError unless a path is an ordinary file of at most so many bytes, OSError if there is nothing."""
    size = path.stat().st_size
    if not path.is_file():  # a pipe or a device may never end
        raise ValueError(f"{path}: not a file")
    if size > max_bytes:
        raise ValueError(f"{path}: {size} bytes, a file of this kind has at most {max_bytes}")


def read_json(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> Any:
    """Read a JSON file. Raises OSError or ValueError as `read_text`, ValueError also if it is no JSON."""
    try:
        return json.loads(read_text(path, max_bytes))
    except RecursionError as error:
        raise ValueError("nested without end") from error


class ParameterLoader(yaml.SafeLoader):
    """Load plain values, and 1e-6 as the number that it is to ROS and in YAML 1.2, not as text."""


ParameterLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def check_events(text: str) -> None:
    """Raise ValueError for YAML with aliases, or nested so deep that the parser would take hours."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("aliases (*name) are not read")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")


def read_yaml(path: Path) -> Any:
    """Read a YAML file of parameters.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no YAML, or uses aliases, by which a kilobyte becomes a gigabyte and which ROS refuses, too.
    """
    return parse_yaml(read_text(path, MAX_CONFIG_BYTES))


def parse_yaml(text: str) -> Any:
    """Return what a text says in YAML. Raises ValueError as `read_yaml`."""
    try:
        check_events(text)
        loader = ParameterLoader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from error
