"""Read what a parameter file says to a node, as rcl does. Launch files ask, before any node runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deviloc_ros.io.plain_files import ParameterLoader, read_yaml
from deviloc_ros.parameters.layouts import list_sections


def read_use_sim_time(path: Path, node: str) -> bool:
    """Return what the file says of `use_sim_time` to the node of this full name (`/robot1/deviloc`); false if nothing.

    Raises:
        ValueError: the file is no YAML, or says neither true nor false.
        OSError: it cannot be read.
    """
    try:
        content = read_yaml(path, ParameterLoader)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    said = [parameters["use_sim_time"] for parameters in find_sections(content, node) if "use_sim_time" in parameters]
    value = said[-1] if said else False
    if not isinstance(value, bool):
        raise ValueError(f"{path}: use_sim_time must be true or false, not {value!r}")
    return value


def find_sections(content: Any, node: str) -> Iterator[dict[str, Any]]:
    """Yield the `ros__parameters` that hold for a node, in the order of the file: the later ones count."""
    return (section for place, section in list_sections(content) if is_meant(node, place))


def is_meant(node: str, place: str) -> bool:
    """Return whether `place` names the node: `*` stands for one name, `**` for any number of them."""
    pattern = place.replace("/**", r"(/\w+)*").replace("/*", r"/\w+")
    return re.fullmatch(pattern, node) is not None
