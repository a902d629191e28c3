"""Bound the threads of one process on a CPU: at most one for each core, and none that spins while it waits."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, wraps
from typing import ParamSpec, TypeVar

import torch

POOL = "matching"  # prefix of the names of the pool's threads
MOST_THREADS = 8  # more gain little on work of a few milliseconds

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


@cache
def count_threads() -> int:
    """Return how many threads are worth using: one per core that this process may use, up to MOST_THREADS."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_THREADS)


def run_on_one_thread(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function whose PyTorch operations are too small to split, so that they run on the calling thread."""

    @wraps(function)
    def on_one_thread(*args: P.args, **kwargs: P.kwargs) -> R:
        before = torch.get_num_threads()
        if before == 1:
            return function(*args, **kwargs)
        torch.set_num_threads(1)
        try:
            return function(*args, **kwargs)
        finally:
            torch.set_num_threads(before)

    return on_one_thread


def map_on_threads(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return `function(item)` for each item, in order. Call it from functions that run on one PyTorch thread."""
    return list(iterate_on_threads(function, items))


def iterate_on_threads(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield `function(item)` for each item, in order, as `map` does; the iterable is exhausted at once.

    Threads take items one by one, so that a core that is busy with something else takes fewer.
    """
    items = list(items)
    if len(items) < 2 or count_threads() == 1 or threading.current_thread().name.startswith(POOL):
        return map(function, items)  # a pool thread that waited for the pool could deadlock it
    return _pool().map(function, items)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count_threads(), POOL)
