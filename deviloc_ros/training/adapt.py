"""Adapt the Point Inference Network to a map, with the map's own landmarks as the truth: some hidden, some given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from scipy.spatial import cKDTree
from torch import Tensor

from deviloc_ros.geometry import transform_points
from deviloc_ros.lifting.pin import PointInferenceNetwork
from deviloc_ros.maps.store import Map
from deviloc_ros.training.pin import (
    MIN_KEYPOINTS,
    MIN_LANDMARKS,
    PinSample,
    PinTraining,
    checkpoint_path,
    draw_batch,
    fit_network,
    split_by_place,
    validate_network,
)

ADAPTATION = PinTraining(steps=400, learning_rate=3e-4, validation_share=0.2, log_every=50)
MAX_DISTANCE_PX = 6.0  # between a landmark and the keypoint that lends it its descriptor; a feature cell has 8 px


@dataclass(frozen=True, slots=True)
class AdaptationResult:
    """Hold the median relative error and share of right answers on views kept out, before and after."""

    before: tuple[float, float]
    after: tuple[float, float]

    @property
    def is_better(self) -> bool:
        """Return whether more answers are right than before."""
        return self.after[1] > self.before[1]


def make_samples(reference_map: Map, feature_size: int) -> list[PinSample]:
    """Make a sample of each view; its landmarks are both what is known and what is asked for.

    Raises:
        ValueError: the map's descriptors are not the features that the network reads.
    """
    samples = []
    for number in range(len(reference_map)):
        view, landmarks = reference_map.view(number), reference_map.landmarks_of(number)
        descriptors = torch.nn.functional.normalize(view.features.descriptors, dim=1).numpy()
        if descriptors.shape[1] != feature_size:
            raise ValueError(
                f"{reference_map.folder}: descriptors of size {descriptors.shape[1]}, the network reads {feature_size}"
            )
        if not len(descriptors) or not len(landmarks):
            continue
        distance_px, nearest = cKDTree(view.features.keypoints.numpy()).query(landmarks.keypoints)
        in_cam = transform_points(view.cam_from_world, landmarks.points_in_world)
        rays = view.camera.rays(landmarks.keypoints).astype(np.float32)
        usable = (distance_px < MAX_DISTANCE_PX) & (in_cam[:, 2] > 1e-3) & np.isfinite(rays).all(1)
        rows = np.flatnonzero(usable)
        if len(rows) < MIN_KEYPOINTS:
            continue
        rays, features, in_cam = rays[rows], descriptors[nearest[rows]], in_cam[rows].astype(np.float32)
        stds, unknown = landmarks.depth_stds[rows].astype(np.float32), np.full(len(rows), np.nan, np.float32)
        samples.append(PinSample(view.name, in_cam, rays, features, stds, unknown, rays, features, in_cam[:, 2]))
    return samples


def hide_landmarks(sample: PinSample, rng: Generator) -> PinSample:
    """Turn between half and nearly all of the landmarks into the question; the others stay given."""
    order = rng.permutation(len(sample.rays))
    count = int(np.exp(rng.uniform(np.log(MIN_LANDMARKS + 1), np.log(len(order) / 2))))
    given, hidden = order[:count], order[count:]
    return replace(
        sample,
        landmarks_in_cam=sample.landmarks_in_cam[given],
        landmark_rays=sample.landmark_rays[given],
        landmark_features=sample.landmark_features[given],
        landmark_depth_stds=sample.landmark_depth_stds[given],
        true_landmark_depths=sample.true_landmark_depths[given],
        rays=sample.rays[hidden],
        features=sample.features[hidden],
        depths=sample.depths[hidden],
    )


def draw_hidden_batch(
    samples: list[PinSample], settings: PinTraining, rng: Generator, device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """Draw a batch as `draw_batch` does, from views of which some landmarks are hidden."""
    chosen = rng.integers(len(samples), size=settings.views_per_step)
    return draw_batch([hide_landmarks(samples[i], rng) for i in chosen], settings, rng, device)


def adapt_network(
    reference_map: Map,
    network: PointInferenceNetwork,
    output: Path,
    settings: PinTraining = ADAPTATION,
    say: Callable[[str], None] = print,
) -> AdaptationResult:
    """Fine-tune `network` on a map and write it to `output`.

    Raises:
        ValueError: too few views with landmarks, descriptors of another matcher, or `output` exists.
    """
    samples = make_samples(reference_map, network.shape.feature_size)
    if len(samples) < 5:
        raise ValueError(f"{reference_map.folder}: {len(samples)} views with enough landmarks, 5 are needed to adapt")
    training, validation = split_by_place(samples, settings.validation_share)
    say(f"{len(training)} views to learn from, {len(validation)} kept out")
    checkpoint = checkpoint_path(output)
    for there in (output, checkpoint):  # the latter perhaps of another map
        if there.exists():
            raise ValueError(f"{there} exists; choose another --output, or remove it")
    before = validate_network(network, validation, settings, draw_hidden_batch)
    fit_network(network, training, validation, output, settings, draw_hidden_batch)
    checkpoint.unlink()
    return AdaptationResult(before, validate_network(network, validation, settings, draw_hidden_batch))
