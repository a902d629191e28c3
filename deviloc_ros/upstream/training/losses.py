"""Compute the paper's loss: where a query's points lie, and whether their confidence says so."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

ON_LANDMARK = 1 - 1e-3  # confidence of points that were not inferred, and so teach nothing
RIGHT_PX = 8.0
CONFIDENCE_WEIGHT = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class QueryTruth:
    """Hold a query's K (3, 3), cam_from_world (4, 4) and depth (H, W) [m or scene units], 0 where unknown."""

    intrinsics: Tensor
    cam_from_world: Tensor
    depth: Tensor


def find_true_points(keypoints: Tensor, truth: QueryTruth) -> tuple[Tensor, Tensor]:
    """Return (N, 3) points in the query's camera at (N, 2) px, by the nearest pixel's depth, and (N,) whether known."""
    height, width = truth.depth.shape
    x, y = torch.round(keypoints).long().unbind(1)
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    depths = truth.depth[y.clamp(0, height - 1), x.clamp(0, width - 1)] * inside
    rays = torch.cat([keypoints, torch.ones_like(keypoints[:, :1])], 1) @ torch.linalg.inv(truth.intrinsics).T
    return rays * depths[:, None], depths > 0


def deviloc_loss(
    keypoints: Tensor, points: Tensor, confidence: Tensor, truth: QueryTruth, fewest: int = 50
) -> tuple[Tensor, Tensor]:
    """Return the loss of a query's merged correspondences, and (K,) relative errors of its inferred points.

    Distances are measured in units of the standard deviation of the true depths; the confidence learns whether a point
    projects within 8 px of its keypoint. With `fewest` points or fewer only the confidence learns.
    """
    expected, valid = find_true_points(keypoints, truth)
    rows = torch.nonzero(valid & (confidence.detach() < ON_LANDMARK))[:, 0]
    if not len(rows):
        return points.sum() * 0, points.new_zeros(0)
    rotation, translation = truth.cam_from_world[:3, :3], truth.cam_from_world[:3, 3]
    in_cam, expected = points[rows] @ rotation.T + translation, expected[rows]
    spread = expected[:, 2].var(correction=0).clamp(min=1e-12).sqrt()
    distances = torch.linalg.norm(in_cam - expected, dim=1)
    regression = (distances / spread).mean() if len(rows) > fewest else distances.sum() * 0
    projected = in_cam.detach() / (in_cam.detach()[:, 2:] + 1e-6) @ truth.intrinsics.T
    right = torch.linalg.norm(projected[:, :2] - keypoints[rows], dim=1) < RIGHT_PX
    right &= in_cam.detach()[:, 2] > 0
    classification = F.binary_cross_entropy(confidence[rows], right.to(confidence.dtype))
    return regression + CONFIDENCE_WEIGHT * classification, (distances / expected[:, 2]).detach()
