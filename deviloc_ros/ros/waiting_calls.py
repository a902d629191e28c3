"""Let service calls wait for an event."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future

MAX_WAITING = 32  # rclpy checks each waiting call whenever anything happens


class WaitingCalls:
    """Wait for the next `answer`, each call no longer than its own limit."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)  # runs on while simulated time stands still
        self._lock = threading.Lock()
        self._waiting: list[Future[str]] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    async def wait(self, limit_s: float, give_up: Callable[[], str]) -> str:
        """Return the text given to `answer`, or `give_up()` on timeout. To be called in the executor's thread."""
        if len(self._waiting) >= MAX_WAITING:
            return f"{MAX_WAITING} calls wait already"
        future: Future[str] = Future(executor=self._node.executor)
        with self._lock:
            self._waiting.append(future)
        timer = self._node.create_timer(limit_s, lambda: self._end(future, give_up()), clock=self._steady_clock)
        answer = await future
        self._node.destroy_timer(timer)
        return answer or ""

    def answer(self, text: str) -> None:
        """Let all waiting calls return this text. May be called from any thread."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for future in waiting:
            future.set_result(text)
        if waiting and self._node.executor is not None:
            self._node.executor.wake()

    def _end(self, future: Future[str], text: str) -> None:
        with self._lock:
            if future not in self._waiting:
                return  # answered meanwhile
            self._waiting.remove(future)
        future.set_result(text)
