"""Run the commands of tables. What each wrote is kept, so that a run that was cut off goes on where it stopped."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deviloc_ros.evaluation import versions
from deviloc_ros.io.atomic import replace_on_success


@dataclass(frozen=True, slots=True)
class Measurement:
    """Hold what a command wrote, and what it was made with. load: of the machine before the command began."""

    command: str
    every: int
    result: Any
    versions: dict[str, str]
    cores: int
    commit: str
    load: float
    date: str
    minutes: float


SEVEN_SCENES = "{data:7scenes}"
NAMED = ("python", "torch", "numpy", "pycolmap")


def describe_origin(measured: Sequence[Measurement]) -> str:
    """Say what measurements were made with; those that differ by the load of the machine alone are named once."""
    loads: dict[tuple[str, str], list[float]] = {}
    for one in measured:
        packages = ", ".join(f"{name} {version}" for name, version in one.versions.items() if name in NAMED)
        sampling = f", every {one.every}th query" if one.every > 1 else ""
        origin = (
            f"{one.versions['device']}, {one.cores} cores",
            f"{packages}; commit {one.commit}, {one.date}{sampling}",
        )
        loads.setdefault(origin, []).append(one.load)
    return "; and with ".join(
        f"{machine}, load average {describe_range(of)} before; {rest}" for (machine, rest), of in loads.items()
    )


def describe_range(values: Sequence[float]) -> str:
    """Return the smallest and the largest of them, once where they are the same."""
    return " to ".join(dict.fromkeys((str(min(values)), str(max(values)))))


@dataclass(frozen=True, slots=True)
class Bench:
    """Say where commands find their data, and where what they measured is kept."""

    data: Path
    cache: Path
    every: int = 1

    def read_kept(self, command: str) -> Measurement | None:
        """Return what an earlier run of the command left."""
        path = self.measurement_path(command)
        return Measurement(**json.loads(path.read_text())) if path.is_file() else None

    def measure(self, command: str) -> Measurement:
        """Run the command in a process of its own, and keep what it writes.

        Raises:
            ValueError: it failed.
        """
        commit, load, start_s = versions.describe_commit(), os.getloadavg()[0], time.monotonic()
        with replace_on_success(self.measurement_path(command)) as written:
            words = [*self.fill_command(command), "--json", str(written)]
            status = subprocess.run([sys.executable, "-m", "deviloc_ros", *words], check=False).returncode
            if status:
                raise ValueError(f"`{format_command(command)}` ended with status {status}")
            measurement = Measurement(
                command,
                self.every,
                json.loads(written.read_text()),
                versions.collect_versions(),
                versions.count_cores(),
                commit,
                round(load, 1),
                datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
                round((time.monotonic() - start_s) / 60, 1),
            )
            written.write_text(json.dumps(asdict(measurement), indent=1))
        return measurement

    def fill_command(self, command: str) -> list[str]:
        """Return the words of a command, its placeholders replaced."""
        flags = {
            "{data}": ["--data", str(self.data)],
            SEVEN_SCENES: ["--data", str(self.data / "7scenes")],
            "{every}": ["--every", str(self.every)] if self.every > 1 else [],
        }
        return [word for part in command.split() for word in flags.get(part, [part])]

    def measurement_path(self, command: str) -> Path:
        """Return the file of a command's measurement: a few of its words to know it by, and a hash of all of them."""
        digest = hashlib.sha256(f"{command} {self.every}".encode()).hexdigest()[:12]
        words = [word for word in plain_words(command) if not word.startswith("-")][:2]
        return self.cache / f"{'-'.join(words)}-{digest}.json"


def plain_words(command: str) -> list[str]:
    """Return a command's words, without those placeholders that one may leave out."""
    words = command.replace(SEVEN_SCENES, "--data DIR/7scenes").split()
    return [word for word in words if not word.startswith("{")]


def format_command(command: str) -> str:
    """Return a command as people type it."""
    return " ".join(["python -m deviloc_ros", *plain_words(command)])
