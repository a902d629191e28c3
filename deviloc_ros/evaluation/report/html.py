"""Make the parts of a page: template, cards, figures, tables. All text is escaped; pictures are embedded."""

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


class FigurePart(NamedTuple):
    """Hold a figure and its caption; `scene`, from `space.make_scene`, is of a figure that can be turned."""

    caption: str
    figure: Figure
    scene: str = ""


Parts = Sequence[tuple[str, Figure] | FigurePart]
Section = tuple[str, str, Parts]  # heading, how to read it, figures


def fill_page(title: str, introduction: str, body: list[str], details: str) -> str:
    """Fill in the template."""
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
        script_source=script_source(script),
    )


def script_source(script: str) -> str:
    """Return how a Content-Security-Policy names this very script, so that no other runs (CSP 3, hash sources)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def make_cards(items: Iterable[tuple[str, str, str]]) -> str:
    """Make the headline: name, value and kind of each figure; the kind is `good`, `bad` or nothing."""
    boxes = [
        f'<div class="card {kind}"><span>{escape(name)}</span><b>{escape(value)}</b></div>'
        for name, value, kind in items
    ]
    return f'<div class="cards">{"".join(boxes)}</div>'


def make_section(heading: str, explanation: str, parts: Parts) -> str:
    """Make a heading, an explanation and figures beside each other where there is room."""
    pictures = [
        f'<figure{scene_attribute(scene)}><img src="{svg_uri(figure)}" alt="{escape(caption or heading)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, figure, scene in (FigurePart(*part) for part in parts)
    ]
    return f'<h2>{escape(heading)}</h2>{make_paragraph(explanation)}<div class="figures">{"".join(pictures)}</div>'


def scene_attribute(scene: str) -> str:
    """Return the attribute that `space.js` looks for."""
    return f' data-scene="{escape(scene)}"' if scene else ""


def make_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Make a table of plain cells, the first column being numbers."""
    top = "".join(f"<th{number_class(i)}>{escape(cell)}</th>" for i, cell in enumerate(head))
    lines = "".join(
        "<tr>" + "".join(f"<td{number_class(i)}>{escape(cell)}</td>" for i, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><tr>{top}</tr>{lines}</table></div>'


def number_class(column: int) -> str:
    """Return the class of the first column's cells."""
    return ' class="number"' if column == 0 else ""


def make_paragraph(text: str, kind: str = "") -> str:
    """Make a paragraph of escaped text."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"
