"""Read parameters from YAML in one of three layouts: nested, with dotted names, or ROS's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from deviloc_ros.io.plain_files import ParameterLoader, read_yaml
from deviloc_ros.io.suggestions import suggest

NODE = "deviloc"  # the node's default name
ROS_SECTION = "ros__parameters"
WILDCARDS = ("*", "**")


class ParameterFile(NamedTuple):
    """Hold the content of a file: values nested by the parts of their names, and whether it is a node's file."""

    values: dict[str, Any]
    is_of_ros: bool


def read_parameters(path: Path) -> ParameterFile:
    """Read a parameter file of any layout; of duplicate values the later counts, as in ROS.

    Raises:
        OSError: it cannot be read.
        ValueError: invalid YAML, no parameters by name, or none for the node.
    """
    content = read_yaml(path, ParameterLoader)
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise ValueError(f"expected parameters by name, got {content!r}")
    sections = list(list_sections(content))
    values: dict[str, Any] = {}
    for section in select_sections(sections) if sections else [content]:
        nest_values(section, values)
    return ParameterFile(values, bool(sections))


def list_sections(content: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each `ros__parameters` with its place (`/robot1/deviloc`, `/**`), in the order of the file."""
    for key, value in content.items() if isinstance(content, dict) else ():
        if key != ROS_SECTION:
            yield from list_sections(value, f"{place}/{str(key).strip('/')}")
        elif value is None or isinstance(value, dict):
            yield place, value or {}


def select_sections(sections: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the sections for the node in any namespace; a file's only section counts with any name.

    Raises:
        ValueError: there are none, or those of nodes in several namespaces.
    """
    places = [place for place, _ in sections]
    meant = [place for place in places if place.rpartition("/")[2] in (NODE, *WILDCARDS)]
    if not meant and len(set(places)) > 1:
        near = suggest(f"/{NODE}", places)
        raise ValueError(f"has parameters for {', '.join(places)} and none for the node {NODE}{near}")
    robots = {namespace for place in meant if (namespace := place.rpartition("/")[0]).strip("/*")}
    if len(robots) > 1:
        raise ValueError(f"has parameters of several robots, {', '.join(sorted(robots))}; give a file of one")
    return [section for place, section in sections if place in meant or not meant]


def nest_values(values: dict[str, Any], into: dict[str, Any]) -> None:
    """Nest values by the parts of their dotted names. Raises ValueError if a name is both a value and a section."""
    for key, value in values.items():
        *parents, leaf = str(key).split(".")
        tree = into
        for part in parents:
            tree = tree.setdefault(part, {})
            if not isinstance(tree, dict):
                raise ValueError(f"{key}: {part} is the value {tree!r}, not a mapping")
        if not isinstance(value, dict):
            tree[leaf] = value
        elif isinstance(inner := tree.setdefault(leaf, {}), dict):
            nest_values(value, inner)
        else:
            raise ValueError(f"{key} is the value {inner!r}, not a mapping")
