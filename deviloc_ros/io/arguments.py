"""Check the types of arguments at the package's public functions, with errors that name the argument."""

from __future__ import annotations

import math
import reprlib
from numbers import Real
from typing import Any


def check_argument(name: str, value: object, kinds: type | tuple[type, ...], hint: str = "") -> None:
    """Raise TypeError naming the argument, the wanted types and the value, unless it is of one of these types.

    Args:
        hint: what to do, for the message.
    """
    if not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
        wanted = wanted.replace("NoneType", "None")
        raise TypeError(f"{name} must be {wanted}, got {describe_argument(value)}{hint and '; '}{hint}")


def check_amount(name: str, value: object, *, endless: bool = False) -> None:
    """Raise TypeError naming the argument unless it is a number, ValueError unless it is at least 0.

    Args:
        endless: whether it may be infinite.
    """
    check_argument(name, value, Real)
    if not 0 <= value <= math.inf or (value == math.inf and not endless):  # type: ignore[operator] # NaN is neither
        raise ValueError(f"{name} must be a {'' if endless else 'finite '}number of 0 or more, got {value}")


def describe_argument(value: Any) -> str:
    """Describe a value for an error: itself if it is short, shape and type of an array or tensor."""
    if (shape := getattr(value, "shape", None)) is not None:
        return f"{type(value).__name__} {tuple(shape)} {value.dtype}"
    return reprlib.repr(value)
