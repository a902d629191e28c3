"""Mutual neighbours are each other's best, however the work is divided."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deviloc_ros.matching import neighbours
from deviloc_ros.matching.neighbours import match_each_mutual_nearest

SIZES = st.integers(0, 40)


def whole_numbers(rng, size):
    """Descriptors of which many are equally good."""
    return torch.from_numpy(rng.integers(-2, 3, (size, 3)).astype(np.float32))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), SIZES, st.lists(SIZES, max_size=4))
def test_pairs_are_each_others_best_and_one_to_one(seed, size, sizes):
    rng = np.random.default_rng(seed)
    a, others = whole_numbers(rng, size), [whole_numbers(rng, other) for other in sizes]
    found = match_each_mutual_nearest(a, others)
    assert len(found) == len(others)
    for b, (rows, columns) in zip(others, found, strict=True):
        products = a @ b.T
        assert len(set(rows.tolist())) == len(set(columns.tolist())) == len(rows)
        if len(rows):
            assert (products[rows, columns] == products[rows].amax(1)).all()
            assert (products[rows, columns] == products[:, columns].amax(0)).all()


@pytest.mark.parametrize(("threads", "block_rows"), [(1, 1000), (1, 7), (3, 16)])
def test_pairs_do_not_depend_on_blocks_and_threads(monkeypatch, threads, block_rows):
    rng = torch.Generator().manual_seed(0)
    a, b = (torch.randn(300, 16, generator=rng) for _ in range(2))
    products = a @ b.T
    best = products.argmax(1)
    expected = [row for row in range(300) if products[:, best[row]].argmax() == row]
    monkeypatch.setattr(neighbours, "count_threads", lambda: threads)
    monkeypatch.setattr(neighbours, "BLOCK_ROWS", block_rows)
    ((rows, columns),) = match_each_mutual_nearest(a, [b])
    assert rows.tolist() == expected and columns.tolist() == best[rows].tolist()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), SIZES, SIZES, st.floats(0.5, 1.0))
def test_with_a_ratio_the_second_best_is_clearly_farther(seed, size, other, ratio):
    rng = np.random.default_rng(seed)
    a, b = (torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(n, 4))), dim=1) for n in (size, other))
    ((rows, columns),) = match_each_mutual_nearest(a, [b], ratio)
    distances = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
    expected = []
    for row in range(size if other > 1 else 0):
        first, second = distances[row].sort().values[:2]
        column = int(distances[row].argmin())
        if distances[:, column].argmin() == row and first < ratio * second:
            expected.append((row, column))
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == expected
