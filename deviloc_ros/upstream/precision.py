"""Compute in half precision by torch's autocast.

Products of matrices and convolutions, everything delicate in float32.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn


def compute_in(device: torch.device, precision: str) -> AbstractContextManager:
    """Compute what runs within in `precision`, one of config.PRECISIONS, where that is safe."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, getattr(torch, precision))


def compute_in_float32(module: nn.Module, x: Tensor) -> Tensor:
    """Apply a module for which eight bits of mantissa are too few, whatever surrounds it."""
    with torch.autocast(x.device.type, enabled=False):
        return module(widen(x))


def widen(x: Tensor) -> Tensor:
    """Return a tensor of half precision in float32, others as they are."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
