"""Search the global descriptors of a map's views, exhaustively or in large maps with an inverted index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from deviloc_ros.maps.checks import FINITE, check_array
from deviloc_ros.maps.files import check_shape
from deviloc_ros.maps.retrieval.global_descriptors import Vlad
from deviloc_ros.maps.tensors import Tensors
from deviloc_ros.sampling import thin_evenly

if TYPE_CHECKING:
    import faiss

INDEXED_FROM = 20_000  # views; fewer are searched exhaustively in no time
PROJECTED, CODE_BYTES = 128, 64
LISTS_PER_ROOT = 2  # inverted lists per square root of the number of views
LISTS_VISITED = 64
CHECKED = 200  # candidates of the index whose descriptors are compared exactly
PROJECTION_SAMPLE, LIST_SAMPLE = 8192, 40  # rows to learn the projection from, and rows per list
BATCH = 8192


class Retrieval:
    """Find views that look alike.

    descriptors: (V, D) half precision. vlad: the codebook they were made with; None: a learned network made them.
    index: None for few views.
    """

    def __init__(self, descriptors: torch.Tensor, vlad: Vlad | None, index: ViewIndex | None = None) -> None:
        self.descriptors, self.vlad, self.index = descriptors.half(), vlad, index

    @staticmethod
    def learn(descriptors: torch.Tensor, vlad: Vlad | None) -> Retrieval:
        """Build the retrieval of (V, D) descriptors, with an index if there are many."""
        many = len(descriptors) >= INDEXED_FROM
        return Retrieval(descriptors, vlad, ViewIndex.learn(descriptors.half()) if many else None)

    @staticmethod
    def from_tensors(tensors: Tensors, of_index: Tensors | None, views: int) -> Retrieval:
        """Build the retrieval from the stored tensors of a map of `views` views.

        Raises:
            KeyError, ValueError: a tensor is missing or does not fit; the message names it.
        """
        check_floats(tensors, *(name for name in ("centroids", "descriptors") if name in tensors))
        vlad = Vlad(tensors["centroids"]) if "centroids" in tensors else None
        if vlad:
            check_shape(tensors, "centroids", (len(vlad.centroids), vlad.centroids.shape[-1]))
        size = vlad.centroids.numel() if vlad else tensors["descriptors"].shape[-1]
        check_shape(tensors, "descriptors", (views, size))
        index = None if of_index is None else ViewIndex.from_tensors(of_index, views, size)
        return Retrieval(tensors["descriptors"], vlad, index)

    def to_tensors(self) -> Tensors:
        """Return what is stored, the index aside."""
        return {"descriptors": self.descriptors} | ({"centroids": self.vlad.centroids} if self.vlad else {})

    def __len__(self) -> int:
        return len(self.descriptors)

    def keep_rows(self, rows: Sequence[int]) -> Retrieval:
        """Return the retrieval of some of the views."""
        return Retrieval(self.descriptors[rows], self.vlad, self.index and self.index.keep_rows(rows))

    def extend(self, descriptors: torch.Tensor) -> Retrieval:
        """Return the retrieval of more views; codebook and index are not learned anew."""
        more = descriptors.half()
        if self.index is None:
            return Retrieval.learn(torch.cat([self.descriptors, more]), self.vlad)
        return Retrieval(torch.cat([self.descriptors, more]), self.vlad, self.index.extend(more))

    def nearest(self, query: torch.Tensor, count: int, among: NDArray | None = None) -> NDArray:
        """Return rows of the views most similar to a (D,) descriptor, best first; of all, or of (N,) rows `among`."""
        if among is not None:
            return among[best_rows(self.descriptors[among].float().numpy() @ query.numpy(), count)]
        if self.index is None:
            return best_rows(self._all @ query.numpy(), count)
        candidates = self.index.candidates(query, max(CHECKED, count))
        return candidates[best_rows(self.descriptors[candidates].float().numpy() @ query.numpy(), count)]

    @cached_property
    def _all(self) -> NDArray:
        return self.descriptors.float().numpy()


def best_rows(scores: NDArray, count: int) -> NDArray:
    """Return the rows of the `count` highest scores, best first; equal scores in the order of their rows."""
    rows = np.argpartition(-scores, count)[:count] if count < len(scores) else np.arange(len(scores))
    rows.sort()  # so that equal scores are in the order of rows
    return rows[np.argsort(-scores[rows], kind="stable")]


@dataclass(frozen=True, eq=False)
class ViewIndex:
    """Hold inverted lists of product-quantised descriptors (Jegou et al., PAMI 2011), as tensors for FAISS.

    projection: (P, D) principal axes, offset: (P,). centroids: (L, P) of the lists. codebooks: (M, 256, P / M). codes:
    (V, B) uint8, of each view the number of its list and its residual's M codes.
    """

    projection: torch.Tensor
    offset: torch.Tensor
    centroids: torch.Tensor
    codebooks: torch.Tensor
    codes: torch.Tensor

    @staticmethod
    def learn(descriptors: torch.Tensor) -> ViewIndex:
        """Learn the index from samples of (V, D) descriptors, V at least 256, and encode all of them in batches.

        It is deterministic.
        """
        import faiss

        size = min(PROJECTED, descriptors.shape[1])
        lists = int(LISTS_PER_ROOT * len(descriptors) ** 0.5)
        projection, offset = principal_axes(thin_evenly(descriptors, PROJECTION_SAMPLE), size)
        trained = build_inverted_file(lists, size, min(CODE_BYTES, size))
        trained.train(project_descriptors(thin_evenly(descriptors, LIST_SAMPLE * lists), projection, offset))
        centroids = torch.from_numpy(trained.quantizer.reconstruct_n(0, lists))
        codebooks = torch.tensor(faiss.vector_to_array(trained.pq.centroids)).view(trained.pq.M, 256, -1)
        nothing = torch.zeros(0, trained.sa_code_size(), dtype=torch.uint8)
        return ViewIndex(projection, offset, centroids, codebooks, nothing).extend(descriptors)

    @staticmethod
    def from_tensors(tensors: Tensors, views: int, size: int) -> ViewIndex:
        """Build the index from a map's stored tensors, for (views, size) descriptors.

        Raises:
            KeyError, ValueError: a tensor is missing or does not fit; the message names it.
        """
        index = ViewIndex(*(tensors[field.name] for field in fields(ViewIndex)))
        axes, lists, parts = len(index.projection), len(index.centroids), len(index.codebooks)
        check_shape(tensors, "projection", (axes, size))
        check_shape(tensors, "offset", (axes,))
        check_shape(tensors, "centroids", (lists, axes))
        check_shape(tensors, "codebooks", (parts, 256, axes // max(parts, 1)))
        if min(axes, lists, parts) == 0 or axes % parts:
            raise ValueError(f"codebooks: {parts} parts of {axes} axes, {lists} lists")
        check_floats(tensors, "projection", "offset", "centroids", "codebooks")
        check_shape(tensors, "codes", (views, index._build_empty().sa_code_size()))
        index.check_codes(tensors["codes"])
        return index

    def check_codes(self, codes: torch.Tensor) -> None:
        """Raise ValueError unless each of (V, B) codes begins with the index of a list; FAISS does not check."""
        if codes.dtype != torch.uint8:
            raise ValueError(f"codes is of type {codes.dtype}")
        digits = codes[:, : codes.shape[1] - len(self.codebooks)].to(torch.int64)  # of base 256, the lowest first
        numbers = (digits * 256 ** torch.arange(digits.shape[1])).sum(1)
        if len(numbers) and int(numbers.max()) >= len(self.centroids):
            raise ValueError(f"codes: list {int(numbers.max())} of {len(self.centroids)}")

    def to_tensors(self) -> Tensors:
        """Return the tensors to store, by field name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def keep_rows(self, rows: Sequence[int]) -> ViewIndex:
        """Return the index over some of the views."""
        return replace(self, codes=self.codes[rows])

    def extend(self, descriptors: torch.Tensor) -> ViewIndex:
        """Return the index with (N, D) more descriptors, encoded in batches."""
        trained = self._build_empty()
        codes = [torch.from_numpy(trained.sa_encode(self._project(rows))) for rows in descriptors.split(BATCH)]
        return replace(self, codes=torch.cat([self.codes, *codes]))

    def candidates(self, query: torch.Tensor, count: int) -> NDArray:
        """Return rows whose codes are nearest to a (D,) descriptor; fewer if the visited lists have no more."""
        _, rows = self._filled.search(self._project(query[None]), count)
        return rows[0][rows[0] >= 0]

    @cached_property
    def _filled(self) -> faiss.IndexIVFPQ:
        """Return the FAISS index with all views in it."""
        index = self._build_empty()
        index.add_sa_codes(self.codes.numpy())
        index.nprobe = LISTS_VISITED
        return index

    def _build_empty(self) -> faiss.IndexIVFPQ:
        """Return the trained FAISS index without views."""
        import faiss

        index = build_inverted_file(len(self.centroids), self.centroids.shape[1], len(self.codebooks))
        index.quantizer.add(self.centroids.numpy())
        faiss.copy_array_to_vector(self.codebooks.numpy().ravel(), index.pq.centroids)
        index.is_trained = True
        return index

    def _project(self, descriptors: torch.Tensor) -> NDArray:
        return project_descriptors(descriptors, self.projection, self.offset)


def check_floats(tensors: Tensors, *names: str) -> None:
    """Raise ValueError naming a tensor that does not hold finite floats."""
    for name in names:
        check_array({name: tensors[name].numpy()}, name, tuple(tensors[name].shape), FINITE)


def principal_axes(sample: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (count, D) principal axes of (N, D) descriptors, and the (count,) offset that centres projections."""
    mean = sample.float().mean(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, _, axes = torch.svd_lowrank(sample.float() - mean, count)
    return axes.T.contiguous(), -axes.T @ mean


def project_descriptors(descriptors: torch.Tensor, projection: torch.Tensor, offset: torch.Tensor) -> NDArray:
    """Return (N, P) float32 coordinates of (N, D) descriptors along the axes, computed in batches."""
    return torch.cat([rows.float() @ projection.T + offset for rows in descriptors.split(BATCH)]).numpy()


def build_inverted_file(lists: int, size: int, parts: int) -> faiss.IndexIVFPQ:
    """Build an untrained, empty FAISS index with codes of 8 bits."""
    import faiss

    return faiss.IndexIVFPQ(faiss.IndexFlatL2(size), size, lists, parts, 8)
