"""Serve the page and its events to browsers on this machine."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MAX_WAITING = 100  # events that a slow browser may lag behind; older ones are dropped
MAX_KEPT = 600  # events kept for pages that are opened later
PULSE_S = 5.0  # interval of comments in the stream, by which closed browsers are noticed


class Broadcast:
    """Send each event to every listening browser, and keep the last ones. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: list[queue.Queue[dict[str, Any]]] = []
        self._kept: list[dict[str, Any]] = []

    def send(self, event: dict[str, Any]) -> None:
        """Send an event to all; a browser that lags too far behind misses the oldest."""
        with self._lock:
            self._kept = [*self._kept[1 - MAX_KEPT :], event]
            for waiting in self._listeners:
                if waiting.full():
                    waiting.get_nowait()
                waiting.put_nowait(event)

    def kept(self) -> list[dict[str, Any]]:
        """Return the last events."""
        with self._lock:
            return list(self._kept)

    def listen(self) -> queue.Queue[dict[str, Any]]:
        """Return a queue that starts with the last event and receives all further ones."""
        waiting: queue.Queue[dict[str, Any]] = queue.Queue(MAX_WAITING)
        with self._lock:
            for event in self._kept[-1:]:  # the page may be older than it
                waiting.put_nowait(event)
            self._listeners.append(waiting)
        return waiting

    def forget(self, waiting: queue.Queue[dict[str, Any]]) -> None:
        """Stop filling a queue."""
        with self._lock:
            self._listeners.remove(waiting)


class PageServer:
    """Serve on the loopback interface only, from construction to `close`.

    page: makes the page with the events so far. port: 0 chooses a free one.

    Raises:
        ValueError: the port is in use, not allowed or invalid; the message names it.
    """

    def __init__(self, page: Callable[[list[dict[str, Any]]], str], port: int = 0) -> None:
        self.events = Broadcast()
        self._ended = threading.Event()
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler(page))
        except (OSError, OverflowError) as error:  # taken, not allowed, or no port number at all
            raise ValueError(f"port {port} cannot be served: {error}") from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="view server", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Return the URL of the page."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    def close(self) -> None:
        """Stop serving."""
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self, page: Callable[[list[dict[str, Any]]], str]) -> type[BaseHTTPRequestHandler]:
        events, ended = self.events, self._ended

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                # Against DNS rebinding: a page of another site must not read the camera's images.
                if self.headers.get("Host", "").partition(":")[0] not in ("127.0.0.1", "localhost"):
                    self.send_error(403)
                elif self.path == "/":
                    self._answer("text/html; charset=utf-8", page(events.kept()).encode())
                elif self.path == "/events":
                    self._stream()
                else:
                    self.send_error(404)

            def _answer(self, kind: str, content: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def _stream(self) -> None:
                waiting = events.listen()
                try:
                    with suppress(BrokenPipeError, ConnectionResetError):  # the browser is gone
                        self.send_response(200)
                        self.send_header("Content-Type", "text/event-stream")
                        self.send_header("Cache-Control", "no-store")
                        self.end_headers()
                        while not ended.is_set():
                            self.wfile.write(next_message(waiting))
                            self.wfile.flush()
                finally:
                    events.forget(waiting)

            def log_message(self, format: str, *args: Any) -> None:
                """Stay silent: requests are no news."""

        return Handler


def next_message(waiting: queue.Queue[dict[str, Any]]) -> bytes:
    """Return the next event as the stream has it, or a comment where none comes in time."""
    try:
        return f"data: {json.dumps(waiting.get(timeout=PULSE_S))}\n\n".encode()
    except queue.Empty:
        return b": nothing new\n\n"
