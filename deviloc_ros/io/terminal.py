"""Print what files and messages hold as text that a terminal never obeys."""

from __future__ import annotations

import logging
from typing import Any, TextIO


def make_printable(text: str) -> str:
    """Return the text with all but line feeds, tabs and printable characters written as escapes.

    A terminal obeys escape sequences: names in a map could clear it, or write over what was printed before.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


class PrintableStream:
    """Write text to a stream as `make_printable` has it; all else is the stream's."""

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
