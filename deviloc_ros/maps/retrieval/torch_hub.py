"""Convert a torch-hub model to a TorchScript file for global descriptors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from deviloc_ros.maps.retrieval.global_descriptors import DescriptorError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's colours, as torchvision's networks expect


class ResizedNetwork(nn.Module):
    """Apply a network to RGB in [0, 1] of any size, resized to the size it was trained for."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module, side_px: int) -> None:
        super().__init__()
        self.network, self.side_px = network, side_px
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(STD)[:, None, None])

    def forward(self, rgb: torch.Tensor) -> torch.Tensor:
        size = (self.side_px, self.side_px)
        resized = nn.functional.interpolate(rgb, size, mode="bilinear", antialias=True, align_corners=False)
        return self.network((resized - self.mean) / self.std)


def import_hub_model(folder: Path, entry: str, arguments: dict[str, Any], side_px: int, output: Path) -> int:
    """Trace the model of a torch-hub folder into a file, and return the size of its descriptors.

    This executes the folder's `hubconf.py`: call it only if the user has asked for that.

    Raises:
        DescriptorError: the folder has no such entry, or its model is not a global descriptor.
    """
    if not (folder / "hubconf.py").is_file():
        raise DescriptorError(f"{folder / 'hubconf.py'}: not found; this is not a torch-hub folder")
    try:
        network = torch.hub.load(str(folder.resolve()), entry, source="local", **arguments)
    except (RuntimeError, TypeError, ImportError) as error:
        raise DescriptorError(f"{folder}: entry {entry!r}: {error}") from error
    if not isinstance(network, nn.Module):
        raise DescriptorError(f"{folder}: entry {entry!r} gives no network but {type(network).__name__}")
    described = ResizedNetwork(network, side_px).eval()
    with torch.inference_mode():
        traced = torch.jit.trace(described, torch.rand(1, 3, 480, 640))
        found = traced(torch.rand(1, 3, 240, 320))
    if not isinstance(found, torch.Tensor) or found.ndim != 2 or len(found) != 1:
        raise DescriptorError(f"{folder}: entry {entry!r} does not give a (1, D) tensor for an image")
    traced.save(str(output))
    return found.shape[1]
