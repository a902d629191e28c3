"""Find mutual nearest neighbours among descriptors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from deviloc_ros.threads import count_threads, map_on_threads, run_on_one_thread

BLOCK_ROWS = 128  # with 2048 columns 1 MB of products, which are still in the cache when their maxima are taken
TASKS_PER_THREAD = 4  # so that a thread on a busy core causes little delay

Pairs = tuple[torch.Tensor, torch.Tensor]


class Best(NamedTuple):
    """Hold the best matches of some rows of a with all rows of b.

    highest: (N,) the highest product of each row of a with a row of b. columns: (N,) that row of b. second: (N,) the
    highest product with another row, -inf if there is none; equal to `highest` if not computed. of_b: (M,) for each row
    of b, the highest product with one of these rows of a.
    """

    highest: torch.Tensor
    columns: torch.Tensor
    second: torch.Tensor
    of_b: torch.Tensor


@run_on_one_thread
@torch.inference_mode()
def match_each_mutual_nearest(
    a: torch.Tensor, others: Sequence[torch.Tensor], ratio: float | None = None
) -> list[Pairs]:
    """Return for each b (M, C) of `others` the rows of a (N, C) and of b that are mutual best by dot product.

    No row is in two pairs, even if several are equally good.

    Args:
        ratio: for unit vectors, keep rows of a whose best is nearer than this times their second best (Lowe's test).
    """
    others = [b.to(a) for b in others]
    compared = [number for number, b in enumerate(others) if len(a) and len(b)]
    parts = math.ceil(TASKS_PER_THREAD * count_threads() / max(len(compared), 1)) if a.device.type == "cpu" else 1
    rows = [part for part in a.tensor_split(parts) if len(part)] if len(a) else []
    tasks = [(part, others[number], ratio is not None) for number in compared for part in rows]
    find = map_on_threads if a.device.type == "cpu" else map
    found = list(find(lambda task: find_best(*task), tasks))
    pairs = [no_pairs(a) for _ in others]
    for place, number in enumerate(compared):
        pairs[number] = pair_up(found[place * len(rows) : (place + 1) * len(rows)], ratio)
    return pairs


@torch.inference_mode()
def find_best(a: torch.Tensor, b: torch.Tensor, with_second: bool = False) -> Best:
    """Compare each row of a (N, C) with each row of b (M, C) by dot product, in blocks that fit into the cache."""
    block_rows = BLOCK_ROWS if a.device.type == "cpu" else len(a)
    products = a.new_empty(min(block_rows, len(a)), len(b))
    of_b = torch.full_like(b[:, 0], -torch.inf)
    highest, columns, second = [], [], []
    for rows in a.split(block_rows):
        block = torch.mm(rows, b.T, out=products[: len(rows)])
        torch.maximum(of_b, block.amax(0), out=of_b)
        column = find_columns(block)[:, None]
        columns.append(column[:, 0])
        highest.append(block.gather(1, column)[:, 0])
        second.append(block.scatter_(1, column, -torch.inf).amax(1) if with_second else highest[-1])
    return Best(torch.cat(highest), torch.cat(columns), torch.cat(second), of_b)


def find_columns(block: torch.Tensor) -> torch.Tensor:
    """Return (N,) the first column of each row's maximum; on a CPU with NumPy, ten times as fast as PyTorch."""
    return block.argmax(1) if block.device.type != "cpu" else torch.from_numpy(block.numpy().argmax(1))


def pair_up(parts: list[Best], ratio: float | None) -> Pairs:
    """Return the mutual best of all rows of a, from the results of its parts with the same b.

    A row's best is mutual if no other row has a higher product in that column. This does without an argmax over
    columns, which would take longer than the product.
    """
    highest, columns, second = (torch.cat(column) for column in list(zip(*parts, strict=True))[:3])
    of_columns = torch.stack([part.of_b for part in parts]).amax(0)
    is_best = highest >= of_columns[columns]
    if ratio is not None:
        is_best &= (distance_of(highest) < ratio * distance_of(second)) & second.isfinite()
    rows = torch.nonzero(is_best)[:, 0]
    first = torch.full_like(of_columns, len(columns), dtype=torch.long)
    first.scatter_reduce_(0, columns[rows], rows, "amin")  # several rows can be equally good
    rows = rows[first[columns[rows]] == rows]
    return rows, columns[rows]


def distance_of(products: torch.Tensor) -> torch.Tensor:
    """Return the distances of unit vectors from their dot products."""
    return (2 - 2 * products).clamp(min=0).sqrt()


def no_pairs(like: torch.Tensor) -> Pairs:
    """Return zero pairs, on the same device."""
    empty = torch.zeros(0, dtype=torch.long, device=like.device)
    return empty, empty
