"""Half precision by torch's autocast: products of matrices and convolutions in it, everything delicate in float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn


def half_precision(device: torch.device, precision: str) -> AbstractContextManager:
    """What runs within computes in `precision`, one of config.PRECISIONS, where that is safe."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, getattr(torch, precision))


def in_float32(module: nn.Module, x: Tensor) -> Tensor:
    """A module for which eight bits of mantissa are too few, whatever surrounds it."""
    with torch.autocast(x.device.type, enabled=False):
        return module(widened(x))


def widened(x: Tensor) -> Tensor:
    """In float32 if it is in half precision."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
