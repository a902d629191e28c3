"""Match 8 x 8 px cells by topics that both images share: the coarse stage of TopicFM-fast.

Attention is between 100 topics and thousands of cells. The projections of the many are applied to the few instead
(softmax((W_q t) (W_k f)^T) = softmax((W_k^T W_q t) f^T)), which needs a third fewer operations, no memory for keys and
values of every cell, and lets all references share the query's cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deviloc_ros.upstream.precision import widen
from deviloc_ros.upstream.topicfm.backbone import COARSE_SIZE

TOPICS, HEADS, TOPIC_LAYERS, CELL_LAYERS = 100, 2, 5, 2
HEAD_SIZE = COARSE_SIZE // HEADS
BORDER = 2  # cells along each side of an image that are never matched


@dataclass(frozen=True, slots=True, eq=False)
class CellMatches:
    """Hold mutual matches of cells: pair (M,) of the batch, query and reference cells (M,), confidence (M,)."""

    pairs: Tensor
    query_cells: Tensor
    reference_cells: Tensor
    confidence: Tensor


class EncoderLayer(nn.Module):
    """Apply attention, then a feed-forward network that sees what it is added to."""

    def __init__(self) -> None:
        super().__init__()
        size = COARSE_SIZE
        self.q_proj = nn.Linear(size, size, bias=False)
        self.k_proj = nn.Linear(size, size, bias=False)
        self.v_proj = nn.Linear(size, size, bias=False)
        self.merge = nn.Linear(size, size, bias=False)
        self.mlp = nn.Sequential(
            nn.Linear(2 * size, 2 * size, bias=False), nn.GELU(), nn.Linear(2 * size, size, bias=False)
        )
        self.norm1, self.norm2 = nn.LayerNorm(size), nn.LayerNorm(size)

    def topics_from_cells(self, topics: Tensor, images: tuple[Tensor, Tensor]) -> Tensor:
        """Return (B, T, C) topics that attended to the cells of both images, (1 or B, L, C) and (B, S, C)."""
        batch, count, size = topics.shape
        queries = self.q_proj(topics).view(batch, count, HEADS, HEAD_SIZE) / math.sqrt(HEAD_SIZE)
        probes = torch.einsum("bthd,hdc->bhtc", queries, split_by_head(self.k_proj)).reshape(batch, HEADS * count, size)
        weights = torch.cat([probes @ cells.mT for cells in images], 2).softmax(2)  # (B, H T, L + S)
        shares = weights.split([cells.shape[1] for cells in images], 2)
        sums = sum(share @ cells for share, cells in zip(shares, images, strict=True))
        heads = sums.view(batch, HEADS, count, size)
        values = torch.einsum("bhtc,hdc->bthd", heads, split_by_head(self.v_proj)).reshape(batch, count, size)
        return self.add_message(topics, self.merge(values))

    def cells_from_topics(self, cells: Tensor, topics: Tensor) -> Tensor:
        """Return (B, L, C) cells that attended to (B, T, C) topics.

        Cells of one image, (1, L, C), serve the whole batch.
        """
        batch, count, size = topics.shape
        keys = self.k_proj(topics).view(batch, count, HEADS, HEAD_SIZE) / math.sqrt(HEAD_SIZE)
        probes = torch.einsum("bthd,hdc->bhtc", keys, split_by_head(self.q_proj)).reshape(batch, HEADS * count, size)
        weights = (cells @ probes.mT).unflatten(2, (HEADS, count)).softmax(3).flatten(2)  # (B, L, H T)
        values = self.v_proj(topics).view(batch, count, HEADS, HEAD_SIZE)
        merged = torch.einsum("bthd,chd->bhtc", values, self.merge.weight.view(size, HEADS, HEAD_SIZE))
        return self.add_message(cells, weights @ merged.reshape(batch, HEADS * count, size))

    def add_message(self, x: Tensor, message: Tensor) -> Tensor:
        for_x, for_message = cast(nn.Linear, self.mlp[0]).weight.split(COARSE_SIZE, 1)
        hidden = F.linear(self.norm1(message), for_message) + F.linear(x, for_x)
        return x + self.norm2(self.mlp[2](F.gelu(hidden)))


def split_by_head(projection: nn.Linear) -> Tensor:
    """Return a projection's weights head by head."""
    return projection.weight.view(HEADS, HEAD_SIZE, -1)


class TopicTransformer(nn.Module):
    """Let topics gather what both images show, and cells read it from them."""

    def __init__(self) -> None:
        super().__init__()
        self.seed_tokens = nn.Parameter(torch.randn(TOPICS, COARSE_SIZE))
        self.layers = nn.ModuleList(EncoderLayer() for _ in range(TOPIC_LAYERS))
        self.feat_aug = nn.ModuleList(EncoderLayer() for _ in range(CELL_LAYERS))

    def forward(self, query: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
        """Return query cells (1, L, C) and reference cells (B, S, C) that know of each other, both for the batch."""
        topics = self.seed_tokens.expand(len(references), -1, -1)
        for layer in self.layers:
            topics = cast(EncoderLayer, layer).topics_from_cells(topics, (query, references))
        for layer in self.feat_aug:
            layer = cast(EncoderLayer, layer)
            query, references = layer.cells_from_topics(query, topics), layer.cells_from_topics(references, topics)
        return query, references


def match_cells(
    query: Tensor, references: Tensor, inside_query: Tensor, inside_references: Tensor, threshold: float
) -> CellMatches:
    """Return mutual nearest cells under the dual softmax, above a threshold.

    A confidence is the product of a row's and a column's softmax. Only pairs above the threshold are looked at twice:
    two softmax matrices of all pairs are never made.

    Args:
        query, references: (B, L, C), (B, S, C).
        inside_query, inside_references: (L,), (S,) bool, cells that may match.
        threshold: above 0.
    """
    with torch.autocast(query.device.type, enabled=False):  # the softmax multiplies what would be rounded
        scaled = widen(query) / query.shape[2], widen(references).mT * math.sqrt(query.shape[2])
        similarity = torch.bmm(*scaled)
    by_row, by_column = similarity.logsumexp(2, keepdim=True), similarity.logsumexp(1, keepdim=True)
    candidates = similarity > (math.log(threshold) + by_row + by_column) / 2
    pairs, rows, columns = candidates.nonzero(as_tuple=True)
    log_confidence = 2 * similarity[pairs, rows, columns] - by_row[pairs, rows, 0] - by_column[pairs, 0, columns]
    confidence = log_confidence.exp()
    best = is_best_of_its_group(pairs * query.shape[1] + rows, confidence)
    best &= is_best_of_its_group(pairs * references.shape[1] + columns, confidence)
    keep = best & inside_query[rows] & inside_references[columns] & (confidence > threshold)
    return CellMatches(pairs[keep], rows[keep], columns[keep], confidence[keep])


def is_best_of_its_group(groups: Tensor, values: Tensor) -> Tensor:
    """Return (N,) whether a value is the largest of those with the same group number."""
    if not len(groups):
        return torch.zeros(0, dtype=torch.bool, device=groups.device)
    best = values.new_full((int(groups.max()) + 1,), -torch.inf).scatter_reduce_(0, groups, values, "amax")
    return values == best[groups]


def is_inside_border(coarse: Tensor) -> Tensor:
    """Return (h * w,) whether cells of a (C, h, w) map are not on the border."""
    inside = torch.zeros(coarse.shape[1:], dtype=torch.bool, device=coarse.device)
    inside[BORDER:-BORDER, BORDER:-BORDER] = True
    return inside.flatten()
