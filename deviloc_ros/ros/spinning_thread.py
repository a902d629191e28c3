"""Spin nodes, in the main thread or in one of their own, so that no message or callback can end the spinning."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from deviloc_ros.ros.worker import Pulse, ThreadState

PAUSE_S = 0.1  # after a failed wait for messages, since the next one may fail at once


class EnduringExecutor(SingleThreadedExecutor):
    """Call callbacks until the context is shut down or `end` is called; count and report exceptions.

    rclpy's executor ends with the first callback that raises. And when *taking* a message raises, it leaves the
    callback group marked as busy, so that none of the group's callbacks is ever called again.
    """

    def __init__(self, name: str, report: Callable[[BaseException], object], context: Context | None = None) -> None:
        super().__init__(context=context)
        self._pulse = Pulse(name, report)
        self._ended = False

    def spin(self) -> None:
        """Call callbacks until told to end. Raises nothing but KeyboardInterrupt."""
        while self._context.ok() and not self._ended:
            self._spin_through()

    def end(self) -> None:
        """Let `spin` return after the current callback. May be called from any thread."""
        self._ended = True
        self.create_task(lambda: None)  # wakes the wait; a shutdown at the wrong moment would not

    def state(self, is_alive: bool = True) -> ThreadState:
        """Return the state of the spinning thread."""
        return self._pulse.state(is_alive)

    def _spin_through(self) -> None:
        try:
            self.spin_once()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if not self._context.ok():
                return  # shut down while it waited: the wait set is gone
            failed_to_wait = not self._pulse.is_at_work
            self._pulse.fail(error)
            if failed_to_wait:
                time.sleep(PAUSE_S)
        finally:
            self._pulse.end()

    def _make_handler(self, entity: Any, node: Node, take: Callable[[Any], Any], *more: Any) -> Any:
        def take_safely(entity: Any) -> Any:
            self._pulse.begin()
            try:
                return take(entity)
            except Exception as error:  # a message that cannot be taken counts as no message
                if self._context.ok():
                    self._pulse.fail(error)
                return None

        return super()._make_handler(entity, node, take_safely, *more)


class ListeningThread:
    """Call a node's callbacks until it is closed."""

    def __init__(self, node: Node, name: str, report: Callable[[BaseException], object]) -> None:
        self._executor = EnduringExecutor(name, report, node.context)
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._executor.spin, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop spinning, and wait for the current callback."""
        self._executor.end()
        self._thread.join()
        self._executor.shutdown()

    def state(self) -> ThreadState:
        """Return the state of the thread."""
        return self._executor.state(self._thread.is_alive())
