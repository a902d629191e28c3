"""Bound counters by name and texts that come from other nodes."""

from __future__ import annotations

from collections import Counter

MAX_NAMES = 20  # of one counter; a robot has a handful of frames
OTHERS = "others"
MAX_TEXT = 400  # characters of a value in a diagnostic


class BoundedCounter(Counter[str]):
    """Count by name; beyond MAX_NAMES names, all further ones are counted together."""

    def count(self, name: str) -> None:
        """Add one."""
        name = shorten(name)
        self[name if name in self or len(self) < MAX_NAMES else OTHERS] += 1


def shorten(text: str) -> str:
    """Return the text without its middle if it is longer than MAX_TEXT."""
    if len(text) <= MAX_TEXT:
        return text
    half = (MAX_TEXT - 3) // 2
    return f"{text[:half]}...{text[-half:]}"
