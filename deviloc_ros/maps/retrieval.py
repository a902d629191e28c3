"""Which views are near: by pose when there is a prior, by a global descriptor when there is none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pycolmap
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from deviloc_ros.types import Features, Prior

CLUSTERS = 64
TRAINING_DESCRIPTORS = 100_000
CELLS = 1024  # of a matcher whose keypoints are the cells of a grid


def pose_distances(poses: Sequence[pycolmap.Rigid3d], cam_from_world: pycolmap.Rigid3d) -> tuple[NDArray, NDArray]:
    """(V,) distances between camera centres [m] and (V,) angles between optical axes [rad]."""
    centres, axes = centres_and_axes(poses)
    centre, axis = centres_and_axes([cam_from_world])
    return distances_to(centres, axes, centre[0], axis[0])


def centres_and_axes(poses: Sequence[pycolmap.Rigid3d]) -> tuple[NDArray, NDArray]:
    """(V, 3) camera centres [m] and (V, 3) unit optical axes, in world."""
    matrices = np.stack([pose.matrix() for pose in poses]) if poses else np.zeros((0, 3, 4))
    centres = -np.einsum("vji,vj->vi", matrices[:, :, :3], matrices[:, :, 3])
    return centres, matrices[:, 2, :3]


def distances_to(centres: NDArray, axes: NDArray, centre: NDArray, axis: NDArray) -> tuple[NDArray, NDArray]:
    angles = np.arccos(np.clip(axes @ axis, -1, 1))
    return np.linalg.norm(centres - centre, axis=1), angles


def nearest_by_pose(centres: NDArray, axes: NDArray, prior: Prior, count: int, meters_per_radian: float) -> NDArray:
    """Views within the prior's bounds, nearest first by distance and angle between optical axes."""
    (centre,), (axis,) = centres_and_axes([prior.cam_from_world])
    distances, angles = distances_to(centres, axes, centre, axis)
    near = np.flatnonzero((distances <= prior.radius_m) & (np.rad2deg(angles) <= prior.angle_deg))
    score = distances[near] + meters_per_radian * angles[near]
    return near[np.argsort(score, kind="stable")[:count]]


@dataclass(frozen=True, slots=True, eq=False)
class Vlad:
    """VLAD (Jegou et al., CVPR 2010) over local descriptors, its codebook learned from the map.

    centroids: (K, C) of unit-length descriptors.
    """

    centroids: torch.Tensor

    @staticmethod
    def learn(descriptors: torch.Tensor, clusters: int = CLUSTERS, seed: int = 0) -> Vlad:
        """k-means on (N, C) descriptors; fewer descriptors than clusters make fewer clusters."""
        import faiss

        unit = F.normalize(descriptors.float().cpu(), dim=1)
        clusters = max(1, min(clusters, len(unit) // 40 or 1))
        kmeans = faiss.Kmeans(unit.shape[1], clusters, niter=20, seed=seed, max_points_per_centroid=2000)
        kmeans.train(unit.numpy())
        return Vlad(torch.tensor(kmeans.centroids))

    def describe(self, features: Features) -> torch.Tensor:
        """(K * C,) unit vector; zero for an image without keypoints."""
        features = for_retrieval(features)
        unit = F.normalize(features.descriptors.float().cpu(), dim=1)
        nearest = torch.cdist(unit, self.centroids).argmin(1) if len(unit) else torch.zeros(0, dtype=torch.long)
        residuals = torch.zeros_like(self.centroids).index_add_(0, nearest, unit - self.centroids[nearest])
        residuals = F.normalize(residuals, dim=1)  # bursts of one pattern count once
        return F.normalize(residuals.flatten(), dim=0)


def for_retrieval(features: Features) -> Features:
    """What a global descriptor is made of: all keypoints, or a fixed sample of the cells of a dense matcher."""
    if features.fine is None:
        return features
    rows = torch.randperm(len(features), generator=torch.Generator().manual_seed(0))[:CELLS]
    rows = rows.to(features.keypoints.device)
    return Features(
        features.keypoints[rows],
        features.descriptors[rows],
        features.scores[rows],
        features.scales[rows],
        features.size,
    )


def training_descriptors(descriptors: Iterable[torch.Tensor], views: int) -> torch.Tensor:
    """A bounded sample of so many views' descriptors, the most reliable keypoints of each first."""
    per_view = max(1, TRAINING_DESCRIPTORS // views)
    return torch.cat([d[:per_view] for d in descriptors])


def nearest_by_descriptor(descriptors: NDArray, query: NDArray, count: int) -> NDArray:
    """Rows of (V, D) unit descriptors most similar to (D,), best first."""
    import faiss

    index = faiss.IndexFlatIP(descriptors.shape[1])
    index.add(np.ascontiguousarray(descriptors, np.float32))
    _, rows = index.search(np.ascontiguousarray(query[None], np.float32), min(count, len(descriptors)))
    return rows[0]
