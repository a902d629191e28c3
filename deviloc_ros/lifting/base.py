"""Lift: give every keypoint of a reference view a 3D point and a confidence, from the landmarks the view observes.

A keypoint's answer depends on its reference view alone, never on a query, so lifting happens when a map is built.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import pycolmap
import torch
from numpy.typing import NDArray
from torch import Tensor

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import transform_points
from deviloc_ros.imaging import sample_unit_features
from deviloc_ros.types import Features, Landmarks, Lifted, Moved, ReferenceView


@dataclass(frozen=True, slots=True, eq=False)
class LiftInput:
    """Hold one reference view as point inference sees it, all geometry in the camera's frame.

    landmarks_in_cam: (M, 3) m, z > 0. landmark_rays, rays: (M, 3), (N, 3) undistorted, z = 1. landmark_features,
    ray_features: (M, C), (N, C) of unit length. landmark_depth_stds: (M,) as `Landmarks` has them. focal_px: pixels per
    unit on the plane z = 1.
    """

    landmarks_in_cam: NDArray
    landmark_rays: NDArray
    landmark_features: NDArray
    landmark_depth_stds: NDArray
    rays: NDArray
    ray_features: NDArray
    focal_px: float


class PointInference(ABC):
    """Infer the depth of keypoints along their rays, and how sure it is."""

    needs_landmarks = True
    """Whether a view without landmarks is not worth asking about."""

    @abstractmethod
    def infer(self, view: LiftInput) -> tuple[NDArray, NDArray]:
        """Return (N,) depths [m] and (N,) confidence in [0, 1]; confidence 0 where there is no answer."""

    def sample_features(self, features: Features, keypoints: NDArray) -> NDArray:
        """Return (N, C) features of a view at (N, 2) px, as the method wants them."""
        return sample_unit_features(features, keypoints)

    def prepare(self, view: LiftInput) -> dict[str, Tensor]:
        """Return what the map stores of a view to lift keypoints that a matcher moves; nothing for most methods."""
        return {}


class OnlinePointInference(PointInference):
    """Lift also where a matcher moved the keypoints, from what was prepared for the map."""

    @abstractmethod
    def lift_moved(self, moved: Moved, view: ReferenceView) -> Lifted:
        """Return points for keypoints where a matcher moved them."""


def to_batch(array: NDArray) -> Tensor:
    """Return an array as a (1, …) float32 tensor."""
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))[None]


def lift_and_prepare(
    inference: PointInference,
    features: Features,
    landmarks: Landmarks,
    camera: Camera,
    cam_from_world: pycolmap.Rigid3d,
) -> tuple[Lifted, dict[str, Tensor]]:
    """Lift every keypoint of a view, and return what the method wants stored of the view's landmarks.

    Without landmarks in front of the camera nothing is lifted (confidence 0).
    """
    count = len(features)
    in_cam = transform_points(cam_from_world, landmarks.points_in_world)
    landmark_rays, rays = camera.rays(landmarks.keypoints), camera.rays(features.keypoints.cpu().numpy())
    usable = (in_cam[:, 2] > 1e-6) & np.isfinite(landmark_rays).all(1)
    if not count or (inference.needs_landmarks and not usable.any()):
        return Lifted(np.zeros((count, 3)), np.zeros(count), np.zeros(count)), {}
    visible = np.isfinite(rays).all(1)
    view = LiftInput(
        in_cam[usable],
        landmark_rays[usable],
        inference.sample_features(features, landmarks.keypoints[usable]),
        landmarks.depth_stds[usable],
        np.where(visible[:, None], rays, [0.0, 0.0, 1.0]),
        inference.sample_features(features, features.keypoints.cpu().numpy()),
        camera.focal_px,
    )
    depths, confidence = inference.infer(view)
    lifted = visible & (confidence > 0) & np.isfinite(depths) & (depths > 0)
    depths, confidence = np.where(lifted, depths, 0.0), np.where(lifted, confidence, 0.0)
    points = transform_points(cam_from_world.inverse(), view.rays * depths[:, None])
    return Lifted(np.where(lifted[:, None], points, 0.0), confidence, depths), inference.prepare(view)
