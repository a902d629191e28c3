"""Print text from files and messages without control characters, which a terminal would obey."""

from __future__ import annotations

import logging
from typing import Any, TextIO


def make_printable(text: str) -> str:
    """Escape all characters except line feeds, tabs and printable ones.

    With escape sequences, names in a map could clear the terminal or overwrite earlier output.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


class PrintableStream:
    """Wrap a stream so that text is written through `make_printable`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text, made printable."""
        self._stream.write(make_printable(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class PrintableFormatter(logging.Formatter):
    """Format log records as printable text."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one record as text."""
        return make_printable(super().format(record))
