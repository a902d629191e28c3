"""pin-holdout: hide most landmarks of a view, predict their depths from the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deviloc_ros.config import LiftConfig, MatcherConfig
from deviloc_ros.evaluation.reliability import Reliability, reliability
from deviloc_ros.geometry import transform_points
from deviloc_ros.imaging import read_gray, sample_unit_features
from deviloc_ros.maps.colmap import read_model
from deviloc_ros.maps.landmarks import match_sift, triangulate
from deviloc_ros.maps.sources import PosedImage
from deviloc_ros.matching import create_matcher
from deviloc_ros.pin import RIGHT
from deviloc_ros.point_inference import Interpolation, LiftInput, PointInference
from deviloc_ros.types import Features, Landmarks

SCENES = {"kitchen": "7scenes/redkitchen", "fountain": "strecha/fountain-P11", "entry": "strecha/entry-P10"}
MIN_LANDMARKS, MAX_PREDICTED = 200, 512
MIN_OBSERVATIONS = 3


@dataclass(frozen=True, slots=True, eq=False)
class HoldoutView:
    """One view with its landmarks: in_cam (M, 3) m, rays (M, 3), features (M, C)."""

    in_cam: NDArray
    rays: NDArray
    features: NDArray
    focal_px: float


def load_views(scene: str, data: Path) -> list[HoldoutView]:
    """Views of a scene with enough landmarks, triangulated over all its images (kitchen: scored on seq-02 only)."""
    folder = data / SCENES[scene]
    images = read_model(folder / "sfm_gt", folder if scene == "kitchen" else folder / "images").images
    landmarks = well_observed(triangulate(images, match_sift(images, partial(tqdm, dynamic_ncols=True))))
    scored = [image for image in images if scene != "kitchen" or image.name.startswith("seq-02")]
    matcher = create_matcher(MatcherConfig(name="xfeat"))
    return [
        holdout_view(image, landmarks[image.name], matcher.extract(read_gray(image.path), keep_dense=True))
        for image in scored
        if len(landmarks[image.name]) >= MIN_LANDMARKS
    ]


def well_observed(landmarks: dict[str, Landmarks]) -> dict[str, Landmarks]:
    """Landmarks that MIN_OBSERVATIONS views or more observe: those of two views are too noisy to be the truth."""
    ids, counts = np.unique(np.concatenate([observed.ids for observed in landmarks.values()]), return_counts=True)
    trusted = ids[counts >= MIN_OBSERVATIONS]
    kept = {name: np.isin(observed.ids, trusted) for name, observed in landmarks.items()}
    return {
        name: Landmarks(o.ids[kept[name]], o.keypoints[kept[name]], o.points_in_world[kept[name]])
        for name, o in landmarks.items()
    }


def holdout_view(image: PosedImage, landmarks: Landmarks, features: Features) -> HoldoutView:
    in_cam = transform_points(image.cam_from_world, landmarks.points_in_world)
    usable = in_cam[:, 2] > 1e-6
    at = landmarks.keypoints[usable]
    return HoldoutView(in_cam[usable], image.camera.rays(at), sample_unit_features(features, at), image.camera.focal_px)


def predict(
    views: list[HoldoutView], inference: PointInference, given_count: int, seed: int = 0
) -> tuple[NDArray, NDArray]:
    """Pooled relative depth errors and confidences; the split of each view depends on `seed` alone."""
    errors, confidences = [], []
    for number, view in enumerate(views):
        order = np.random.default_rng([seed, number]).permutation(len(view.in_cam))
        given = order[: min(given_count, len(order) // 2)]
        hidden = order[len(given) :][:MAX_PREDICTED]
        known = LiftInput(
            view.in_cam[given],
            view.rays[given],
            view.features[given],
            view.rays[hidden],
            view.features[hidden],
            view.focal_px,
        )
        depths, confidence = inference.infer(known)
        errors.append(np.abs(depths - view.in_cam[hidden, 2]) / view.in_cam[hidden, 2])
        confidences.append(confidence)
    return np.concatenate(errors), np.concatenate(confidences)


def score(errors: NDArray, confidence: NDArray) -> dict[str, float]:
    """Median error, share of right answers, and that share among the more confident half."""
    confident = np.argsort(-confidence, kind="stable")[: len(confidence) // 2]
    return {
        "median": float(np.median(errors)),
        "within_2pct": float((errors < RIGHT).mean()),
        "within_2pct_confident_half": float((errors[confident] < RIGHT).mean()),
    }


def evaluate_holdout(
    data: Path, pin: PointInference, landmarks: tuple[int, ...] = (64, 256), say: Callable[[str], None] = print
) -> tuple[list[dict[str, object]], dict[str, Reliability]]:
    """One cell per scene and number of given landmarks: PIN beside 4-NN interpolation on the same split.

    And, by the cell's name, how far PIN's confidence is to be believed.
    """
    cells: list[dict[str, object]] = []
    diagrams = {}
    interpolation = Interpolation(LiftConfig())
    for scene in SCENES:
        views = load_views(scene, data)
        for count in landmarks:
            errors, confidence = predict(views, pin, count)
            diagram = reliability(confidence, errors < RIGHT)
            diagrams[f"{scene}, {count} landmarks"] = diagram
            cell: dict[str, object] = {
                "scene": scene,
                "landmarks": count,
                "views": len(views),
                "pin": {**score(errors, confidence), "calibration_error": diagram.calibration_error},
                "reliability": {name: values.tolist() for name, values in asdict(diagram).items()},
                "interpolation": score(*predict(views, interpolation, count)),
            }
            cells.append(cell)
            say(f"{scene} {count}: pin {cell['pin']}, interpolation {cell['interpolation']}")
    return cells, diagrams
