"""Makes tables and writes them, each with its commands and what it was made with, into the pages of docs/."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.tables.measure import Bench, Measurement, shown
from benchmarks.tables.page import rewrite
from benchmarks.tables.registry import Table


def is_waiting(table: Table) -> bool:
    """Whether this machine cannot make it."""
    return table.needs_cuda and not torch.cuda.is_available()


def measurements_of(table: Table, bench: Bench, again: set[str]) -> list[Measurement]:
    """Of each command: what is kept, but for those commands that are to run again.

    Args:
        again: is emptied of commands as they are run, so that tables share a run.

    Raises:
        ValueError: a command failed.
    """
    measured = []
    for command in table.commands:
        kept = None if command in again else bench.kept(command)
        measured.append(kept or bench.measure(command))
        again.discard(command)
    return measured


def block(table: Table, measured: list[Measurement]) -> str:
    """What stands between the markers.

    Raises:
        ValueError: what was kept of an earlier version of the command cannot be shown.
    """
    try:
        rendered = table.render([one.result for one in measured])
    except KeyError as error:
        raise ValueError(f"what is kept of its commands has no {error}: run them anew, without --resume") from error
    commands = "\n".join(f"    {shown(command)}" for command in table.commands)
    made_with = "; and with ".join(dict.fromkeys(map(str, measured)))
    picture = f"\n\n![{table.caption}]({table.name}.svg)" if table.draw else ""
    return f"{commands}\n\n{rendered}\n\nMade with {made_with}.{picture}"


def write(table: Table, page: Path, measured: list[Measurement]) -> None:
    """Into its page, the picture beside it."""
    text = block(table, measured)
    if table.draw:
        table.draw(page.parent / f"{table.name}.svg", [one.result for one in measured])
    rewrite(page, table.name, text)
