"""The command line: `python -m deviloc_ros COMMAND`. Each command is a module of `commands/`."""

from __future__ import annotations

import argparse
import logging
import sys

from deviloc_ros import __version__
from deviloc_ros.commands import (
    ablate,
    adapt,
    bench,
    benchmark,
    build_map,
    compare,
    demo,
    doctor,
    evaluate,
    evaluate_bag,
    evaluate_pin,
    export_map,
    fetch_weights,
    import_descriptor,
    localize,
    maps,
    simulate_bag,
    train,
    update_map,
)

COMMANDS = (
    build_map,
    update_map,
    maps,
    export_map,
    localize,
    evaluate,
    evaluate_bag,
    compare,
    simulate_bag,
    evaluate_pin,
    ablate,
    train,
    adapt,
    demo,
    bench,
    benchmark,
    doctor,
    fetch_weights,
    import_descriptor,
)


def main(arguments: list[str] | None = None) -> None:
    """Run a command. An error that the user can mend is one line on stderr and exit status 2."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.DEBUG if options.verbose else logging.WARNING, format="%(levelname)s %(message)s")
    try:
        status = options.run(options)
    except (ValueError, OSError) as error:
        if options.verbose:
            raise
        print(f"deviloc: {in_words(error)}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        if options.verbose:
            raise
        print("deviloc: interrupted", file=sys.stderr)
        status = 130  # as shells say it
    sys.exit(status)


def in_words(error: Exception) -> str:
    """What the system said of a file, the file first, as our own messages have it."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    root = argparse.ArgumentParser(
        prog="python -m deviloc_ros", description="Visual localization in a map made earlier."
    )
    root.add_argument("--version", action="version", version=__version__)
    root.add_argument("--verbose", action="store_true", help="debug messages, and where an error came from")
    commands = root.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    return root
