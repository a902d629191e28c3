"""Measure how well the network localizes while it is trained: the area under the curve of pose errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pycolmap
import torch
from torch import Tensor
from tqdm import tqdm

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config, PoseConfig
from deviloc_ros.geometry import rotation_distance_deg, transform_points
from deviloc_ros.pose.solve import solve_pnp
from deviloc_ros.types import Correspondences, Localized
from deviloc_ros.upstream.aggregation import merge_cells
from deviloc_ros.upstream.presets import PAPER, apply_preset
from deviloc_ros.upstream.training.megadepth import MegaDepth, MegaDepthView, SampleSettings

AUC_DEG = (5.0, 10.0, 20.0)
REFERENCES = 3  # the first of those a query overlaps with
SMALLEST_DEPTH, WIDE_OPEN, ANY_SHARE = 1e-6, 1e4, 100.0


class LiftingMethod(Protocol):
    """Describe what is validated."""

    def correspondences(self, query: MegaDepthView, references: list[MegaDepthView]) -> tuple[Tensor, Tensor, Tensor]:
        """Return keypoints of the query (N, 2), points (N, 3) in world and confidence (N,) from all references."""


class Validation:
    """Hold queries of scenes that are not trained on, with their references."""

    def __init__(self, data: MegaDepth, samples: SampleSettings) -> None:
        self._data = data
        self._settings = replace(samples, augment=False)
        self._queries = [
            (scene, query)
            for scene in data.scenes
            for query in data.metadata[scene]["qids"]
            if data.usable_references(scene, query, samples)
        ]

    def __len__(self) -> int:
        return len(self._queries)

    def pose_auc(self, lifting: LiftingMethod) -> list[float]:
        """Return the area at 5, 10 and 20 degrees."""
        queries = tqdm(self._queries, desc="validating", unit="query", leave=False)
        return pose_auc([self.measure_error_deg(lifting, scene, query) for scene, query in queries])

    def measure_error_deg(self, lifting: LiftingMethod, scene: str, name: object) -> float:
        """Return the error of one query's pose, infinite without one."""
        rng = np.random.default_rng(0)  # of the landmarks, where a view has too many
        names = self._data.usable_references(scene, name, self._settings)[:REFERENCES]
        query = self._data.read_view(scene, name, self._settings, rng, is_query=True)
        references = [self._data.read_view(scene, other, self._settings, rng) for other in names]
        estimated = localize_query(lifting, query, references)
        true = pycolmap.Rigid3d(query.cam_from_world[:3])
        return np.inf if estimated is None else pose_error_deg(estimated, true)


def make_validation(
    data: Path, scenes: Sequence[str], trained: Sequence[str], samples: SampleSettings
) -> Validation | None:
    """Return the validation on these scenes; None if there are none.

    Raises:
        ValueError: one of them is trained on.
    """
    if both := set(scenes) & set(trained):
        raise ValueError(f"trained on and validated with: {', '.join(sorted(both))}; name the others with --scenes")
    return Validation(MegaDepth(data, tuple(scenes)), samples) if scenes else None


@torch.no_grad()
def localize_query(
    lifting: LiftingMethod, query: MegaDepthView, references: list[MegaDepthView]
) -> pycolmap.Rigid3d | None:
    """Return cam_from_world with the paper's settings for MegaDepth, all gates open; None if there is no pose."""
    config = apply_preset(Config(), f"{PAPER}:megadepth")
    keypoints, points, confidence = lifting.correspondences(query, references)
    left = confidence > config.aggregation.min_confidence
    if not left.any():
        return None
    merged = merge_cells(keypoints[left], points[left], confidence[left], config.aggregation.cell_px)
    at, places, sure = (column.double().cpu().numpy() for column in merged)
    first_from_world = pycolmap.Rigid3d(references[0].cam_from_world[:3])
    depths = np.maximum(transform_points(first_from_world, places)[:, 2], SMALLEST_DEPTH)
    origins = np.broadcast_to(first_from_world.tgt_origin_in_src(), places.shape)
    correspondences = Correspondences(at, places, sure, depths, np.zeros(len(at), int), origins)
    result = solve_pnp(correspondences, make_camera(query), open_gates(config.pose))
    return result.cam_from_world if isinstance(result, Localized) else None


def make_camera(view: MegaDepthView) -> Camera:
    """Return the camera of a view, without distortion, as MegaDepth's images are."""
    height, width = view.gray.shape
    K = view.intrinsics
    return Camera("PINHOLE", width, height, (K[0, 0], K[1, 1], K[0, 2], K[1, 2]))


def open_gates(pose: PoseConfig) -> PoseConfig:
    """Let every pose count: scenes are of unknown scale, and the authors refuse none."""
    return replace(
        pose,
        min_inliers=4,
        min_inlier_ratio=0.0,
        min_coverage=0.0,
        max_position_std=WIDE_OPEN,
        max_shift=WIDE_OPEN,
        max_focal_error=ANY_SHARE,
    )


def pose_error_deg(estimated: pycolmap.Rigid3d, true: pycolmap.Rigid3d) -> float:
    """Return the larger of two angles: of the rotation between poses, and between their translations up to sign.

    As the authors measure it, after two-view matching, where a translation has no length. It depends on the origin.
    """
    lengths = float(np.linalg.norm(estimated.translation) * np.linalg.norm(true.translation))
    cosine = abs(float(estimated.translation @ true.translation)) / max(lengths, 1e-12)
    return max(rotation_distance_deg(estimated, true), float(np.rad2deg(np.arccos(min(cosine, 1.0)))))


def pose_auc(errors_deg: Sequence[float], thresholds_deg: Sequence[float] = AUC_DEG) -> list[float]:
    """Return the area under the share of queries within an error, up to each threshold, as a share of the whole.

    The curve is linear between errors (Sarlin et al., CVPR 2020, section 5); infinite errors are never within.
    """
    errors = np.concatenate([[0.0], np.sort(np.asarray(errors_deg, float))])
    shares = np.linspace(0, 1, len(errors))
    areas = []
    for threshold in thresholds_deg:
        below = errors < threshold
        x, y = np.append(errors[below], threshold), np.append(shares[below], shares[below][-1])
        areas.append(float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2) / threshold))
    return areas


def describe_areas(areas: Sequence[float]) -> str:
    """Return the areas on one line."""
    at = " / ".join(f"{threshold:g}" for threshold in AUC_DEG)
    return f"AUC of pose errors at {at} deg: " + " / ".join(f"{area:.3f}" for area in areas)
