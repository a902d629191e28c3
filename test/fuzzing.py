"""How many examples tests that generate them try."""

import os

from hypothesis import settings

FUZZ_FACTOR = int(os.environ.get("FUZZ_FACTOR", "1"))


def examples(count: int) -> settings:
    """So many, times FUZZ_FACTOR."""
    return settings(max_examples=count * FUZZ_FACTOR)
