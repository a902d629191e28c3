"""Write the API page from docstrings: `python -m benchmarks.api > docs/api.md`. A test holds it current."""

from __future__ import annotations

import enum
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

HEAD = """\
# API

Written by `python -m benchmarks.api > docs/api.md` from docstrings. `from deviloc_ros import NAME` imports what is
needed when a name is first used; what is not on this page may change without notice. Frames, units and words:
[concepts](concepts.md). In use: [notebooks](../examples/README.md).
"""
# Module and names of each group; of classes, public methods too.
GROUPS = {
    "Localize": (
        ("deviloc_ros", ("Map", "Localizer", "Camera", "Prior", "read_gray")),
        ("deviloc_ros", ("Localized", "Lost", "Status")),
        ("deviloc_ros.types", ("Evidence",)),
    ),
    "Make a map": (
        ("deviloc_ros", ("build_map", "PosedImage", "Config")),
        ("deviloc_ros.mapping.views", ("BuildReport",)),
    ),
    "Read posed images": (
        ("deviloc_ros.sources.base", ("Source",)),
        ("deviloc_ros.sources.colmap", ("read_model",)),
        ("deviloc_ros.sources.nerfstudio", ("read_transforms",)),
        ("deviloc_ros.sources.kapture", ("read_kapture",)),
        ("deviloc_ros.sources.sevenscenes", ("read_seven_scenes",)),
        ("deviloc_ros.sources.kitti", ("read_kitti",)),
    ),
    "Follow a robot": (
        ("deviloc_ros.tracking.follower", ("Follower", "Step")),
        ("deviloc_ros.tracking.fix", ("Fix",)),
        ("deviloc_ros.tracking.odometry", ("Odometry",)),
    ),
    "Read recordings": (("deviloc_ros.bags.reader", ("Recording", "RecordedMessage")),),
    "Bring a matcher of your own": (
        ("deviloc_ros.matching.base", ("Matcher",)),
        ("deviloc_ros.types", ("Features", "Matches")),
    ),
}


def page() -> str:
    """Return the whole page."""
    parts = [HEAD]
    for title, modules in GROUPS.items():
        parts.append(f"## {title}\n")
        for module_name, names in modules:
            module = importlib.import_module(module_name)
            for name in names:
                parts += entry(module_name, name, getattr(module, name))
    return "\n".join(parts)


def entry(module: str, name: str, thing: Any) -> Iterator[str]:
    """Yield the lines on one class or function."""
    yield f"### {name}\n"
    yield f"`from {module} import {name}`\n"
    if not (inspect.isclass(thing) and issubclass(thing, enum.Enum)):
        yield f"```python\n{signature(name, thing)}\n```\n"
    yield docstring(thing)
    if inspect.isclass(thing):
        yield from members(thing)


def members(kind: type) -> Iterator[str]:
    """Yield the public methods and properties that a class itself defines, in order, and the words of an enum."""
    if issubclass(kind, enum.Enum):
        yield "| word | means |\n|---|---|"
        yield "\n".join(f"| `{member.name}` | {member.value} |" for member in kind) + "\n"
    for name, member in vars(kind).items():
        plain = member.__func__ if isinstance(member, staticmethod | classmethod) else member
        if name.startswith("_") or not (inspect.isfunction(plain) or isinstance(plain, property)):
            continue
        if inspect.isfunction(plain):
            yield f"```python\n{signature(f'{kind.__name__}.{name}', plain)}\n```\n"
        else:
            yield f"`{kind.__name__}.{name}`\n"
        yield docstring(plain)


def signature(name: str, thing: Any) -> str:
    """Return how it is called, an argument a line where one line is too long."""
    found = inspect.signature(thing)
    parameters = [written(p) for p in found.parameters.values() if p.name != "self" and not p.name.startswith("_")]
    first = next((n for n, p in enumerate(found.parameters.values()) if p.kind is p.KEYWORD_ONLY), None)
    if first is not None:
        parameters.insert(first - ("self" in found.parameters), "*")
    result = (
        "" if inspect.isclass(thing) or found.return_annotation is found.empty else f" -> {found.return_annotation}"
    )
    line = f"{name}({', '.join(parameters)}){result}"
    if len(line) <= 100:
        return line
    return f"{name}(\n" + "".join(f"    {parameter},\n" for parameter in parameters) + f"){result}"


def written(parameter: inspect.Parameter) -> str:
    """Return a parameter as its function's source has it; annotations are text already."""
    annotation = "" if parameter.annotation is parameter.empty else f": {parameter.annotation}"
    if parameter.default is parameter.empty:
        return f"{parameter.name}{annotation}"
    default = "..." if repr(parameter.default).startswith("<") else repr(parameter.default)
    return f"{parameter.name}{annotation} = {default}"


def docstring(thing: Any) -> str:
    """Return a docstring as Markdown: Args, Returns and Raises become lists."""
    lines = []
    for line in (inspect.getdoc(thing) or "").splitlines():
        if line in ("Args:", "Returns:", "Raises:"):
            lines.append(f"*{line[:-1]}*\n")
        elif line.startswith("    ") and not line.startswith("     "):
            lines.append(f"- {line.strip()}")
        elif line.startswith("     "):
            lines.append(textwrap.indent(line.strip(), "  "))
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
