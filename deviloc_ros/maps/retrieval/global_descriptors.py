"""Describe a whole image by one vector, so that images of one place have similar vectors.

The default is VLAD with a codebook learned from the map itself. Instead, the user can name a network in a TorchScript
file; `torch_hub.py` makes one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from deviloc_ros.config import RetrievalConfig
from deviloc_ros.io.plain_files import expand_home
from deviloc_ros.maps.files import hash_file
from deviloc_ros.types import Features

CLUSTERS = 64
TRAINING_DESCRIPTORS = 100_000
CELLS = 1024  # sampled, of a matcher whose keypoints are the cells of a grid


class DescriptorError(ValueError):
    """Raise when a global descriptor cannot be used; the message names its file."""


class GlobalDescriptor(ABC):
    """Describe whole images, deterministically and without changing the arguments."""

    @abstractmethod
    def describe(self, gray: NDArray | None, features: Features) -> torch.Tensor:
        """Return a (D,) float32 unit vector on the CPU; zero for an image without features.

        Args:
            gray: (H, W) uint8; None when a view is described anew without its image.
            features: that the matcher extracted from it.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Vlad(GlobalDescriptor):
    """Describe an image by VLAD (Jegou et al., CVPR 2010) over its local descriptors.

    centroids: (K, C) of unit-length descriptors, the codebook learned from the map.
    """

    centroids: torch.Tensor

    @staticmethod
    def learn(descriptors: torch.Tensor, clusters: int = CLUSTERS, seed: int = 0) -> Vlad:
        """Learn a codebook by k-means on (N, C) descriptors; fewer descriptors than clusters make fewer clusters."""
        import faiss

        unit = F.normalize(descriptors.float().cpu(), dim=1)
        clusters = max(1, min(clusters, len(unit) // 40 or 1))
        kmeans = faiss.Kmeans(unit.shape[1], clusters, niter=20, seed=seed, max_points_per_centroid=2000)
        kmeans.train(unit.numpy())
        return Vlad(torch.tensor(kmeans.centroids))

    def describe(self, gray: NDArray | None, features: Features) -> torch.Tensor:
        """Describe an image by its local descriptors alone, so that views can be described without their images."""
        features = sample_for_retrieval(features)
        unit = F.normalize(features.descriptors.float().cpu(), dim=1)
        nearest = torch.cdist(unit, self.centroids).argmin(1) if len(unit) else torch.zeros(0, dtype=torch.long)
        residuals = torch.zeros_like(self.centroids).index_add_(0, nearest, unit - self.centroids[nearest])
        residuals = F.normalize(residuals, dim=1)  # against bursts: a repeated pattern counts once
        return F.normalize(residuals.flatten(), dim=0)


@dataclass(frozen=True, slots=True, eq=False)
class LearnedDescriptor(GlobalDescriptor):
    """Describe an image by a network in a TorchScript file: (1, 3, h, w) RGB in [0, 1], of any size -> (1, D).

    identity: SHA-256 of the file; a map is bound to the network that described it.
    """

    network: torch.jit.ScriptModule
    identity: str
    file: Path

    @staticmethod
    def load(file: Path) -> LearnedDescriptor:
        """Load the file, which is a program: only load trusted files.

        Raises:
            DescriptorError: it is missing or not TorchScript.
        """
        if not file.is_file():
            raise DescriptorError(f"{file}: not found; retrieval.descriptor_file names a TorchScript file")
        try:
            network = torch.jit.load(str(file), map_location="cpu").eval()
        except RuntimeError as error:
            raise DescriptorError(f"{file}: not a TorchScript file: {str(error).splitlines()[0]}") from error
        return LearnedDescriptor(network, hash_file(file), file)

    @torch.inference_mode()
    def describe(self, gray: NDArray | None, features: Features) -> torch.Tensor:
        """Run the network on the image.

        Raises:
            DescriptorError: there is no image, or the network does not give one vector for it.
        """
        if gray is None:
            raise DescriptorError(f"{self.file}: describes images, and the image of this view is not available")
        channels = torch.from_numpy(gray)[None, None].expand(1, 3, -1, -1)  # gray, since not all cameras have colour
        try:
            described = self.network(channels.float() / 255)
        except RuntimeError as error:  # what networks raise for images that they do not support
            raise DescriptorError(f"{self.file}: {str(error).strip().splitlines()[-1]}") from error
        if not isinstance(described, torch.Tensor) or described.ndim != 2 or len(described) != 1:
            raise DescriptorError(f"{self.file}: does not give a (1, D) tensor for an image")
        vector = described[0].float()
        return F.normalize(torch.where(vector.isfinite(), vector, 0.0), dim=0)


def load_learned_descriptor(config: RetrievalConfig) -> LearnedDescriptor | None:
    """Load the network that the config names; None means VLAD. Raises DescriptorError if it cannot be used."""
    if not config.descriptor_file:
        return None
    return LearnedDescriptor.load(expand_home(config.descriptor_file))


def sample_for_retrieval(features: Features) -> Features:
    """Return the features for a global descriptor: all, or for a dense matcher a fixed sample of its cells."""
    if features.fine is None:
        return features
    return features[rows_for_retrieval(features)]


def rows_for_retrieval(features: Features) -> torch.Tensor:
    """Return the indices of the keypoints that retrieval uses."""
    if features.fine is None:
        return torch.arange(len(features), device=features.keypoints.device)
    rows = torch.randperm(len(features), generator=torch.Generator().manual_seed(0))[:CELLS]
    rows = rows.to(features.keypoints.device)
    return rows[features.scores[rows] > 0]  # cells that a mask hides have score 0


def sample_descriptors(descriptors: Iterable[torch.Tensor], views: int) -> torch.Tensor:
    """Return a bounded sample of the descriptors of `views` views; the most reliable keypoints of each come first."""
    per_view = max(1, TRAINING_DESCRIPTORS // views)
    return torch.cat([d[:per_view] for d in descriptors])
