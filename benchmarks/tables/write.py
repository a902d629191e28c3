"""Make tables and write them, each with its commands and what it was made with, into the pages of docs/."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.tables.measure import Bench, Measurement, describe_origin, format_command
from benchmarks.tables.page import rewrite_table
from benchmarks.tables.registry import DocsTable


def needs_other_machine(table: DocsTable) -> bool:
    """Return whether this machine cannot make a table."""
    return table.needs_cuda and not torch.cuda.is_available()


def collect_measurements(table: DocsTable, bench: Bench, again: set[str]) -> list[Measurement]:
    """Return what is kept of each command, but for those commands that are to run again.

    Args:
        again: is emptied of commands as they are run, so that tables share a run.

    Raises:
        ValueError: a command failed.
    """
    measured = []
    for command in table.commands:
        kept = None if command in again else bench.read_kept(command)
        measured.append(kept or bench.measure(command))
        again.discard(command)
    return measured


def format_block(table: DocsTable, measured: list[Measurement]) -> str:
    """Return what stands between the markers.

    Raises:
        ValueError: what was kept of an earlier version of the command cannot be shown.
    """
    try:
        rendered = table.render([one.result for one in measured])
    except KeyError as error:
        raise ValueError(f"what is kept of its commands has no {error}: run them anew, without --resume") from error
    commands = "\n".join(f"    {format_command(command)}" for command in table.commands)
    picture = f"\n\n![{table.caption}]({table.name}.svg)" if table.draw else ""
    return f"{commands}\n\n{rendered}\n\nMade with {describe_origin(measured)}.{picture}"


def write_table(table: DocsTable, page: Path, measured: list[Measurement]) -> None:
    """Write a table into its page, the picture beside it."""
    text = format_block(table, measured)
    if table.draw:
        table.draw(page.parent / f"{table.name}.svg", [one.result for one in measured])
    rewrite_table(page, table.name, text)
