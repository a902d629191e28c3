"""Attention in blocks is kornia's."""

import pytest
import torch
from kornia.feature.lightglue import CrossBlock

from deviloc_ros.matching.attention import FusedCrossAttention


@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("sizes", [(7, 7), (1, 40), (50, 3)], ids=str)
@torch.inference_mode()
def test_both_images_learn_of_each_other_what_they_learn_by_kornia(heads, sizes):
    torch.manual_seed(0)
    block = CrossBlock(32, heads, flash=True).eval()
    features = [torch.randn(1, size, 32) for size in sizes]
    for ours, theirs in zip(FusedCrossAttention(block)(*features), block(*features), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
