"""Find mutual nearest neighbours among descriptors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from deviloc_ros.threads import count_threads, map_on_threads, run_on_one_thread

BLOCK_ROWS = 128  # with 2048 columns 1 MB of products: they are still in the cache when their maxima are sought
TASKS_PER_THREAD = 4  # so that a thread on a busy core holds up little

Pairs = tuple[torch.Tensor, torch.Tensor]
Best = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@run_on_one_thread
@torch.inference_mode()
def match_each_mutual_nearest(a: torch.Tensor, others: Sequence[torch.Tensor]) -> list[Pairs]:
    """Return for each b (M, C) of `others` the rows of a (N, C) and of b that are each other's best by dot product.

    No row is in two pairs, even if several are equally good.
    """
    others = [b.to(a) for b in others]
    if a.device.type != "cpu":
        return [pair_up([find_best(a, b)]) if len(a) and len(b) else no_pairs(a) for b in others]
    compared = [number for number, b in enumerate(others) if len(a) and len(b)]
    parts = math.ceil(TASKS_PER_THREAD * count_threads() / max(len(compared), 1))
    rows = [part for part in a.tensor_split(parts) if len(part)] if len(a) else []
    found = map_on_threads(lambda task: find_best(*task), [(part, others[n]) for n in compared for part in rows])
    pairs = [no_pairs(a) for _ in others]
    for place, number in enumerate(compared):
        pairs[number] = pair_up(found[place * len(rows) : (place + 1) * len(rows)])
    return pairs


@torch.inference_mode()
def find_best(a: torch.Tensor, b: torch.Tensor) -> Best:
    """Return of each row of a (N, C) the highest product with a row of b (M, C) and where; of each of b the highest.

    The products are made in blocks, each used both ways before the next one takes its place.
    """
    block_rows = BLOCK_ROWS if a.device.type == "cpu" else len(a)
    products = a.new_empty(min(block_rows, len(a)), len(b))
    of_b = torch.full_like(b[:, 0], -torch.inf)
    values, columns = [], []
    for rows in a.split(block_rows):
        block = torch.mm(rows, b.T, out=products[: len(rows)])
        columns.append(find_columns(block))
        values.append(block.gather(1, columns[-1][:, None])[:, 0])
        torch.maximum(of_b, block.amax(0), out=of_b)
    return torch.cat(values), torch.cat(columns), of_b


def find_columns(block: torch.Tensor) -> torch.Tensor:
    """Return (N,) the first column of each row's maximum: on a CPU by NumPy, which takes a tenth of PyTorch's time."""
    return block.argmax(1) if block.device.type != "cpu" else torch.from_numpy(block.numpy().argmax(1))


def pair_up(parts: list[Best]) -> Pairs:
    """Return the mutual best of all rows of a, from what was found of its parts in the same b.

    A row's best is mutual where no row has more in that column. Columns need no place of their best for that, which
    takes longer to find than the product.
    """
    highest = torch.cat([part[0] for part in parts])
    columns = torch.cat([part[1] for part in parts])
    of_columns = torch.stack([part[2] for part in parts]).amax(0)
    rows = torch.nonzero(highest >= of_columns[columns])[:, 0]
    first = torch.full_like(of_columns, len(columns), dtype=torch.long)
    first.scatter_reduce_(0, columns[rows], rows, "amin")  # several rows can be equally good
    rows = rows[first[columns[rows]] == rows]
    return rows, columns[rows]


def no_pairs(like: torch.Tensor) -> Pairs:
    """Return zero pairs, on the same device."""
    empty = torch.zeros(0, dtype=torch.long, device=like.device)
    return empty, empty
