"""Run child processes that end with their parent, whatever happens to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ENDING_LIMIT_S = 10.0


@contextmanager
def run_module(
    module: str, *arguments: str, env: dict[str, str], log: Path | None = None
) -> Iterator[subprocess.Popen]:
    """Run `python -m module ...` in a process group of its own, ended when the block ends; `log` takes its output."""
    output = open(log, "w") if log else None  # noqa: SIM115
    command = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(
        command, env=env, stdout=output, stderr=subprocess.STDOUT if output else None, start_new_session=True
    )
    try:
        yield process
    finally:
        end_group(process)
        if output:
            output.close()


def end_group(process: subprocess.Popen) -> None:
    """Ask a process group to stop, then make it."""
    for order in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, order)
        try:
            process.wait(timeout=ENDING_LIMIT_S)
        except subprocess.TimeoutExpired:
            continue


@contextmanager
def treat_sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that children are ended then, too."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def wait_for_exit(process: subprocess.Popen, needed: subprocess.Popen) -> int:
    """Return the exit status of `process`; raise RuntimeError if the process it needs ends first."""
    while process.poll() is None:
        if needed.poll() is not None:
            raise RuntimeError(f"a process it needs ended with status {needed.returncode}")
        time.sleep(0.1)
    return process.returncode
