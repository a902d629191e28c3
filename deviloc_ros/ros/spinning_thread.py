"""Receiving in a thread of its own."""

from __future__ import annotations

import threading
from contextlib import suppress

from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node


class ListeningThread:
    """Calls a node's callbacks until it is closed."""

    def __init__(self, node: Node, name: str) -> None:
        self._context = node.context
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)
        self._ended = False
        self._thread = threading.Thread(target=self._listen, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Returns when the last callback has."""
        self._ended = True
        self._executor.create_task(lambda: None)  # ends the wait; a shutdown at the wrong moment leaves it without end
        self._thread.join()
        self._executor.shutdown()

    def _listen(self) -> None:
        with suppress(ExternalShutdownException):
            while self._context.ok() and not self._ended:
                self._executor.spin_once()
