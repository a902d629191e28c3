"""Make the tables of docs/ anew: `bench tables`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deviloc_ros.commands.flags.common import add_data, add_every, step_of

if TYPE_CHECKING:
    from benchmarks.tables.measure import Bench
    from benchmarks.tables.registry import DocsTable


def add(benches: argparse._SubParsersAction) -> None:
    """Add the command's flags."""
    parser = benches.add_parser(
        "tables",
        help="make the tables of docs/ anew, or some of them",
        description="Runs the commands that tables of docs/ are made by, and rewrites those tables and nothing else. "
        "All of them take hours; what each command measured is kept in --cache.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="see --list; default: all")
    parser.add_argument("--list", action="store_true", help="say which tables there are and how they are made")
    parser.add_argument("--resume", action="store_true", help="run only commands that --cache knows nothing of")
    add_every(parser, "query, for a quick look: tables are printed, pages stay as they are")
    add_data(parser)
    parser.add_argument("--docs", type=Path, default=Path("docs"), metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--cache", type=Path, default=Path("results/tables"), metavar="DIR", help="default: %(default)s"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the commands that the named tables are made by, and rewrite those tables.

    Return 1 if one could not be made.
    """
    from benchmarks.tables.measure import Bench
    from benchmarks.tables.page import find_pages
    from benchmarks.tables.registry import select_tables
    from benchmarks.tables.write import collect_measurements, format_block, needs_other_machine, write_table

    tables, places = select_tables(options.names), find_pages(options.docs)
    bench = Bench(options.data, options.cache, step_of(options))
    missing = [table.name for table in tables if table.name not in places]
    if missing:
        raise ValueError(f"{options.docs}: no page has the markers <!-- table {missing[0]} --> and its end")
    if options.list:
        for table in tables:
            print(describe_table(table, places[table.name], bench))
        return 0
    again = set() if options.resume else {command for table in tables for command in table.commands}
    failed = 0
    for number, table in enumerate(tables, 1):
        print(f"[{number}/{len(tables)}] {table.name}", flush=True)
        if needs_other_machine(table):
            print("  left as it is: it needs a CUDA device")
            continue
        try:
            measured = collect_measurements(table, bench, again)
            if bench.every > 1:
                print(format_block(table, measured))
            else:
                write_table(table, places[table.name], measured)
        except ValueError as error:
            print(f"  left as it is: {error}", file=sys.stderr)
            failed += 1
    return 1 if failed else 0


def describe_table(table: DocsTable, page: Path, bench: Bench) -> str:
    """Say where a table stands, what makes it, and when that was run last."""
    from benchmarks.tables.measure import format_command

    lines = [f"{table.name} ({page}){', needs a CUDA device' if table.needs_cuda else ''}"]
    for command in table.commands:
        kept = bench.read_kept(command)
        when = f"{kept.date}, commit {kept.commit}, {kept.minutes:g} min" if kept else "not run here"
        lines.append(f"    {format_command(command)}  [{when}]")
    return "\n".join(lines)
