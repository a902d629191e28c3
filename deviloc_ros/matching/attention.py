"""Compute the cross attention of kornia's LightGlue with PyTorch's fused attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend

if TYPE_CHECKING:
    from kornia.feature.lightglue import CrossBlock, LightGlue

# On a GPU, without cuDNN's: that makes a plan for each number of keypoints, which takes seconds.
FOR_ANY_LENGTH = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


class FusedCrossAttention(torch.nn.Module):
    """Compute the same as kornia's cross attention, faster on a CPU.

    Kornia computes the matrix of all keypoints of one image by all of the other's, then copies, transposes and
    normalizes it. It is larger than the cache, which takes two thirds of LighterGlue's time on a CPU. PyTorch's fused
    attention multiplies twice, once for each image, and never stores the matrix.
    """

    def __init__(self, block: CrossBlock) -> None:
        super().__init__()
        self.block = block

    def forward(
        self, x0: torch.Tensor, x1: torch.Tensor, mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the features (B, M, D) and (B, N, D) of both images after each has attended to the other."""
        block = self.block
        if mask is not None or x0.device.type != "cpu":  # on a GPU kornia's own is fused
            return block(x0, x1, mask)
        keys, values = (
            [split_heads(project(x), block.heads) for x in (x0, x1)] for project in (block.to_qk, block.to_v)
        )
        seen = (
            F.scaled_dot_product_attention(keys[0], keys[1], values[1], scale=block.scale),
            F.scaled_dot_product_attention(keys[1], keys[0], values[0], scale=block.scale),
        )
        messages = [block.to_out(x.transpose(1, 2).flatten(start_dim=-2)) for x in seen]
        return x0 + block.ffn(torch.cat([x0, messages[0]], -1)), x1 + block.ffn(torch.cat([x1, messages[1]], -1))


def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """Reshape (B, N, D) to (B, heads, N, D / heads)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def fuse_cross_attention(network: LightGlue) -> LightGlue:
    """Replace the cross attention of a network whose weights are loaded; return the network."""
    for layer in network.transformers:
        layer.cross_attn = FusedCrossAttention(cast("CrossBlock", layer.cross_attn))
    return network
