"""Lift as published: a keypoint beside an observed landmark takes its point, all others ask the network."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from deviloc_ros.config import LiftConfig
from deviloc_ros.geometry import transform_points
from deviloc_ros.lifting.base import LiftInput, OnlinePointInference, nearest_landmarks, to_batch
from deviloc_ros.types import Features, Landmarks, Lifted, MovedMatches, ReferenceView
from deviloc_ros.upstream.checkpoints import load_network
from deviloc_ros.upstream.pin import LandmarkTower, UpstreamPin
from deviloc_ros.upstream.precision import compute_in
from deviloc_ros.upstream.releases import PIN
from deviloc_ros.upstream.topicfm.matcher import sample_fine

KEYPOINTS_AT_ONCE = 2048
CPU = torch.device("cpu")  # where lifting runs


class UpstreamPointInference(OnlinePointInference):
    """Put the paper's network behind the interface of all lifting methods, also for keypoints that a matcher moved.

    Landmarks are embedded once per view (`prepare`), and a query's keypoints attend to what was stored.
    """

    def __init__(self, config: LiftConfig) -> None:
        self.radius_px, self.precision = config.landmark_radius_px, config.precision
        network, _ = load_network(UpstreamPin, config.weights, PIN)
        self.network = network.eval().requires_grad_(False)
        self._prepared: tuple[LiftInput, dict[str, Tensor]] | None = None

    def sample_features(self, features: Features, keypoints: NDArray) -> NDArray:
        """Return fine features as the backbone gives them, not of unit length."""
        if features.fine is None:
            raise ValueError("lift method 'upstream' needs the features of matcher 'topicfm'; choose both or neither")
        return sample_fine(features, torch.as_tensor(keypoints, dtype=torch.float32)).cpu().numpy()

    @torch.inference_mode()
    def prepare(self, view: LiftInput) -> dict[str, Tensor]:
        if self._prepared is not None and self._prepared[0] is view:
            return self._prepared[1]
        with compute_in(CPU, self.precision):
            tower = self.network.describe_landmarks(to_batch(view.landmarks_in_cam), to_batch(view.landmark_features))
        prepared = {"near": tower.near, "span": tower.span, "points": tower.points, "states": tower.states}
        self._prepared = view, prepared
        return prepared

    def infer(self, view: LiftInput) -> tuple[NDArray, NDArray]:
        depths, confidence = self.infer_from(self.prepare(view), view.rays, view.ray_features)
        distance_px, nearest = nearest_landmarks(view, 1)
        on_landmark = distance_px[:, 0] < self.radius_px
        depths[on_landmark] = view.landmarks_in_cam[nearest[on_landmark, 0], 2]
        confidence[on_landmark] = 1
        return depths, confidence

    @torch.inference_mode()
    def infer_from(self, tower: dict[str, Tensor], rays: NDArray, features: NDArray) -> tuple[NDArray, NDArray]:
        """Return (N,) depths [m] and (N,) confidence of keypoints, from what `prepare` gave for their view."""
        depths, confidence = np.zeros(len(rays)), np.zeros(len(rays))
        landmarks = LandmarkTower(**{name: tensor.float() for name, tensor in tower.items()})
        for start in range(0, len(rays), KEYPOINTS_AT_ONCE):
            rows = slice(start, start + KEYPOINTS_AT_ONCE)
            with compute_in(CPU, self.precision):
                found = self.network.lift_keypoints(landmarks, to_batch(rays[rows]), to_batch(features[rows]))
            depths[rows], confidence[rows] = (column[0].numpy() for column in found)
        return depths, confidence

    def lift_moved(self, moved: MovedMatches, view: ReferenceView) -> Lifted:
        """Return points for keypoints of a view where a matcher moved them."""
        rays = view.camera.rays(moved.reference_keypoints)
        points, on_landmark = find_observed_points(moved.reference_keypoints, view.landmarks, self.radius_px)
        asked = ~on_landmark & np.isfinite(rays).all(1) & bool(view.tower)
        confidence = on_landmark.astype(float)
        depths = transform_points(view.cam_from_world, points)[:, 2]
        if asked.any():
            depths[asked], confidence[asked] = self.infer_from(view.tower, rays[asked], moved.reference_features[asked])
            points[asked] = transform_points(view.cam_from_world.inverse(), rays[asked] * depths[asked, None])
        confidence[~(depths > 0)] = 0  # behind the reference camera
        return Lifted(points, confidence, depths)


def find_observed_points(keypoints: NDArray, landmarks: Landmarks, radius_px: float) -> tuple[NDArray, NDArray]:
    """Return (N, 3) the nearest landmark's point, and (N,) whether it is nearer than `radius_px` to its keypoint."""
    if not len(landmarks) or not len(keypoints):
        return np.zeros((len(keypoints), 3)), np.zeros(len(keypoints), bool)
    distances, nearest = cKDTree(landmarks.keypoints).query(keypoints)
    return landmarks.points_in_world[nearest].astype(float), distances < radius_px
