"""Run threads that survive exceptions: a worker that processes the newest item, and a repeater. No ROS."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

STUCK_AFTER_S = 15.0  # an image in a large map on a small computer takes a few seconds, other work far less
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ThreadState:
    """Hold the state of a thread. busy_s: duration of the current piece of work. failures: how often work raised."""

    name: str
    is_alive: bool
    busy_s: float = 0.0
    failures: int = 0
    last_failure: str = ""

    @property
    def complaint(self) -> str:
        """Say what is wrong with the thread; empty if it works."""
        if not self.is_alive:
            return f"thread {self.name!r} has ended"
        return f"thread {self.name!r} is stuck for {self.busy_s:.0f} s" if self.busy_s > STUCK_AFTER_S else ""

    def __str__(self) -> str:
        told = f"; {self.failures} failures, the last {self.last_failure}" if self.failures else ""
        return (self.complaint or "running") + told


class Pulse:
    """Run pieces of a thread's work: catch and count exceptions, and measure how long the current piece takes.

    report: called with each exception; exceptions that it raises itself are counted and logged.
    """

    def __init__(self, name: str, report: Callable[[BaseException], object]) -> None:
        self.name = name
        self.failures = 0
        self.last_failure = ""
        self._report = report
        self._since_s: float | None = None  # monotonic

    @property
    def is_at_work(self) -> bool:
        return self._since_s is not None

    def begin(self) -> None:
        """Note that a piece of work begins."""
        self._since_s = time.monotonic()

    def end(self) -> None:
        """Note that the piece of work has ended."""
        self._since_s = None

    def attempt(self, work: Callable[[], None], report: Callable[[BaseException], object] | None = None) -> None:
        """Call `work` and catch all that it raises. report: called instead of the usual one."""
        self.begin()
        try:
            work()
        except BaseException as error:  # also SystemExit, which would end the thread silently
            self.fail(error, report)
        finally:
            self.end()

    def fail(self, error: BaseException, report: Callable[[BaseException], object] | None = None) -> None:
        """Count an exception and report it; raises nothing."""
        self.failures += 1
        self.last_failure = describe_failure(error)
        try:
            (report or self._report)(error)
        except BaseException as second:
            self.failures += 1
            self.last_failure = f"{describe_failure(second)} while reporting {self.last_failure}"
            log.error("thread %s: %s", self.name, self.last_failure)

    def state(self, is_alive: bool) -> ThreadState:
        """Return the state of the thread."""
        since_s = self._since_s
        busy_s = 0.0 if since_s is None else time.monotonic() - since_s
        return ThreadState(self.name, is_alive, busy_s, self.failures, self.last_failure)


def describe_failure(error: BaseException) -> str:
    """Return type and message of an exception, or the type alone if its `__str__` raises."""
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:
        return type(error).__name__


class Mailbox(Generic[T]):
    """Hold one item; a newer one replaces it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: T | None = None
        self._closed = False

    def put(self, item: T) -> T | None:
        """Put an item; return the one that it replaced, which nobody had taken."""
        with self._changed:
            replaced, self._item = self._item, item
            self._changed.notify_all()
            return replaced

    def take(self) -> T | None:
        """Wait for an item and take it; None once the mailbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._item is not None)
            item, self._item = self._item, None
            self._changed.notify_all()
            return None if self._closed else item

    def wait_until_empty(self) -> None:
        """Wait until the item is taken or the mailbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._item is None)

    def close(self) -> None:
        """Let `take` return None from now on, also where it waits already."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class PulsedThread:
    """Run a thread that can tell its state. run: called with the pulse, with which it attempts its work."""

    def __init__(self, name: str, run: Callable[[Pulse], None], on_error: Callable[[BaseException], object]) -> None:
        self._pulse = Pulse(name, on_error)
        self._thread = threading.Thread(target=run, args=(self._pulse,), name=name, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until it has ended."""
        self._thread.join()

    def state(self) -> ThreadState:
        """Return the state of the thread."""
        return self._pulse.state(self._thread.is_alive())


class Worker(Generic[T, R]):
    """Run two threads in a pipeline: one reads the newest item that was handed over, the other handles what was read.

    An item is read while the one before is handled; at most one item that was read waits. Exceptions are reported, and
    the threads go on with the next item.
    """

    def __init__(
        self, read: Callable[[T], R], handle: Callable[[R], None], on_error: Callable[[T, BaseException], None]
    ) -> None:
        self._read = read
        self._handle = handle
        self._on_error = on_error
        self._given: Mailbox[T] = Mailbox()
        self._were_read: Mailbox[tuple[T, R]] = Mailbox()
        self._threads = [
            PulsedThread(name, run, lambda error: None)
            for name, run in (("reader", self._run_reader), ("localizer", self._run_localizer))
        ]

    def hand_over(self, item: T) -> T | None:
        """Put an item to be read; return the one that it replaced, which was not read."""
        return self._given.put(item)

    def join(self) -> None:
        """Finish the items being processed, drop those that wait, end the threads."""
        self._given.close()
        self._were_read.close()
        for thread in self._threads:
            thread.join()

    @property
    def states(self) -> list[Callable[[], ThreadState]]:
        """Return a function for each thread that returns its state."""
        return [thread.state for thread in self._threads]

    def _run_reader(self, pulse: Pulse) -> None:
        while (item := self._given.take()) is not None:
            self._read_one(item, pulse)
            self._were_read.wait_until_empty()  # so that the next item is as new as possible

    def _read_one(self, item: T, pulse: Pulse) -> None:
        def read() -> None:
            self._were_read.put((item, self._read(item)))

        pulse.attempt(read, lambda error: self._on_error(item, error))

    def _run_localizer(self, pulse: Pulse) -> None:
        while (was_read := self._were_read.take()) is not None:
            self._handle_one(*was_read, pulse)

    def _handle_one(self, item: T, read: R, pulse: Pulse) -> None:
        pulse.attempt(lambda: self._handle(read), lambda error: self._on_error(item, error))


class Repeater:
    """Run a thread that calls a function every `period_s` of wall time; missed calls are not made up for.

    An rclpy timer would cost several times more than the calls: the executor checks all entities of the node each time.
    """

    def __init__(
        self, name: str, period_s: float, call: Callable[[], None], on_error: Callable[[BaseException], object]
    ) -> None:
        self._period_s = period_s
        self._call = call
        self._ended = threading.Event()
        self._thread = PulsedThread(name, self._run, on_error)
        self.state = self._thread.state

    def join(self) -> None:
        """Finish the current call, end the thread."""
        self._ended.set()
        self._thread.join()

    def _run(self, pulse: Pulse) -> None:
        due_s = time.monotonic() + self._period_s
        while not self._ended.wait(max(due_s - time.monotonic(), 0.0)):
            pulse.attempt(self._call)
            due_s = max(due_s + self._period_s, time.monotonic())
