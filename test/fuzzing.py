"""How many examples tests that generate them try, and values that several of them draw."""

import os
from dataclasses import fields, replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

FUZZ_FACTOR = int(os.environ.get("FUZZ_FACTOR", "1"))


def examples(count: int) -> settings:
    """So many, times FUZZ_FACTOR."""
    return settings(max_examples=count * FUZZ_FACTOR)


def at_bounds(config: Any) -> st.SearchStrategy:
    """The config with some of its numbers at the ends of their ranges."""
    ends = {
        f.name: st.sampled_from([type(f.default)(f.metadata[end]) for end in ("low", "high")])
        for f in fields(config)
        if f.metadata["low"] is not None and f.metadata["high"] is not None
    }
    return st.fixed_dictionaries({}, optional=ends).map(lambda values: replace(config, **values))
