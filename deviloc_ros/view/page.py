"""Make the page: one file without external resources; a live page only reads events from its own server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from deviloc_ros.evaluation.report import html
from deviloc_ros.evaluation.report.space import make_scene
from deviloc_ros.evaluation.report.trajectories import outline_map
from deviloc_ros.maps.store import Map


def make_map_scene(reference_map: Map) -> dict[str, Any]:
    """Return the map for `space.js`: landmarks and keyframes [mm] relative to `middle` [mm]."""
    return json.loads(make_scene([], outline_map(reference_map)))


def make_view_page(reference_map: Map, drawn: dict[str, Any], events: Sequence[dict[str, Any]], *, live: bool) -> str:
    """Return the page of a map and the events so far.

    Args:
        drawn: the map's scene from `make_map_scene`.
        live: whether the page reads further events from `/events` of its server.
    """
    name, views = reference_map.name, len(reference_map)
    report, here = files(html.__package__), files(__package__)
    script = (report / "space.js").read_text() + (here / "view.js").read_text()
    return Template((here / "page.html").read_text()).substitute(
        title=escape(f"{name}: {views} views"),
        style=(report / "style.css").read_text() + (here / "view.css").read_text(),
        scene=escape(json.dumps(drawn, separators=(",", ":"))),
        events=escape(json.dumps(list(events), separators=(",", ":"))),
        live="live" if live else "",
        connect="'self'" if live else "'none'",
        script=script,
        script_source=html.script_source(script),
    )
