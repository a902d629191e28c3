"""Lift keypoints: give each of a reference view a 3D point and a confidence, from the landmarks the view observes.

The result depends on the reference view alone, never on a query, so lifting is done when a map is built.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
import pycolmap
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import STD_PER_MEDIAN, transform_points
from deviloc_ros.imaging import sample_unit_features
from deviloc_ros.types import Features, Landmarks, Lifted, MovedMatches, ReferenceView, depth_stds_from_confidence

SAME_PX = 0.1  # a keypoint nearer to a landmark than this is the one it was triangulated from, but for rounding
HIDDEN_SHARE = 0.25  # of a view's landmarks, used to measure the method's errors
STATED_WORTH = 20  # the method's stated errors weigh as much as this many hidden landmarks
STD_FACTORS = (0.2, 20.0)  # bounds of the correction; beyond them the landmarks are wrong, not the method
LEAST_STD = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class LiftInput:
    """Hold one reference view as input of point inference, all geometry in the camera's frame.

    landmarks_in_cam: (M, 3) m, z > 0. landmark_rays, rays: (M, 3), (N, 3) undistorted, z = 1. landmark_features,
    ray_features: (M, C), (N, C) of unit length. landmark_depth_stds: (M,) as in `Landmarks`. focal_px: pixels per unit
    on the plane z = 1.
    """

    landmarks_in_cam: NDArray
    landmark_rays: NDArray
    landmark_features: NDArray
    landmark_depth_stds: NDArray
    rays: NDArray
    ray_features: NDArray
    focal_px: float


class PointInference(ABC):
    """Infer the depths of keypoints along their rays, with confidences."""

    needs_landmarks = True
    """Say whether this method cannot lift a view without landmarks."""

    @abstractmethod
    def infer(self, view: LiftInput) -> tuple[NDArray, NDArray]:
        """Return (N,) depths [m] and (N,) confidence in [0, 1], 0 where there is no answer."""

    def sample_features(self, features: Features, keypoints: NDArray) -> NDArray:
        """Return (N, C) features of a view at (N, 2) px, in the form that the method needs."""
        return sample_unit_features(features, keypoints)

    def prepare(self, view: LiftInput) -> dict[str, Tensor]:
        """Return the tensors that the map stores for `lift_moved`; none for most methods."""
        return {}


class OnlinePointInference(PointInference):
    """Lift also keypoints that a matcher moved, from the tensors that were prepared for the map."""

    @abstractmethod
    def lift_moved(self, moved: MovedMatches, view: ReferenceView) -> Lifted:
        """Lift the reference keypoints of moved matches."""


def to_batch(array: NDArray) -> Tensor:
    """Return an array as a (1, …) float32 tensor."""
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))[None]


def nearest_landmarks(view: LiftInput, count: int) -> tuple[NDArray, NDArray]:
    """Return (N, K) distances [px] and (N, K) indices of the K nearest landmarks in the image."""
    tree = cKDTree(view.landmark_rays[:, :2])
    count = min(count, len(view.landmark_rays))
    distances, indices = tree.query(view.rays[:, :2], k=range(1, count + 1))
    return distances * view.focal_px, indices


def lift_and_prepare(
    inference: PointInference,
    features: Features,
    landmarks: Landmarks,
    camera: Camera,
    cam_from_world: pycolmap.Rigid3d,
) -> tuple[Lifted, dict[str, Tensor]]:
    """Lift every keypoint of a view; also return the tensors that the method stores for `lift_moved`.

    Methods that need landmarks lift nothing (confidence 0) if none is in front of the camera.
    """
    count = len(features)
    in_cam = transform_points(cam_from_world, landmarks.points_in_world)
    landmark_rays, rays = camera.rays(landmarks.keypoints), camera.rays(features.keypoints.cpu().numpy())
    usable = (in_cam[:, 2] > 1e-6) & np.isfinite(landmark_rays).all(1)
    if not count or (inference.needs_landmarks and not usable.any()):
        return Lifted.nothing(count), {}
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
    if usable.any():
        distances_px, nearest = nearest_landmarks(view, 1)
        depths = np.where(distances_px[:, 0] < SAME_PX, view.landmarks_in_cam[nearest[:, 0], 2], depths)
    lifted = visible & (confidence > 0) & np.isfinite(depths) & (depths > 0)
    depths, confidence = np.where(lifted, depths, 0.0), np.where(lifted, confidence, 0.0)
    points = transform_points(cam_from_world.inverse(), view.rays * depths[:, None])
    result = Lifted(np.where(lifted[:, None], points, 0.0), confidence, depths)
    if usable.any():
        result = tie_to_landmarks(correct_stds(result, inference, view), view, landmarks, np.flatnonzero(usable))
    return result, inference.prepare(view)


def correct_stds(lifted: Lifted, inference: PointInference, view: LiftInput) -> Lifted:
    """Return the lifted keypoints with standard deviations corrected by the method's errors on hidden landmarks."""
    if isinstance(inference, OnlinePointInference):
        return lifted  # the confidence of such a method is about reprojection, not depth
    return replace(lifted, depth_stds=measure_std_factor(inference, view) * lifted.depth_stds)


def measure_std_factor(inference: PointInference, view: LiftInput) -> float:
    """Return the factor by which the method's standard deviations must be multiplied in this view.

    A part of the landmarks is hidden and lifted from the others; the factor makes the median of their errors agree with
    the stated ones. With few hidden landmarks it stays near 1.
    """
    order = np.random.default_rng(0).permutation(len(view.landmarks_in_cam))
    hidden, given = np.split(order, [int(HIDDEN_SHARE * len(order))])
    if not len(hidden):
        return 1.0
    depths, confidence = inference.infer(
        LiftInput(
            view.landmarks_in_cam[given],
            view.landmark_rays[given],
            view.landmark_features[given],
            view.landmark_depth_stds[given],
            view.landmark_rays[hidden],
            view.landmark_features[hidden],
            view.focal_px,
        )
    )
    answered = (confidence > 0) & (depths > 0)
    hidden, depths = hidden[answered], depths[answered]
    if not len(hidden):
        return 1.0
    errors = np.abs(np.log(depths / view.landmarks_in_cam[hidden, 2]))
    stated = np.hypot(depth_stds_from_confidence(confidence[answered]), view.landmark_depth_stds[hidden])
    seen = STD_PER_MEDIAN * float(np.median(errors / np.maximum(stated, LEAST_STD)))
    return float(np.exp(len(hidden) / (len(hidden) + STATED_WORTH) * np.log(np.clip(seen, *STD_FACTORS))))


def tie_to_landmarks(lifted: Lifted, view: LiftInput, landmarks: Landmarks, rows: NDArray) -> Lifted:
    """Return the lifted keypoints, each with its nearest landmark, and not more certain than that.

    A keypoint that *is* a landmark gets the landmark's depth and uncertainty, but stays on its own ray. The landmark's
    position is where the rays of all views meet; in near views, where the detector has similar errors, that is less
    accurate than the keypoint's own ray.

    Args:
        rows: (M,) indices into `landmarks` of those in `view`.
    """
    distances_px, nearest = nearest_landmarks(view, 1)
    nearest = rows[nearest[:, 0]]
    given = lifted.confidence > 0
    itself = given & (distances_px[:, 0] < SAME_PX)
    own = landmarks.depth_stds[nearest]
    return replace(
        lifted,
        confidence=np.where(itself, 1.0, lifted.confidence),
        depth_stds=np.where(itself, own, np.maximum(lifted.depth_stds, own)),
        landmark_rows=np.where(given, nearest, -1),
    )
