"""The parts of a page: its frame, cards, figures, tables. All text is escaped; pictures are inside the file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import NamedTuple

from matplotlib.figure import Figure

from deviloc_ros.evaluation.report.figures import svg_uri


class Part(NamedTuple):
    """A figure and its caption. scene: of a figure that can be turned, from `space.scene`."""

    caption: str
    figure: Figure
    scene: str = ""


Parts = Sequence[tuple[str, Figure] | Part]
Section = tuple[str, str, Parts]  # heading, how to read it, figures


def page(title: str, introduction: str, body: list[str], details: str) -> str:
    """The template, filled in."""
    here = files(__package__)
    template = Template((here / "template.html").read_text())
    style = (here / "style.css").read_text()
    script = (here / "space.js").read_text()
    return template.substitute(
        title=escape(title),
        style=style,
        introduction=introduction,
        body="\n".join(filter(None, body)),
        details=details,
        script=script,
        script_source=source_of(script),
    )


def source_of(script: str) -> str:
    """How a Content-Security-Policy names this very script, so that no other runs (CSP 3, hash sources)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def cards(items: Iterable[tuple[str, str, str]]) -> str:
    """The headline: name, value and kind of each figure; the kind is `good`, `bad` or nothing."""
    boxes = [
        f'<div class="card {kind}"><span>{escape(name)}</span><b>{escape(value)}</b></div>'
        for name, value, kind in items
    ]
    return f'<div class="cards">{"".join(boxes)}</div>'


def section(heading: str, explanation: str, parts: Parts) -> str:
    """A heading, a word, figures beside each other where there is room."""
    pictures = [
        f'<figure{scene_attribute(scene)}><img src="{svg_uri(figure)}" alt="{escape(caption or heading)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, figure, scene in (Part(*part) for part in parts)
    ]
    return f'<h2>{escape(heading)}</h2>{paragraph(explanation)}<div class="figures">{"".join(pictures)}</div>'


def scene_attribute(scene: str) -> str:
    """What `space.js` looks for."""
    return f' data-scene="{escape(scene)}"' if scene else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Plain cells, the first column being numbers."""
    top = "".join(f"<th{number_class(i)}>{escape(cell)}</th>" for i, cell in enumerate(head))
    lines = "".join(
        "<tr>" + "".join(f"<td{number_class(i)}>{escape(cell)}</td>" for i, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><tr>{top}</tr>{lines}</table></div>'


def number_class(column: int) -> str:
    return ' class="number"' if column == 0 else ""


def paragraph(text: str, kind: str = "") -> str:
    """Escaped."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"
