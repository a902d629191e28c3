"""Keep small what strangers may fill: counters by name, and texts."""

from __future__ import annotations

from collections import Counter

MAX_NAMES = 20  # of one counter; a robot has a handful of frames
OTHERS = "others"
MAX_TEXT = 400  # characters of a value in a diagnostic


class BoundedCounter(Counter[str]):
    """Count by name. Once it knows MAX_NAMES names it counts all further ones together."""

    def count(self, name: str) -> None:
        """Add one."""
        name = shorten(name)
        self[name if name in self or len(self) < MAX_NAMES else OTHERS] += 1


def shorten(text: str, limit: int = MAX_TEXT) -> str:
    """Return the text, its middle left out if it is too long."""
    if len(text) <= limit:
        return text
    half = (limit - 3) // 2
    return f"{text[:half]}...{text[-half:]}"
