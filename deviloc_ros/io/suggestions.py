"""Suggest corrections of misspelt words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggest(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" if one of the known words is similar, else an empty string."""
    similar = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {similar[0]!r}?" if similar else ""
