"""Find nearest neighbours among descriptors."""

from __future__ import annotations

import torch


def match_mutual_nearest(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rows of a (N, C) and b (M, C) that are each other's best by dot product."""
    if not len(a) or not len(b):
        empty = torch.zeros(0, dtype=torch.long, device=a.device)
        return empty, empty
    similarity = a @ b.to(a).T
    best_in_b, best_in_a = similarity.argmax(1), similarity.argmax(0)
    rows = torch.arange(len(a), device=a.device)
    mutual = best_in_a[best_in_b] == rows
    return rows[mutual], best_in_b[mutual]
