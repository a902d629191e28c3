"""Measure how the search for similar views scales, with descriptors of any number of simulated views on disk."""

from __future__ import annotations

import math
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import normalize
from tqdm import tqdm

from deviloc_ros.maps.retrieval.index import Retrieval, ViewIndex, best_rows
from deviloc_ros.maps.tensors import read_tensors, write_tensors

LEAST_VIEWS = 256
VIEWS_PER_PLACE = 20
LATENT = 64  # dimensions in which places differ
SPREAD_WITHIN, NOISE = 0.5, 1.0  # of a place's views in them, and in all dimensions
FOUND = 10
BATCH = 8192


def simulate_descriptors(views: int, size: int, path: Path) -> torch.Tensor:
    """Write (views, size) half-precision unit descriptors to a file, in groups of views of one place."""
    rng = np.random.default_rng(0)
    mixing = (rng.standard_normal((LATENT, size)) / LATENT**0.5).astype(np.float32)
    stored = np.memmap(path, np.float16, "w+", shape=(views, size))
    places = math.ceil(views / VIEWS_PER_PLACE)
    step = BATCH // VIEWS_PER_PLACE
    for first in tqdm(range(0, places, step), desc="simulating views", unit="batch", dynamic_ncols=True):
        centres = rng.standard_normal((min(step, places - first), LATENT), np.float32).repeat(VIEWS_PER_PLACE, 0)
        latent = centres + SPREAD_WITHIN * rng.standard_normal(centres.shape, np.float32)
        noise = torch.randn(len(latent), size, generator=torch.Generator().manual_seed(first)).numpy()
        rows = latent @ mixing + NOISE * noise
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        end = min((first + step) * VIEWS_PER_PLACE, views)
        stored[first * VIEWS_PER_PLACE : end] = rows[: end - first * VIEWS_PER_PLACE]
    stored.flush()
    return torch.from_numpy(np.memmap(path, np.float16, "r+", shape=(views, size)))


def simulate_queries(descriptors: torch.Tensor, count: int) -> torch.Tensor:
    """Return (count, D) descriptors of views seen again, with noise of their own."""
    rows = descriptors[:: max(1, len(descriptors) // count)][:count].float()
    noise = torch.randn(rows.shape, generator=torch.Generator().manual_seed(1)) / rows.shape[1] ** 0.5
    return normalize(rows + 0.5 * noise, dim=1)


def search_exactly(descriptors: torch.Tensor, queries: torch.Tensor) -> list[set[int]]:
    """Return the rows most similar to each query, by comparing all of them."""
    scores = [queries @ rows.float().T for rows in tqdm(descriptors.split(BATCH), desc="comparing all", unit="batch")]
    return [set(best_rows(row.numpy(), FOUND).tolist()) for row in torch.cat(scores, 1)]


class MemoryPeak:
    """Watch the most memory of its own that this process has in the context [GB]; mapped files do not count."""

    def __enter__(self) -> MemoryPeak:
        self.gb, self._done = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            lines = Path("/proc/self/status").read_text().splitlines()
            self.gb = max(self.gb, *(int(line.split()[1]) / 1e6 for line in lines if line.startswith("RssAnon")))
            if self._done.wait(0.05):
                return


def measure_retrieval(views: int, size: int, queries: int, folder: Path | None = None) -> dict[str, Any]:
    """Learn an index, store and open it as a map does, and search it.

    Args:
        folder: where `views * size * 2` bytes fit; by default the system's temporary folder.
    """
    with tempfile.TemporaryDirectory(dir=folder) as name:
        descriptors = simulate_descriptors(views, size, Path(name) / "descriptors")
        with MemoryPeak() as peak:
            start = time.perf_counter()
            learned = ViewIndex.learn(descriptors)
            build_s = time.perf_counter() - start
        stored = write_tensors(Path(name), "index-", learned.to_tensors())
        start = time.perf_counter()
        index = ViewIndex.from_tensors(read_tensors(Path(name), stored), views, size)
        retrieval, asked = Retrieval(descriptors, None, index), simulate_queries(descriptors, queries)
        retrieval.nearest(asked[0], FOUND)
        open_s = time.perf_counter() - start
        found, times_ms = [], []
        for query in asked:
            start = time.perf_counter()
            found.append(set(retrieval.nearest(query, FOUND).tolist()))
            times_ms.append(1e3 * (time.perf_counter() - start))
        index_mb = (Path(name) / stored.file).stat().st_size / 1e6
        shared = [len(a & b) / FOUND for a, b in zip(found, search_exactly(descriptors, asked), strict=True)]
    return {
        "views": views,
        "dimensions": size,
        "descriptors_gb": views * size * 2 / 1e9,
        "build_s": build_s,
        "peak_gb": peak.gb,
        "index_mb": index_mb,
        "open_s": open_s,
        "ms_p50": float(np.percentile(times_ms, 50)),
        "ms_p95": float(np.percentile(times_ms, 95)),
        "recall_at_10": float(np.mean(shared)),
    }
