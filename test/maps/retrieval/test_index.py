"""Views that look alike, found among few by comparing all and among many by an index."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from deviloc_ros.maps.retrieval import index as view_index
from deviloc_ros.maps.retrieval.global_descriptors import Vlad
from deviloc_ros.maps.retrieval.index import Retrieval, ViewIndex, best_rows

VLAD = Vlad(torch.zeros(2, 32))


def places(count: int, seed: int = 0) -> torch.Tensor:
    """(count, 64) unit descriptors, eight of each place next to each other."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(-(-count // 8), 64, generator=generator).repeat_interleave(8, 0)[:count]
    return normalize(centres + 0.3 * torch.randn(count, 64, generator=generator), dim=1)


def learned(descriptors: torch.Tensor) -> ViewIndex:
    """With shorter codes, which are learned faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(view_index, "CODE_BYTES", 8)
        return ViewIndex.learn(descriptors)


@pytest.fixture(scope="module")
def indexed() -> Retrieval:
    descriptors = places(2000).half()
    return Retrieval(descriptors, VLAD, learned(descriptors))


def test_the_best_rows_come_first_and_equal_ones_in_their_order():
    assert best_rows(np.array([1, 5, 3, 5, 0]), 3).tolist() == [1, 3, 2]
    assert best_rows(np.array([1.0, 2.0]), 9).tolist() == [1, 0] and best_rows(np.zeros(0), 3).tolist() == []


def test_a_view_finds_itself_and_its_place(indexed):
    for retrieval in (indexed, Retrieval(indexed.descriptors, VLAD)):
        for row in (0, 801, 1999):
            found = retrieval.nearest(retrieval.descriptors[row].float(), 8)
            assert found[0] == row and (found // 8 == row // 8).mean() > 0.8


def test_the_index_finds_what_comparing_all_finds(indexed):
    everything = Retrieval(indexed.descriptors, VLAD)
    queries = normalize(places(2000) + 0.1 * torch.randn(2000, 64, generator=torch.Generator().manual_seed(1)), dim=1)
    shared = [len(np.intersect1d(indexed.nearest(q, 10), everything.nearest(q, 10))) for q in queries[::100]]
    assert np.mean(shared) > 9


def test_an_index_grows_and_shrinks_with_the_map(indexed):
    more = places(16, seed=9)
    grown = indexed.extend(more)
    assert len(grown) == 2016 and grown.nearest(more[3], 1).tolist() == [2003]
    shrunk = grown.keep_rows(list(range(1000, 2016)))
    assert len(shrunk) == 1016 and shrunk.nearest(more[3], 1).tolist() == [1003]
    assert torch.equal(shrunk.index.codes[:1000], indexed.index.codes[1000:])


def test_the_same_index_is_learned_from_the_same(indexed):
    again = learned(indexed.descriptors)
    assert torch.equal(again.codes, indexed.index.codes) and torch.equal(again.centroids, indexed.index.centroids)


def test_only_maps_of_many_views_have_an_index(monkeypatch):
    assert Retrieval.learn(places(300), VLAD).index is None
    monkeypatch.setattr(view_index, "INDEXED_FROM", 600)
    monkeypatch.setattr(view_index, "CODE_BYTES", 8)
    assert Retrieval.learn(places(300), VLAD).index is None
    assert len(Retrieval.learn(places(300), VLAD).extend(places(300)).index.codes) == 600


def test_what_is_stored_is_what_was_learned(indexed):
    again = Retrieval.from_tensors(indexed.to_tensors(), indexed.index.to_tensors(), 2000)
    query = places(8, seed=3)[0]
    assert again.nearest(query, 20).tolist() == indexed.nearest(query, 20).tolist()


@pytest.mark.parametrize("name", ["projection", "offset", "centroids", "codebooks", "codes"])
def test_an_index_that_does_not_fit_is_named(indexed, name):
    with pytest.raises((ValueError, KeyError), match=name):
        Retrieval.from_tensors(indexed.to_tensors(), indexed.index.to_tensors() | {name: torch.zeros(3, 3)}, 2000)
    missing = {key: value for key, value in indexed.index.to_tensors().items() if key != name}
    with pytest.raises(KeyError, match=name):
        Retrieval.from_tensors(indexed.to_tensors(), missing, 2000)
