"""Run ablations: parts of the method left out, and fewer and worse landmarks, with the same queries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pycolmap
import torch
from numpy.typing import NDArray
from torch import Tensor

from deviloc_ros.config import Config
from deviloc_ros.config_fields import from_dict
from deviloc_ros.evaluation.metrics import share_not_worse
from deviloc_ros.evaluation.protocols.run import Change, Evaluation
from deviloc_ros.lifting.base import LiftInput, PointInference
from deviloc_ros.lifting.pin import LearnedPointInference, Neighbourhoods, PointInferenceNetwork, load_pin
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.types import UNKNOWN_DEPTH_STD, Landmarks

LIFTS = ("landmarks-only", "interpolate", "pin")
DISTURBANCES = ((1.0, 0.0), (0.5, 0.0), (0.25, 0.0), (0.1, 0.0), (1.0, 0.01), (1.0, 0.05), (1.0, 0.1), (0.25, 0.05))


class WithoutFeatures(LearnedPointInference):
    """Hide the image's features from the network, so that it only has the landmarks' geometry."""

    def infer(self, view: LiftInput) -> tuple[NDArray, NDArray]:
        blind = np.zeros_like(view.landmark_features), np.zeros_like(view.ray_features)
        return super().infer(replace(view, landmark_features=blind[0], ray_features=blind[1]))


class FeaturesAlone(PointInferenceNetwork):
    """Hide the landmarks' geometry from the network, so that it only has the features of the nearest ones."""

    def look_around(self, *inputs: Tensor) -> Neighbourhoods:
        around = super().look_around(*inputs)
        return replace(around, offsets=torch.ones_like(around.offsets))


class WithoutUncertainty(LearnedPointInference):
    """Hide the uncertainty of the landmarks' depths from the network."""

    def infer(self, view: LiftInput) -> tuple[NDArray, NDArray]:
        return super().infer(replace(view, landmark_depth_stds=np.full(len(view.landmark_rays), UNKNOWN_DEPTH_STD)))


class WithoutConfidence(LearnedPointInference):
    """Give every lifted keypoint the same confidence."""

    def infer(self, view: LiftInput) -> tuple[NDArray, NDArray]:
        depths, confidence = super().infer(view)
        return depths, np.ones_like(confidence)


@dataclass(frozen=True, slots=True, eq=False)
class Variant:
    """Hold one line of the table: changes of the config, and of what lifts."""

    name: str
    config: Config
    inference: PointInference | None = None


def make_variants(config: Config) -> list[Variant]:
    """Return the method with one part changed at a time."""
    pin = from_dict(config, {"lift": {"method": "pin"}})
    network = load_pin()
    without_geometry = FeaturesAlone(network.shape)
    without_geometry.load_state_dict(network.state_dict())
    return [
        *(Variant(lift, from_dict(config, {"lift": {"method": lift}})) for lift in LIFTS),
        Variant("pin, no features", pin, WithoutFeatures(network, pin.lift)),
        Variant("pin, no geometry", pin, LearnedPointInference(without_geometry, pin.lift)),
        Variant("pin, no uncertainty of landmarks", pin, WithoutUncertainty(network, pin.lift)),
        Variant("pin, no confidence", pin, WithoutConfidence(network, pin.lift)),
        Variant("pin, near landmarks as well", from_dict(pin, {"lift": {"interpolate_within_px": 0.0}})),
        Variant("pin, no CPA", from_dict(pin, {"aggregation": {"cell_px": 0.1}})),
        Variant("pin, CPA of the paper", from_dict(pin, {"aggregation": {"max_depth_difference": 1e6}})),
        Variant("pin, depths taken as certain", from_dict(pin, {"pose": {"max_depth_discount": 1.0}})),
        Variant("pin, no check between views", from_dict(pin, {"lift": {"check_views": 0}})),
    ]


def run_ablation(evaluation: Evaluation, config: Config, retrieval: str) -> Iterator[dict[str, Any]]:
    """Yield a summary per variant; its `lift` is the variant's name."""
    for variant in make_variants(config):
        summary = evaluation.run(variant.config, retrieval, inference=variant.inference)
        yield {**summary, "lift": variant.name}


def run_robustness(
    evaluation: Evaluation, config: Config, retrieval: str, disturbances: Sequence[Sequence[float]] = DISTURBANCES
) -> Iterator[dict[str, Any]]:
    """Yield a summary per disturbance and lift: the experiment of the paper, section 4.4, with its main claim.

    `not_worse`: how sure the lift's median error is no larger than that of the first lift, by a paired bootstrap.

    Args:
        disturbances: share of the landmarks that are kept, and noise of their depths as a share of these.
        retrieval: as in `Evaluation.run`.
    """
    for share, noise in disturbances:
        baseline_m: list[float] = []
        for lift in LIFTS:
            change = make_disturbance(share, noise, config.pose.random_seed)
            summary = evaluation.run(from_dict(config, {"lift": {"method": lift}}), retrieval, change=change)
            summary["lift"] = f"{lift}, {share:.0%} of landmarks, {noise:.0%} noise"
            baseline_m = baseline_m or summary["translations_m"]
            yield {**summary, "not_worse": share_not_worse(summary["translations_m"], baseline_m)}


def make_disturbance(share: float, noise: float, seed: int) -> Change:
    """Keep a share of all landmarks, and move each along its ray by Gaussian noise, a share of its depth."""

    def change(images: list[PosedImage]) -> list[PosedImage]:
        rng = np.random.default_rng(seed)
        ids = np.unique(np.concatenate([require_landmarks(image).ids for image in images]))
        kept = rng.permutation(ids)[: round(share * len(ids))]
        return [replace(image, landmarks=disturb_landmarks(image, kept, noise, rng)) for image in images]

    return change


def make_pose_noise(std_m: float, std_deg: float, seed: int) -> Change:
    """Move each pose by Gaussian noise on each axis; landmarks are then triangulated from these poses."""

    def change(images: list[PosedImage]) -> list[PosedImage]:
        rng = np.random.default_rng(seed)
        return [replace(image, cam_from_world=move_pose(image.cam_from_world, rng), landmarks=None) for image in images]

    def move_pose(cam_from_world: pycolmap.Rigid3d, rng: np.random.Generator) -> pycolmap.Rigid3d:
        turn = pycolmap.Rotation3d(np.radians(std_deg) * rng.standard_normal(3))
        return pycolmap.Rigid3d(turn, std_m * rng.standard_normal(3)) * cam_from_world

    return change


def require_landmarks(image: PosedImage) -> Landmarks:
    """Return an image's landmarks; raise ValueError if it has none."""
    if image.landmarks is None:
        raise ValueError(f"{image.name}: has no landmarks to disturb")
    return image.landmarks


def disturb_landmarks(image: PosedImage, kept: NDArray, noise: float, rng: np.random.Generator) -> Landmarks:
    """Return the view's landmarks among `kept` ids, each moved along the ray it is seen on."""
    landmarks = require_landmarks(image)
    landmarks = landmarks[np.isin(landmarks.ids, kept)]
    centre = image.cam_from_world.tgt_origin_in_src()
    factor = np.maximum(1 + noise * rng.standard_normal(len(landmarks)), 0.01)
    points = centre + (landmarks.points_in_world - centre) * factor[:, None]
    return replace(landmarks, points_in_world=points)
