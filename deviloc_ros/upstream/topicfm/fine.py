"""Turn each pair of matched cells into a pair of sub-pixel keypoints: the fine stage of TopicFM-fast."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from deviloc_ros.upstream.precision import widen
from deviloc_ros.upstream.topicfm.backbone import FINE_SIZE

WINDOW, STRIDE, BLOCKS = 5, 4, 2  # fine pixels around a cell, fine pixels per cell
TEMPERATURE = 0.1  # of the detector


class MixerLayer(nn.Module):
    """Mix the pixels of a window, then its channels."""

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.mlp1 = nn.Sequential(nn.Linear(pixels, pixels), nn.GELU(), nn.Linear(pixels, pixels))
        self.mlp2 = nn.Sequential(nn.Linear(FINE_SIZE, FINE_SIZE), nn.GELU(), nn.Linear(FINE_SIZE, FINE_SIZE))
        self.norm1, self.norm2 = nn.LayerNorm(FINE_SIZE), nn.LayerNorm(FINE_SIZE)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.norm1(self.mlp1(x.mT).mT)
        return x + self.norm2(self.mlp2(x))


class FineNetwork(nn.Module):
    """Find the pixel of the query's window that is best matched, and where it lies in the reference's."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder_layers = nn.ModuleList(MixerLayer(2 * WINDOW**2) for _ in range(BLOCKS))
        self.detector = nn.Sequential(MixerLayer(WINDOW**2), nn.Linear(FINE_SIZE, 1))

    def forward(self, query: Tensor, reference: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (M, 2) offsets in both windows (M, 25, C) of matched cells, in fine pixels, and (M,) confidence."""
        both = torch.cat([query, reference], 1)
        for layer in self.encoder_layers:
            both = layer(both)
        query, reference = both.split(WINDOW**2, 1)
        with torch.autocast(query.device.type, enabled=False):  # a position is a mean: rounding moves it
            query, reference = widen(query), widen(reference)
            where = (self.detector(query)[..., 0] / TEMPERATURE).softmax(1)  # (M, 25)
            picked = (query * where[..., None]).sum(1)  # (M, C)
            similar = (torch.einsum("mc,mpc->mp", picked, reference) / math.sqrt(FINE_SIZE)).softmax(1)
            steps = window_steps(query.device).to(query.dtype)
            return where @ steps, similar @ steps, similar.amax(1)


def window_steps(device: torch.device) -> Tensor:
    """Return (25, 2) whole (x, y) steps from a window's middle, row by row."""
    steps = torch.arange(WINDOW, device=device) - WINDOW // 2
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([x, y], 2).flatten(0, 1)


def cut_windows(fine: Tensor, cells: Tensor) -> Tensor:
    """Return (M, 25, C) around cells (M,), none of them on the border, of a (C, h, w) fine map."""
    width = fine.shape[2] // STRIDE
    centres = torch.stack([cells % width, torch.div(cells, width, rounding_mode="floor")], 1) * STRIDE
    x, y = (centres[:, None] + window_steps(cells.device)).unbind(2)  # (M, 25)
    return fine[:, y, x].permute(1, 2, 0)
