"""End the process quietly with status 0 on SIGINT or SIGTERM, any number of them at any moment. Imports little."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

ENDING = frozenset({signal.SIGINT, signal.SIGTERM})
PATIENCE_S = 4.0  # for an orderly end; ros2 launch asks more loudly after five
RETRY_S = 0.05


class SignalTaker:
    """Block the signals that end a process and handle them in one thread.

    Python would raise KeyboardInterrupt anywhere, glog, once pycolmap is imported, prints a stack trace on SIGTERM, and
    rclpy shuts down and then calls both. The signals are blocked in this thread and in all that it starts later, so
    that none of them sees one. A library's thread that was started earlier may still receive a signal: the handler then
    only writes to a pipe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._end: Callable[[], object] | None = None
        self._has_begun = False
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        self._pipe, write_end = os.pipe()
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for sign in ENDING:
            signal.signal(sign, lambda number, frame: None)
        for wait in (lambda: signal.sigwait(ENDING), lambda: os.read(self._pipe, 1)):
            threading.Thread(target=self._end_after, args=(wait,), name="signals", daemon=True).start()

    def hand_over(self, end: Callable[[], object]) -> None:
        """Let the first signal call `end` instead of ending the process at once."""
        with self._lock:
            self._end = end

    def _end_after(self, wait: Callable[[], object]) -> None:
        """End the process once `wait` returns, unless the other thread has begun to do so."""
        wait()
        with self._lock:
            end, has_begun, self._has_begun = self._end, self._has_begun, True
        if has_begun:
            return
        if end is not None:
            # A thread of its own, since `end` may block, as on a lock
            threading.Thread(target=call_until_done, args=(end,), name="ending", daemon=True).start()
            time.sleep(PATIENCE_S)
        os._exit(0)  # an image being processed is not worth a longer wait


def call_until_done(end: Callable[[], object]) -> None:
    """Call `end` until it raises nothing: what it shuts down may be coming up in another thread."""
    while True:
        try:
            end()
        except Exception:
            time.sleep(RETRY_S)
        else:
            return


_taker: SignalTaker | None = None


def take_signals() -> None:
    """Take signals from now on. To be called before other imports, which would install handlers of their own."""
    global _taker
    _taker = _taker or SignalTaker()


def are_taken() -> bool:
    """Return whether `take_signals` was called in this process."""
    return _taker is not None


def call_on_signal(end: Callable[[], object]) -> None:
    """Let the first signal call `end`, if signals were taken."""
    if _taker is not None:
        _taker.hand_over(end)
