"""Thin out sequences, deterministically."""

from __future__ import annotations

import math
from typing import Any, Protocol, TypeVar


class Sliceable(Protocol):
    """Describe what has a length and can be sliced: lists, arrays, tensors."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Any: ...


Items = TypeVar("Items", bound=Sliceable)


def thin_evenly(items: Items, most: int) -> Items:
    """Return at most `most` of the items (of an array, rows), evenly spaced."""
    return items[:: max(1, math.ceil(len(items) / most))]
