"""Define the interface of matchers, and helpers that they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from deviloc_ros.matching.engine import Exportable
from deviloc_ros.types import USUAL_STD_PX, Features, Matches


class Matcher(ABC):
    """Find 2D-2D matches between a query and reference images.

    `extract` runs once per image and its result can be stored; `match` runs once per query, over all its references.
    Keypoints are pixels of the original image, whatever size the network saw. Both calls are deterministic and neither
    changes its arguments. Images that are too small or featureless give zero keypoints, never an error. A subclass
    defines the attributes below that have no default, `extract` and `match_on_device`.
    """

    name: str
    """Name the matcher; a map is bound to the one it was built with."""
    descriptor_size: int
    """Give the number of values of one descriptor; a map is bound to this, too."""
    device: torch.device
    """Give the device on which `match_on_device` gets features."""
    noise_px: float = USUAL_STD_PX
    """Give the standard deviation of a match's position [px], in the image as the network saw it."""
    weights_id: str = ""
    """Identify the weights if a user can choose them; a map is bound to those it was built with."""

    @abstractmethod
    def extract(self, image: NDArray, *, keep_dense: bool = False, used: NDArray | None = None) -> Features:
        """Extract features of a gray (H, W) uint8 image.

        Args:
            keep_dense: add the feature map that PIN samples.
            used: (H, W) bool, where keypoints may lie; None: everywhere. A dense matcher, whose keypoints are the cells
                of a grid, gives those elsewhere too, with score 0, and matches none of them.
        """

    def match(
        self, query: Features, references: list[Features], useful: Sequence[NDArray] | None = None
    ) -> list[Matches]:
        """Return one `Matches` per reference, in order. A reference keypoint stays where it was lifted.

        Args:
            query, references: features that lie on any device, as a map's lie on the CPU.
            useful: for each reference, (N,) bool, which of its keypoints the caller can use. Matches with the others
                may be left out, except those that stay at one pixel, which reveal what moves with the camera. All
                keypoints compete for the query's.
        """
        here, *there = (features.to(self.device) for features in (query, *references))
        return self.match_on_device(here, there, useful)

    @abstractmethod
    def match_on_device(
        self, query: Features, references: list[Features], useful: Sequence[NDArray] | None
    ) -> list[Matches]:
        """Match as `match` does, with all features on the matcher's device."""

    def describe_networks(self) -> list[Exportable]:
        """Return the networks that other runtimes can run."""
        return []


def resolve_device(name: str) -> torch.device:
    """Return the device that a config names; `auto` prefers CUDA. Raises ValueError if there is no such device."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter if PyTorch was built without CUDA
        raise ValueError(f"matcher.device {name!r}: {str(error).splitlines()[0]}") from error
    return device


def find_package_file(package: str, name: str, command: str) -> Path:
    """Find a file of an installed package without importing it. Raises FileNotFoundError saying how to install it."""
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / name
        if path.is_file():
            return path
    raise FileNotFoundError(f"{Path(name).name}: not found; `{command}` downloads the weights")


def lie_on(used: NDArray | None, keypoints: torch.Tensor) -> torch.Tensor:
    """Return (N,) bool: which of (N, 2) px lie on used pixels, (H, W) bool; all if `used` is None."""
    if used is None:
        return torch.ones(len(keypoints), dtype=torch.bool, device=keypoints.device)
    height, width = used.shape
    columns, rows = keypoints[:, 0].round().long(), keypoints[:, 1].round().long()
    columns, rows = columns.clamp(0, width - 1), rows.clamp(0, height - 1)
    return torch.as_tensor(used, device=keypoints.device)[rows, columns]


def no_matches() -> Matches:
    """Return zero matches."""
    return Matches(np.zeros((0, 2), np.float32), np.zeros(0, int), np.zeros(0, np.float32))


def to_numpy(tensor: torch.Tensor) -> NDArray:
    """Copy a tensor to the CPU, as an array."""
    return tensor.cpu().numpy()
