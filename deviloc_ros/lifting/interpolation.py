"""Lift without a network: take the nearest landmark's point, or a mean of the nearest few."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deviloc_ros.config import LiftConfig
from deviloc_ros.lifting.base import LiftInput, PointInference, nearest_landmarks


class LandmarksOnly(PointInference):
    """Lift only keypoints that lie on a landmark, as structure-based localization (hloc) does: the baseline."""

    def __init__(self, config: LiftConfig) -> None:
        self.radius_px = config.landmark_radius_px

    def infer(self, view: LiftInput) -> tuple[NDArray, NDArray]:
        distance_px, nearest = nearest_landmarks(view, 1)
        depths = view.landmarks_in_cam[nearest[:, 0], 2]
        return depths, (distance_px[:, 0] <= self.radius_px).astype(float)


class Interpolation(PointInference):
    """Lift to the distance-weighted mean of the nearest landmarks' inverse depths.

    Inverse depth, since on a plane it is linear in the pixel. Nothing is learned: the network must do better. The
    confidence falls with the spread of the neighbours' depths, since a keypoint between near and far landmarks may be
    either.
    """

    def __init__(self, config: LiftConfig) -> None:
        self.config = config

    def infer(self, view: LiftInput) -> tuple[NDArray, NDArray]:
        distance_px, nearest = nearest_landmarks(view, self.config.neighbours)
        inverse_depths = 1 / view.landmarks_in_cam[nearest, 2]  # (N, K)
        weights = 1 / (distance_px + 0.5)
        weights /= weights.sum(1, keepdims=True)
        mean = (weights * inverse_depths).sum(1)
        spread = np.sqrt((weights * (inverse_depths - mean[:, None]) ** 2).sum(1)) / mean
        confidence = np.exp(-((spread / self.config.max_depth_spread) ** 2))
        confidence[distance_px[:, 0] > self.config.max_neighbour_distance_px] = 0
        return 1 / mean, confidence
