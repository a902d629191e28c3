"""Threads: one works on the newest item and never queues, one repeats a call. Nothing of ROS here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Holds one item; a newer one replaces it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: T | None = None
        self._closed = False

    def put(self, item: T) -> T | None:
        """Leave an item. Gives back the one that it replaced, which nobody had taken."""
        with self._changed:
            replaced, self._item = self._item, item
            self._changed.notify()
            return replaced

    def take(self) -> T | None:
        """Wait for an item; None once the mailbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._item is not None)
            item, self._item = self._item, None
            return None if self._closed else item

    def close(self) -> None:
        """Let `take` return None, now and from now on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Worker(Generic[T]):
    """A thread that handles the newest item handed to it. An exception is reported and the next item handled."""

    def __init__(self, handle: Callable[[T], None], on_error: Callable[[T, Exception], None]) -> None:
        self._handle = handle
        self._on_error = on_error
        self._mailbox: Mailbox[T] = Mailbox()
        self._thread = threading.Thread(target=self._run, name="localizer", daemon=True)
        self._thread.start()

    def hand(self, item: T) -> T | None:
        """Leave an item for the thread. Gives back the one that it replaced, which the thread had not begun."""
        return self._mailbox.put(item)

    def join(self) -> None:
        """Finish the item in hand, drop the one that waits, end the thread."""
        self._mailbox.close()
        self._thread.join()

    def _run(self) -> None:
        while (item := self._mailbox.take()) is not None:
            try:
                self._handle(item)
            except Exception as error:
                self._on_error(item, error)


class Repeater:
    """A thread that calls something every `period_s` of wall time; calls that are late are not made up for.

    A timer of rclpy would cost several times what it calls: the executor looks at all that a node has each time.
    """

    def __init__(self, period_s: float, call: Callable[[], None], on_error: Callable[[Exception], None]) -> None:
        self._period_s = period_s
        self._call = call
        self._on_error = on_error
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="repeater", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Finish the call in hand, end the thread."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        due_s = time.monotonic() + self._period_s
        while not self._ended.wait(max(due_s - time.monotonic(), 0.0)):
            try:
                self._call()
            except Exception as error:
                self._on_error(error)
            due_s = max(due_s + self._period_s, time.monotonic())
