"""Hide most landmarks of a view and predict their depths from the rest: pin-holdout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deviloc_ros.config import LiftConfig, MatcherConfig
from deviloc_ros.evaluation.reliability import Reliability, bin_by_confidence
from deviloc_ros.geometry import transform_points
from deviloc_ros.imaging import read_gray, sample_unit_features
from deviloc_ros.lifting.base import LiftInput, PointInference
from deviloc_ros.lifting.interpolation import Interpolation
from deviloc_ros.matching import create_matcher
from deviloc_ros.sfm.landmarks import match_sift, triangulate_landmarks
from deviloc_ros.sfm.uncertainty import add_depth_stds
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.sources.colmap import read_model
from deviloc_ros.types import RIGHT_DEPTH_ERROR, Features, Landmarks
from deviloc_ros.workers.base import Serial

SCENES = {"kitchen": "7scenes/redkitchen", "fountain": "strecha/fountain-P11", "entry": "strecha/entry-P10"}
MIN_LANDMARKS, MAX_PREDICTED = 200, 512
MIN_OBSERVATIONS = 3
SURE_OBSERVATIONS = 8
"""Landmarks with this many observations are more accurate: scores on them are less affected by noise of the truth."""


@dataclass(frozen=True, slots=True, eq=False)
class HoldoutView:
    """Hold one view with its landmarks.

    in_cam: (M, 3) m. rays: (M, 3). features: (M, C). depth_stds: (M,) relative. observations: (M,) views each.
    """

    in_cam: NDArray
    rays: NDArray
    features: NDArray
    depth_stds: NDArray
    observations: NDArray
    focal_px: float


def load_views(scene: str, data: Path) -> list[HoldoutView]:
    """Return views of a scene with enough landmarks, triangulated from all its images; of the kitchen, only seq-02."""
    folder = data / SCENES[scene]
    images = read_model(folder / "sfm_gt", folder if scene == "kitchen" else folder / "images").images
    triangulated = triangulate_landmarks(images, match_sift(images, Serial()))
    landmarks, observations = select_well_observed(add_depth_stds(images, triangulated))
    scored = [image for image in images if scene != "kitchen" or image.name.startswith("seq-02")]
    matcher = create_matcher(MatcherConfig(name="xfeat"))
    return [
        make_holdout_view(
            image, landmarks[image.name], observations, matcher.extract(read_gray(image.path), keep_dense=True)
        )
        for image in scored
        if len(landmarks[image.name]) >= MIN_LANDMARKS
    ]


def select_well_observed(landmarks: dict[str, Landmarks]) -> tuple[dict[str, Landmarks], dict[int, int]]:
    """Return landmarks that MIN_OBSERVATIONS views or more observe, and by id how many do.

    Those of two are too noisy.
    """
    counts = Counter(np.concatenate([observed.ids for observed in landmarks.values()]).tolist())
    trusted = {id_: count for id_, count in counts.items() if count >= MIN_OBSERVATIONS}
    kept = {name: observed[np.isin(observed.ids, list(trusted))] for name, observed in landmarks.items()}
    return kept, trusted


def make_holdout_view(
    image: PosedImage, landmarks: Landmarks, observations: dict[int, int], features: Features
) -> HoldoutView:
    """Return one view with the landmarks that are usable in it."""
    in_cam = transform_points(image.cam_from_world, landmarks.points_in_world)
    rays = image.camera.rays(landmarks.keypoints)
    usable = (in_cam[:, 2] > 1e-6) & np.isfinite(rays).all(1)
    at = landmarks.keypoints[usable]
    counts = np.array([observations[id_] for id_ in landmarks.ids[usable].tolist()])
    features_at = sample_unit_features(features, at)
    stds = landmarks.depth_stds[usable]
    return HoldoutView(in_cam[usable], rays[usable], features_at, stds, counts, image.camera.focal_px)


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Hold (N,) relative depth errors of all views, confidences, and numbers of observations of hidden landmarks."""

    errors: NDArray
    confidence: NDArray
    observations: NDArray

    @property
    def sure(self) -> NDArray:
        """Return (N,) whether the truth is accurate."""
        return self.observations >= SURE_OBSERVATIONS


def predict_hidden(views: list[HoldoutView], inference: PointInference, given_count: int, seed: int = 0) -> Answers:
    """Predict depths of hidden landmarks from the given ones; the split of each view depends on `seed` alone."""
    columns = []
    for number, view in enumerate(views):
        order = np.random.default_rng([seed, number]).permutation(len(view.in_cam))
        given = order[: min(given_count, len(order) // 2)]
        hidden = order[len(given) :][:MAX_PREDICTED]
        known = LiftInput(
            view.in_cam[given],
            view.rays[given],
            view.features[given],
            view.depth_stds[given],
            view.rays[hidden],
            view.features[hidden],
            view.focal_px,
        )
        depths, confidence = inference.infer(known)
        true = view.in_cam[hidden, 2]
        columns.append((np.abs(depths - true) / true, confidence, view.observations[hidden]))
    return Answers(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def score_answers(answers: Answers) -> dict[str, float]:
    """Return median error and share of right answers: of all, of the more confident half, and with accurate truth."""
    errors = answers.errors
    confident = np.argsort(-answers.confidence, kind="stable")[: len(errors) // 2]
    return {
        "median": float(np.median(errors)),
        "within_2pct": float((errors < RIGHT_DEPTH_ERROR).mean()),
        "within_2pct_confident_half": float((errors[confident] < RIGHT_DEPTH_ERROR).mean()),
        "within_2pct_sure_truth": float((errors[answers.sure] < RIGHT_DEPTH_ERROR).mean()),
    }


def evaluate_holdout(
    data: Path, pin: PointInference, landmarks: tuple[int, ...] = (64, 256), say: Callable[[str], None] = print
) -> tuple[list[dict[str, object]], dict[str, Reliability]]:
    """Return one cell per scene and number of given landmarks: PIN beside 4-NN interpolation on the same split.

    And, by the cell's name, how far PIN's confidence is to be believed.
    """
    cells: list[dict[str, object]] = []
    diagrams = {}
    interpolation = Interpolation(LiftConfig())
    for scene in SCENES:
        views = load_views(scene, data)
        for count in landmarks:
            answers = predict_hidden(views, pin, count)
            diagram = bin_by_confidence(answers.confidence, answers.errors < RIGHT_DEPTH_ERROR)
            diagrams[f"{scene}, {count} landmarks"] = diagram
            cell: dict[str, object] = {
                "scene": scene,
                "landmarks": count,
                "views": len(views),
                "pin": {**score_answers(answers), "calibration_error": diagram.calibration_error},
                "reliability": {name: values.tolist() for name, values in asdict(diagram).items()},
                "interpolation": score_answers(predict_hidden(views, interpolation, count)),
            }
            cells.append(cell)
            say(f"{scene} {count}: pin {cell['pin']}, interpolation {cell['interpolation']}")
    return cells, diagrams
