"""Run the command line `deviloc COMMAND`. Each command is a module of `commands/`, imported only when it is called."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any, NamedTuple, NoReturn, TextIO, cast

from deviloc_ros import __version__
from deviloc_ros.commands.examples import format_examples
from deviloc_ros.io.suggestions import suggest
from deviloc_ros.io.terminal import PrintableFormatter, PrintableStream, make_printable

PROGRAM = "deviloc"
LAB = "lab"
UNMIXED = (argparse.PARSER, argparse.REMAINDER)  # take all that follows
COMPLETION = "_ARGCOMPLETE"  # set by a shell's completion of argcomplete, which wants proposals and no work


class Command(NamedTuple):
    """Hold a command: its module in `commands/`, its line in the help, and a longer description where needed."""

    module: str
    about: str
    description: str = ""


GROUPS = {
    "map": {
        "build-map": Command("build_map", "build a map from images, with or without poses"),
        "update-map": Command("update_map", "add images with poses in the map's frame to a map"),
        "map": Command("maps", "inspect maps; prune, align and merge them"),
        "export-map": Command("export_map", "write a map as a COLMAP model or a PLY cloud"),
    },
    "localize": {
        "localize": Command("localize", "localize images in a map"),
        "view": Command("view", "view a map, a recording while it is localized, or a running node in the browser"),
    },
    "evaluate": {
        "evaluate-bag": Command(
            "evaluate_bag",
            "localize the images of recordings (ROS 1 or 2) in a map; compare with ground truth",
            "Localizes the images of a recording as the node would, and writes metrics, trajectories, a bag of the "
            "poses and a report page. Without ground truth it reports when there was a pose, not how accurate it is.",
        ),
        "compare": Command("compare", "compare runs of evaluate-bag on one page"),
        "compare-poses": Command(
            "compare_poses",
            "compare files of camera poses with ground truth: from localize, hloc, COLMAP, TUM, …",
            "Compares files of camera poses of any program with ground truth. Formats: lines "
            "`NAME QW QX QY QZ TX TY TZ` (cam_from_world, as hloc's results), a COLMAP model, a map, the output of "
            "`localize --json`, a transforms.json, TUM's or EuRoC's camera poses by time, and KITTI's by number. "
            "Images are identified by name, without folders, or by the time in their name. "
            "Lengths are in metres.",
        ),
        "simulate-bag": Command(
            "simulate_bag",
            "make a recording with drifting odometry from posed images",
            "Writes the bag of a robot whose camera took these images, in their order: images, camera_info, /tf, "
            "/odom, /ground_truth. Its odometry starts at the true pose and drifts: a scale error and a rotation per "
            "metre, each drawn once, and noise on each rotation.",
        ),
    },
    "help": {
        "doctor": Command("doctor", "find out why there is no pose"),
        "demo": Command("demo", "map a rendered room (or the kitchen), replay a bag to the node, show the error"),
        LAB: Command("", "research: fixed protocols, benches, training (`deviloc lab` lists them)"),
    },
}
RESEARCH = {
    "evaluate": Command("evaluate", "run a fixed protocol on real data"),
    "ablate": Command("ablate", "localize the same queries with parts of the method left out"),
    "evaluate-pin": Command("evaluate_pin", "predict held-out landmarks of real scenes"),
    "adapt": Command("adapt", "fine-tune the Point Inference Network on a map's own landmarks"),
    "train": Command("train", "train a Point Inference Network"),
    "bench": Command("bench", "measure speed and dependability"),
    "benchmark": Command("benchmark", "score a public data set, or write its submission file"),
    "export-onnx": Command("export_onnx", "write a matcher's networks for TensorRT and other runtimes"),
    "fetch-weights": Command("fetch_weights", "download the released weights of DeViLoc or TopicFM-fast"),
    "import-descriptor": Command(
        "import_descriptor", "make a global descriptor's file from a torch-hub folder, whose code it runs"
    ),
}


class HelpFormatter(argparse.HelpFormatter):
    """Fill text as argparse does, and leave paragraphs that have lines of their own as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Return the paragraphs, those of one line filled."""
        fill = super()._fill_text
        return "\n\n".join(part if "\n" in part else fill(part, width, indent) for part in text.split("\n\n"))


class CommandParser(argparse.ArgumentParser):
    """Say what is wrong with a command line in one line, and which flag may have been meant."""

    words: Sequence[str] = ()  # that it parses
    is_parsing = False  # argparse parses flags and positional words, which may stand between them, one after the other

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, flags and what is none in any order, and keep the words for `error`."""
        if self.is_parsing:
            return super().parse_known_args(args, namespace)
        self.words = sys.argv[1:] if args is None else list(args)
        if any(action.nargs in UNMIXED for action in self._actions):
            return super().parse_known_args(args, namespace)
        self.is_parsing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self.is_parsing = False

    def error(self, message: str) -> NoReturn:
        """Print the message and exit with status 2."""
        if message.endswith(" required") or " are required: " in message:
            unknown = self.find_unknown_flag()  # what is missing may be there, misspelt
            message = f"unrecognized arguments: {unknown}" if unknown else message
        words = message.partition("unrecognized arguments: ")[2]
        if words:
            flag = words.split()[0].partition("=")[0]
            message += suggest(flag, self.list_flags()) if flag.startswith("-") else ""
        self.exit(2, f"{self.prog}: error: {message}\n`{self.prog} --help` lists what it takes\n")

    def find_unknown_flag(self) -> str:
        """Return the first word that is a flag and none of its own, nor the beginning of one; else nothing."""
        flags = [word.partition("=")[0] for word in self.words if word.startswith("--") and word != "--"]
        known = self.list_flags()
        return next((flag for flag in flags if not any(one.startswith(flag) for one in known)), "")

    def list_flags(self) -> list[str]:
        """Return its flags, and those of its actions."""
        inner = [action.choices for action in self._actions if isinstance(action, argparse._SubParsersAction)]
        below = [flag for parsers in inner for parser in parsers.values() for flag in parser.list_flags()]
        return [*self._option_string_actions, *below]


def main(arguments: list[str] | None = None) -> None:
    """Run a command. An error that the user can mend is one line on stderr and exit status 2."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - closed by the shell (`>&-`): as long as it runs
    if COMPLETION in os.environ:
        complete_line(os.environ.get("COMP_LINE", ""))
    try:
        try:
            status = run_command(sys.argv[1:] if arguments is None else arguments)
        finally:
            sys.stdout.flush()  # a closed pipe is met here, not while Python ends
    except BrokenPipeError:
        status = fall_silent()
    except KeyboardInterrupt:  # also of the imports
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the same key again, by whoever is impatient
        if "--verbose" in sys.argv:
            raise
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        status = 130  # as shells say it
    sys.exit(status)


def fall_silent() -> int:
    """Let what is still buffered go nowhere, as nobody reads on (`| head`), and return the status that says so."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE  # as of programs that the signal ends


def run_command(arguments: list[str]) -> int:
    """Run a command and return its exit status. What it prints is made printable: names in files are anyone's text."""
    options = parse(arguments)
    from deviloc_ros.commands.flags.common import check_outputs
    from deviloc_ros.commands.flags.config_check import check_config

    with terminations_held():
        importlib.import_module("pycolmap")  # which every command needs
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(levelname)s %(message)s"))
    logging.basicConfig(level=logging.DEBUG if options.verbose else logging.WARNING, handlers=[handler])
    try:
        check_outputs(options)  # before minutes of work
        check_config(options)
        with redirect_stdout(cast("TextIO", PrintableStream(sys.stdout))):
            return options.run(options)
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as error:
        if options.verbose:
            raise
        return complain(describe_error(error))
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "benchmarks":
            raise
        return complain("benchmarks/ is part of the repository, not of the installed package")


def complain(what: str) -> int:
    """Print what is wrong and return the exit status that says so."""
    print(f"{PROGRAM}: {make_printable(what)}", file=sys.stderr)
    return 2


@contextmanager
def terminations_held() -> Iterator[None]:
    """Let SIGTERM wait for an import, and end the process then as it did before: pycolmap would print its stack."""
    before = signal.getsignal(signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def describe_error(error: Exception) -> str:
    """Return the error's message; of a file that the system refused, the file first, as our own messages have it."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parse a command line. `run` of the result carries the command out.

    Raises:
        SystemExit: help or version was asked for (0), or a word is wrong (2).
    """
    root = root_parser()
    given, known = root.parse_args(arguments), all_commands()
    verbose = given.verbose
    if given.command == LAB:
        root, known = lab_parser(), RESEARCH
        given = root.parse_args(given.words)
    if given.command is None:
        root.print_help(sys.stderr)
        sys.exit(2)
    if given.command not in known:
        root.error(f"there is no command {given.command!r}{suggest_command(given.command, known)}")
    command = known[given.command]
    about = command.description or command.about
    parser = CommandParser(prog=f"{root.prog} {given.command}", description=about, formatter_class=HelpFormatter)
    add_flags(parser, command)
    parser.epilog = "\n\n".join(filter(None, (parser.epilog, format_examples(root.prog, given.command)))) or None
    return parser.parse_args(given.words, argparse.Namespace(verbose=verbose))


def add_flags(parser: argparse.ArgumentParser, command: Command) -> None:
    """Import a command's module and add the flags it takes."""
    importlib.import_module(f"deviloc_ros.commands.{command.module}").add(parser)


def complete_line(line: str) -> None:
    """Answer a shell that asks how a command line goes on, and exit.

    `eval "$(register-python-argcomplete deviloc)"` in the shell's start file makes it ask. Only the module of the
    command that the line names is imported.
    """
    import argcomplete

    root = argparse.ArgumentParser(prog=PROGRAM)
    add_root_flags(root)
    words = line.split()
    products = {name: command for group in GROUPS.values() for name, command in group.items() if name != LAB}
    parsers = add_commands(root, products, words)
    add_commands(parsers.add_parser(LAB), RESEARCH, words)
    argcomplete.autocomplete(root)


def add_commands(
    parser: argparse.ArgumentParser, commands: dict[str, Command], words: list[str]
) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    """Add commands as argparse's own, with the flags of those only that are among the words."""
    parsers = parser.add_subparsers()
    for name, command in commands.items():
        of_command = parsers.add_parser(name)
        if name in words:
            add_flags(of_command, command)
    return parsers


def all_commands() -> dict[str, Command]:
    """Return every command by name; those of the lab answer without that word, too."""
    return {**RESEARCH, **{name: command for group in GROUPS.values() for name, command in group.items()}}


def suggest_command(name: str, commands: dict[str, Command]) -> str:
    """Return which command of a similar name there is, or where they are listed."""
    return suggest(name, commands) or f"; see {PROGRAM} --help"


def root_parser() -> argparse.ArgumentParser:
    """Return the grammar of what stands before a command's own flags."""
    listing = "\n\n".join(f"{title}:\n{list_commands(group)}" for title, group in GROUPS.items())
    root = argparse.ArgumentParser(
        prog=PROGRAM,
        description=f"Visual localization in a previously built map.\n\n{listing}",
        epilog=f"`{PROGRAM} COMMAND --help` describes a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_root_flags(root)
    add_command(root)
    return root


def add_root_flags(root: argparse.ArgumentParser) -> None:
    """Add the flags that stand before a command's name."""
    root.add_argument("--version", action="version", version=__version__)
    root.add_argument("--verbose", action="store_true", help="print debug messages, and tracebacks of errors")


def lab_parser() -> argparse.ArgumentParser:
    """Return the grammar of what stands between `lab` and a command's own flags."""
    lab = argparse.ArgumentParser(
        prog=f"{PROGRAM} {LAB}",
        description=f"Research commands.\n\n{list_commands(RESEARCH)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_command(lab)
    return lab


def add_command(parser: argparse.ArgumentParser) -> None:
    """Add the name of a command and all that follows it."""
    parser.add_argument("command", nargs="?", metavar="COMMAND", help="one of these")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="...", help="arguments of the command")


def list_commands(commands: dict[str, Command]) -> str:
    """Return a line for each command."""
    return "\n".join(f"  {name:<18} {command.about}" for name, command in commands.items())
