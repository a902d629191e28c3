"""Lift keypoints of a view to the depth that a sensor measured.

Depth and colour images need not be registered: depth pixels are moved into the colour camera, occluded ones are
dropped, and a keypoint gets its depth from a plane through the ones around it. Where the sensor saw nothing, or an
edge, the lifting method that uses landmarks takes over.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pycolmap
import torch
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.spatial import cKDTree
from scipy.special import erf
from torch import Tensor

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import robust_std, transform_points
from deviloc_ros.lifting.base import LiftInput, PointInference
from deviloc_ros.lifting.pin import plane_at_origin
from deviloc_ros.types import RIGHT_DEPTH_ERROR, Features

NOISE_PER_M = 1.425e-3
"""Standard deviation over depth squared [1/m] of structured light: Khoshelham and Elberink, "Accuracy and resolution of
Kinect depth data", Sensors 2012, random error of depth. Like that of stereo it comes from disparity."""
EDGE = 0.03  # depths around a pixel that differ by a larger share belong to different surfaces
WIDEST = 3.0  # tangent of the largest angle from the axis at which depth is used
SAMPLES = 9  # depth pixels that a keypoint's plane is fitted to
REACH = 2.5  # depth pixels: their largest distance from the keypoint
USUAL_CORRECTION = 0.05  # prior standard deviation of each number of a correction, weighted as one landmark
LEAST_PAIRS = 200  # landmarks needed for a correction
ANCHORS = 16  # landmarks nearest to a keypoint that tell the sensor's error there
ANCHOR_REACH_PX = 20.0  # a landmark at this distance has half the weight of one at the keypoint
ANCHOR_PRIOR = 0.4  # weight of the sensor's own depth among them
UNCORRECTED_STD = 0.01  # relative, of a sensor that could not be compared with landmarks


@dataclass(frozen=True, slots=True, eq=False)
class DepthPoints:
    """Hold the points that a sensor measured, in the colour camera's frame.

    rays: (M, 2) x and y on the plane z = 1. depths: (M,) m. pitch: distance between neighbouring rays.
    """

    rays: NDArray
    depths: NDArray
    pitch: float


@dataclass(frozen=True, slots=True)
class DepthCorrection:
    """Hold a correction of a sensor's depths, fitted to landmarks: 1 / true = (scale + tilt . ray) / sensed + offset.

    A wrong baseline, focal length or zero of the disparity is linear in inverse depth; the tilt corrects a camera that
    is mounted at a slightly wrong angle. std: remaining relative error. pairs: number of landmarks it was fitted to.
    """

    scale: float = 1.0
    tilt: tuple[float, float] = (0.0, 0.0)
    offset: float = 0.0
    std: float = UNCORRECTED_STD
    pairs: int = 0

    def apply(self, rays: NDArray, depths: NDArray) -> NDArray:
        """Return corrected depths, (N,) [m], of (N,) sensed ones along (N, 2) rays."""
        return 1 / ((self.scale + rays @ np.array(self.tilt)) / depths + self.offset)

    def __str__(self) -> str:
        if self.pairs < LEAST_PAIRS:
            return f"not corrected, only {self.pairs} landmarks to compare it with"
        at_2_m = float(self.apply(np.zeros((1, 2)), np.array([2.0]))[0])
        return (
            f"against {self.pairs} landmarks it was off by {2 / at_2_m - 1:+.1%} at 2 m, corrected; "
            f"{self.std:.1%} (one standard deviation) is left"
        )


def move_into_color(depth_m: NDArray, camera: Camera, color_from_depth: pycolmap.Rigid3d) -> DepthPoints:
    """Return pixels of a depth image as the colour camera sees them, without edges and without what is hidden from it.

    Args:
        depth_m: (H, W) metres along the optical axis, 0 where there is none.
        camera: that took it.
    """
    v, u = np.nonzero(find_surfaces(depth_m))
    rays = camera.rays(np.stack([u, v], 1))
    points = transform_points(color_from_depth, rays * depth_m[v, u][:, None])
    points = points[(np.abs(points[:, :2]) < WIDEST * points[:, 2:]).all(1)]
    seen = DepthPoints(points[:, :2] / points[:, 2:], points[:, 2], 1 / camera.focal_px)
    shown = find_unhidden(seen)
    return DepthPoints(seen.rays[shown], seen.depths[shown], seen.pitch)


def find_surfaces(depth_m: NDArray) -> NDArray:
    """Return (H, W) whether a pixel and all eight around it lie on one surface: edges mix near and far."""
    depth = depth_m.astype(np.float32)
    low, high = cv2.erode(depth, np.ones((3, 3))), cv2.dilate(depth, np.ones((3, 3)))
    return (low > 0) & (high - depth < EDGE * depth) & (depth - low < EDGE * depth)


def find_unhidden(seen: DepthPoints) -> NDArray:
    """Return (M,) whether points are not occluded by nearer ones, by a z-buffer with cells of a depth pixel."""
    if not len(seen.depths):
        return np.zeros(0, bool)
    cells = np.floor((seen.rays - seen.rays.min(0)) / seen.pitch).astype(int)
    nearest = np.full(cells.max(0)[::-1] + 1, np.inf, np.float32)
    np.minimum.at(nearest, (cells[:, 1], cells[:, 0]), seen.depths)
    nearest = cv2.erode(nearest, np.ones((3, 3)))
    return seen.depths <= nearest[cells[:, 1], cells[:, 0]] * (1 + EDGE)


def sense_depths(seen: DepthPoints, rays: NDArray) -> tuple[NDArray, NDArray]:
    """Return the depth along rays, and the scatter of the depth pixels around these.

    Args:
        rays: (N, 2) on the plane z = 1; NaN where a keypoint has none.

    Returns:
        (N,) depths [m] and (N,) relative scatter; NaN unless the sensor saw one surface all around the ray.
    """
    depths, scatter = np.full(len(rays), np.nan), np.full(len(rays), np.nan)
    if len(seen.depths) < SAMPLES or not len(rays):
        return depths, scatter
    reach = REACH * seen.pitch
    far_away = np.nan_to_num(rays, nan=1e6)  # the tree refuses NaN
    distances, nearest = cKDTree(seen.rays).query(far_away, SAMPLES, distance_upper_bound=reach)
    rows = np.flatnonzero(np.isfinite(distances).all(1))
    around = seen.depths[nearest[rows]]
    rows = rows[around.max(1, initial=0) < (1 + EDGE) * around.min(1, initial=np.inf)]
    nearest = nearest[rows]
    offsets = (seen.rays[nearest] - rays[rows, None]) / seen.pitch
    inverse = torch.from_numpy(1 / seen.depths[nearest])
    even = torch.full_like(inverse, 1 / SAMPLES)
    at_ray, residuals = plane_at_origin(torch.from_numpy(offsets), inverse, even, even.new_full((len(rows),), 1e-3))
    depths[rows] = 1 / at_ray.numpy()
    scatter[rows] = (residuals.square().mean(-1).sqrt() / at_ray).numpy()
    return depths, scatter


def confidence_from_noise(depths: NDArray, scatter: NDArray, std: float) -> NDArray:
    """Return (N,) confidences as the network's: the probability of an error below RIGHT_DEPTH_ERROR; 0 for NaN.

    The error combines the sensor's noise, which grows with depth squared, the remaining bias, and the scatter.
    """
    deviation = np.sqrt((NOISE_PER_M * depths) ** 2 + std**2 + scatter**2)
    return np.nan_to_num(erf(RIGHT_DEPTH_ERROR / (np.sqrt(2) * deviation)))


def fit_correction(rays: NDArray, sensed: NDArray, true: NDArray) -> DepthCorrection:
    """Fit the correction from sensed depths to those of landmarks, robustly.

    Args:
        rays: (N, 2). sensed, true: (N,) m. Fewer than LEAST_PAIRS give no correction.
    """
    if len(sensed) < LEAST_PAIRS:
        return DepthCorrection(pairs=len(sensed))
    terms = np.column_stack([true / sensed, rays * (true / sensed)[:, None], true])
    none = np.array([1.0, 0, 0, 0])

    def residuals(values: NDArray) -> NDArray:
        unlikely = UNCORRECTED_STD * (values - none) / USUAL_CORRECTION  # a prior, for landmarks on a single wall
        return np.concatenate([terms @ values - 1, unlikely])

    fit = least_squares(residuals, none, loss="soft_l1", f_scale=UNCORRECTED_STD)
    scale, tilt_x, tilt_y, offset = fit.x.tolist()
    std = robust_std(terms @ fit.x - 1)
    return DepthCorrection(scale, (tilt_x, tilt_y), offset, std, len(sensed))


def interpolate_bias(view: LiftInput, log_ratios: NDArray) -> NDArray:
    """Return the (N,) factors that correct the sensor's remaining bias, which varies slowly, at each keypoint.

    Args:
        log_ratios: (M,) log of true over sensed depth of the view's landmarks; NaN, or far from 0, where the sensor
            did not see the same surface.
    """
    rows = np.flatnonzero(np.abs(np.nan_to_num(log_ratios, nan=np.inf)) < 2 * EDGE)
    if not len(rows):
        return np.ones(len(view.rays))
    count = min(ANCHORS, len(rows))
    distances, nearest = cKDTree(view.landmark_rays[rows, :2]).query(view.rays[:, :2], range(1, count + 1))
    weights = 1 / (1 + (distances * view.focal_px / ANCHOR_REACH_PX) ** 2)
    return np.exp((weights * log_ratios[rows][nearest]).sum(1) / (weights.sum(1) + ANCHOR_PRIOR))


class SensorDepth(PointInference):
    """Lift one view to the sensor's depth, or by the inner method where the sensor saw nothing or is less certain."""

    needs_landmarks = False

    def __init__(self, inner: PointInference, seen: DepthPoints, correction: DepthCorrection) -> None:
        self.inner, self.seen, self.correction = inner, seen, correction

    def infer(self, view: LiftInput) -> tuple[NDArray, NDArray]:
        sensed, scatter = self.measure(view.rays)
        sure = confidence_from_noise(sensed, scatter, self.correction.std)
        if not len(view.landmarks_in_cam):
            return sensed, sure
        landmarks, _ = self.measure(view.landmark_rays)
        sensed = sensed * interpolate_bias(view, np.log(view.landmarks_in_cam[:, 2] / landmarks))
        depths, confidence = self.inner.infer(view)
        first = sure > confidence
        return np.where(first, sensed, depths), np.where(first, sure, confidence)

    def measure(self, rays: NDArray) -> tuple[NDArray, NDArray]:
        """Return corrected depths along (N, 3) rays, and their scatter."""
        sensed, scatter = sense_depths(self.seen, rays[:, :2])
        return self.correction.apply(rays[:, :2], sensed), scatter

    def sample_features(self, features: Features, keypoints: NDArray) -> NDArray:
        return self.inner.sample_features(features, keypoints)

    def prepare(self, view: LiftInput) -> dict[str, Tensor]:
        return self.inner.prepare(view) if len(view.landmarks_in_cam) else {}
