"""Replace tables in Markdown pages: what stands between `<!-- table NAME -->` and `<!-- end of table NAME -->`."""

from __future__ import annotations

import re
from pathlib import Path

from deviloc_ros.io.atomic import replace_on_success

MARKER = re.compile(r"^<!-- (end of )?table (\S+) -->$", re.MULTILINE)


def find_pages(folder: Path) -> dict[str, Path]:
    """Find the page of each table that is marked in the pages of a folder and of those below.

    Raises:
        ValueError: no page has a table, a table is marked twice, or a marker lacks its other half.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.md")):
        markers = MARKER.findall(path.read_text())
        for (end, name), (other_end, other) in zip(markers[::2], [*markers[1::2], ("", "")], strict=False):
            if end or not other_end or name != other:
                raise ValueError(f"{path}: the markers of table {name!r} are not one of each, in order")
            if name in found:
                raise ValueError(f"{path}: table {name!r} is in {found[name]} already")
            found[name] = path
    if not found:
        raise ValueError(f"{folder}: no page with marked tables; run this in the repository, or name it with --docs")
    return found


def rewrite_table(path: Path, name: str, content: str) -> None:
    """Replace what a page has between the markers of a table, and nothing else.

    Raises:
        ValueError: the page has no such markers.
    """
    start, end = f"<!-- table {name} -->\n", f"<!-- end of table {name} -->"
    before, marked, rest = path.read_text().partition(start)
    _, ended, after = rest.partition(end)
    if not marked or not ended:
        raise ValueError(f"{path}: has no markers of table {name!r}")
    body = content.strip("\n")  # the spaces before a first line of code mean something
    with replace_on_success(path) as draft:
        draft.write_text(f"{before}{start}\n{body}\n\n{end}{after}")
