"""Train the Point Inference Network on rendered views: landmarks and features in, true depth as the target."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from deviloc_ros.config import MatcherConfig
from deviloc_ros.imaging import sample_unit_features
from deviloc_ros.io.atomic import replace_on_success
from deviloc_ros.lifting.pin import PinShape, PointInferenceNetwork, save_pin
from deviloc_ros.matching import create_matcher
from deviloc_ros.matching.base import resolve_device
from deviloc_ros.training.picture import draw_history
from deviloc_ros.training.views import TrainingView, read_views
from deviloc_ros.types import RIGHT_DEPTH_ERROR, UNKNOWN_DEPTH_STD, Features

KEYPOINTS_STORED = 1024
MIN_KEYPOINTS, MIN_LANDMARKS = 64, 16
VALIDATION_BATCHES = 24
OUTLIER = 0.1  # of the depth: an error that is no noise
FAR_OUTSIDE = 1e3  # on the plane z = 1
UNKNOWN_SHARE = 0.1  # of views: models by others, and maps of earlier releases, do not say how uncertain depths are


@dataclass(frozen=True, slots=True)
class PinTraining:
    """Hold the settings of one training run; they are stored beside the weights."""

    steps: int = 6000
    views_per_step: int = 8
    keypoints_per_view: int = 96
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    seed: int = 0
    validation_share: float = 0.06
    log_every: int = 100


def apply_options(settings: PinTraining, **options: int | None) -> PinTraining:
    """Return `settings` with those options that are given; raise ValueError if there is no step to take."""
    if options.get("steps") is not None and options["steps"] < 1:  # type: ignore[operator]
        raise ValueError(f"--steps {options['steps']}: expected 1 or more")
    return replace(settings, **{name: value for name, value in options.items() if value is not None})  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, eq=False)
class PinSample:
    """Hold what the network needs of one view, as float32 arrays, and the depths [m] it should say.

    true_landmark_depths: (M,) m, NaN where nobody knows.
    """

    place: str
    landmarks_in_cam: NDArray
    landmark_rays: NDArray
    landmark_features: NDArray
    landmark_depth_stds: NDArray
    true_landmark_depths: NDArray
    rays: NDArray
    features: NDArray
    depths: NDArray


DrawBatch = Callable[[list[PinSample], PinTraining, Generator, torch.device | str], dict[str, Tensor]]


def load_samples(folder: Path, seed: int) -> list[PinSample]:
    """Extract features once per view, and keep them at the landmarks and at some keypoints."""
    matcher = create_matcher(MatcherConfig(name="xfeat"))
    samples = []
    for number, view in enumerate(tqdm(read_views(folder), desc="features", unit="view")):
        sample = make_sample(view, matcher.extract(view.gray(), keep_dense=True), np.random.default_rng([seed, number]))
        if sample is not None:
            samples.append(sample)
    return samples


def make_sample(view: TrainingView, features: Features, rng: Generator) -> PinSample | None:
    """Choose what to learn from a view; None if too little of it is seen.

    Half of the keypoints are the matcher's, a quarter lies anywhere, a quarter where landmarks were detected: corners,
    which is where depth edges are.
    """
    size = np.array(features.size)
    quarter = KEYPOINTS_STORED // 4
    found, detected = features.keypoints.cpu().numpy(), view.landmark_keypoints
    chosen = [
        found[rng.permutation(len(found))[: 2 * quarter]],
        rng.uniform(0, size - 1, (quarter, 2)),
        detected[rng.permutation(len(detected))[:quarter]],
    ]
    keypoints = np.clip(np.concatenate(chosen), 0, size - 1)
    depths = view.depths_at(keypoints)
    seen = depths > 0
    in_cam = view.landmarks_in_cam()
    usable = in_cam[:, 2] > 1e-3
    if seen.sum() < MIN_KEYPOINTS or usable.sum() < MIN_LANDMARKS:
        return None
    at = detected[usable]
    true_depths = view.depths_at(at)
    return PinSample(
        view.place,
        in_cam[usable].astype(np.float32),
        view.camera.rays(at).astype(np.float32),
        sample_unit_features(features, at).astype(np.float32),
        view.landmark_depth_stds[usable],
        np.where(true_depths > 0, true_depths, np.nan).astype(np.float32),
        view.camera.rays(keypoints[seen]).astype(np.float32),
        sample_unit_features(features, keypoints[seen]).astype(np.float32),
        depths[seen].astype(np.float32),
    )


def split_by_place(samples: list[PinSample], validation_share: float) -> tuple[list[PinSample], list[PinSample]]:
    """Split into training and validation; all views of a place are on one side."""
    places = sorted({sample.place for sample in samples})
    held_out = set(places[:: max(2, round(1 / validation_share))])
    return [s for s in samples if s.place not in held_out], [s for s in samples if s.place in held_out]


def draw_batch(
    samples: list[PinSample], settings: PinTraining, rng: Generator, device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """Draw views of which some landmarks are dropped, holes torn, depths disturbed; mirror and rescale them.

    Views with fewer landmarks than others are filled up with some so far outside the image that none is ever near.
    """
    chosen = [samples[i] for i in rng.integers(len(samples), size=settings.views_per_step)]
    kept = [thin_landmarks(s, rng) for s in chosen]
    count = max(len(rows) for rows in kept)
    parts: dict[str, list[NDArray]] = {}
    for sample, rows in zip(chosen, kept, strict=True):
        keypoints = rng.integers(len(sample.rays), size=settings.keypoints_per_view)
        scale = np.float32(np.exp(rng.normal(0, 0.5)))
        mirror = np.array([rng.choice([-1, 1]), 1, 1], np.float32)
        in_cam, stds = disturb_landmarks(*sharpen_landmarks(sample, rows, rng), rng)
        columns = {
            "landmarks_in_cam": fill_rows(in_cam * mirror * scale, count, 1.0),
            "landmark_rays": fill_rows(sample.landmark_rays[rows] * mirror, count, FAR_OUTSIDE),
            "landmark_features": fill_rows(sample.landmark_features[rows], count, 0.0),
            "landmark_depth_stds": fill_rows(stds, count, UNKNOWN_DEPTH_STD),
            "rays": sample.rays[keypoints] * mirror,
            "ray_features": sample.features[keypoints],
            "depths": sample.depths[keypoints] * scale,
        }
        for name, value in columns.items():
            parts.setdefault(name, []).append(value.astype(np.float32))
    return {name: torch.from_numpy(np.stack(values)).to(device) for name, values in parts.items()}


def fill_rows(rows: NDArray, count: int, value: float) -> NDArray:
    """Return `count` rows: those given, then rows of `value`."""
    return np.concatenate([rows, np.full((count - len(rows), *rows.shape[1:]), value, rows.dtype)])


def thin_landmarks(sample: PinSample, rng: Generator) -> NDArray:
    """Return the rows left after thinning (log-uniform, 24 to 700) and up to three round holes."""
    rows = rng.permutation(len(sample.landmarks_in_cam))
    rows = rows[: int(np.exp(rng.uniform(np.log(24), np.log(700))))]
    for _ in range(rng.integers(0, 4)):
        centre = sample.landmark_rays[rng.integers(len(sample.landmark_rays)), :2]
        outside = np.linalg.norm(sample.landmark_rays[rows, :2] - centre, axis=1) > rng.uniform(0.02, 0.2)
        if outside.sum() >= 16:
            rows = rows[outside]
    return rows


def sharpen_landmarks(sample: PinSample, rows: NDArray, rng: Generator) -> tuple[NDArray, NDArray]:
    """Place landmarks, half of the time, as many more views would: nearer the truth, and said to be.

    The few views of a training place leave far more noise than those of a map. What is an outlier stays one.
    """
    in_cam, stds = sample.landmarks_in_cam[rows], sample.landmark_depth_stds[rows]
    if rng.random() < 0.5:
        return in_cam, stds
    error = np.log(in_cam[:, 2] / sample.true_landmark_depths[rows])
    right = np.abs(error) < OUTLIER  # not where the truth is unknown
    left = np.float32(np.exp(rng.uniform(np.log(0.03), 0)))
    in_cam = np.where(right[:, None], in_cam * np.exp((left - 1) * error)[:, None], in_cam)
    return in_cam, np.where(right, left * stds, stds)


def disturb_landmarks(landmarks_in_cam: NDArray, depth_stds: NDArray, rng: Generator) -> tuple[NDArray, NDArray]:
    """Add, half of the time, heavy-tailed noise and a few outliers along the rays, on top of triangulation's errors.

    What is stated of the depths' uncertainty knows nothing of that, or how strong the noise is, or, as where the other
    views tell, how far each landmark is off; and sometimes it knows of no noise at all.
    """
    if rng.random() < UNKNOWN_SHARE:
        depth_stds = np.full_like(depth_stds, UNKNOWN_DEPTH_STD)
    if rng.random() < 0.5:
        return landmarks_in_cam, depth_stds
    sigma = np.exp(rng.uniform(np.log(0.0003), np.log(0.06)))
    factor = 1 + sigma * rng.standard_t(3, len(landmarks_in_cam))
    outlier = rng.random(len(landmarks_in_cam)) < rng.uniform(0, 0.04)
    factor = np.where(outlier, np.exp(rng.normal(0, 0.5, len(factor))), factor).clip(0.2, 5)
    known = (0.0, sigma, np.abs(factor - 1))[rng.choice(3, p=(0.4, 0.3, 0.3))]
    told = np.hypot(depth_stds, known).clip(max=UNKNOWN_DEPTH_STD).astype(np.float32)
    return landmarks_in_cam * factor[:, None].astype(np.float32), told


def compute_loss(network: PointInferenceNetwork, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the loss and (B, N) relative errors.

    log1p keeps a keypoint across an edge from ruling; binary cross-entropy makes the confidence a probability.
    """
    truth = batch["depths"]
    depths, logits = network(**{name: given for name, given in batch.items() if name != "depths"})
    errors = (depths - truth).abs() / truth
    regression = torch.log1p((errors / RIGHT_DEPTH_ERROR).clamp(max=50)).mean()
    return regression + 0.2 * F.binary_cross_entropy_with_logits(
        logits, (errors.detach() < RIGHT_DEPTH_ERROR).float()
    ), errors.detach()


def train_pin(data: Path, output: Path, settings: PinTraining) -> PointInferenceNetwork:
    """Train on a folder of training views. Raises ValueError if they are too few."""
    training, validation = split_by_place(load_samples(data, settings.seed), settings.validation_share)
    if not training or not validation:
        raise ValueError(f"{data}: too few places to train on and to validate with")
    torch.manual_seed(settings.seed)
    network = PointInferenceNetwork(PinShape())
    return fit_network(network, training, validation, output, settings)


def fit_network(
    network: PointInferenceNetwork,
    training: list[PinSample],
    validation: list[PinSample],
    output: Path,
    settings: PinTraining,
    draw: DrawBatch = draw_batch,
) -> PointInferenceNetwork:
    """Train, log and checkpoint beside `output`; a run that was cut goes on with the same numbers.

    Beside the weights `output` lie a checkpoint and the curves of loss and validation as a picture.
    """
    device = resolve_device("auto")
    network.to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, settings.steps, pct_start=0.1)
    checkpoint = checkpoint_path(output)
    start, history = resume_training(checkpoint, network, optimizer, schedule)
    bar = tqdm(range(start, settings.steps), initial=start, total=settings.steps, desc="training", unit="step")
    losses: list[float] = []
    for step in bar:
        batch = draw(training, settings, np.random.default_rng([settings.seed, step]), device)
        loss, _ = compute_loss(network, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if (step + 1) % settings.log_every == 0 or step + 1 == settings.steps:
            median, right = validate_network(network, validation, settings, draw)
            history.append([step + 1, float(np.mean(losses)), median, right])
            bar.write(f"step {step + 1} loss {np.mean(losses):.4f} validation median {median:.4f} right {right:.3f}")
            losses = []
            state = {
                "network": network.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
            }
            with replace_on_success(checkpoint) as partial:  # a run cut while saving can still go on
                torch.save({**state, "step": step + 1, "history": history}, partial)
            save_pin(network, output, {"training": json.dumps(asdict(settings)), "history": json.dumps(history)})
            draw_history(output.with_suffix(".svg"), history)
    return network.cpu().eval()


def checkpoint_path(output: Path) -> Path:
    """Return where training that writes `output` keeps what it needs to go on."""
    return output.with_suffix(".checkpoint")


def resume_training(
    checkpoint: Path,
    network: PointInferenceNetwork,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> tuple[int, list[list[float]]]:
    """Bring everything to where `checkpoint` is, if there is one; return the next step, and the history so far."""
    if not checkpoint.is_file():
        return 0, []
    state = torch.load(checkpoint, map_location=next(network.parameters()).device, weights_only=True)
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    return state["step"], state["history"]


@torch.inference_mode()
def validate_network(
    network: PointInferenceNetwork, samples: list[PinSample], settings: PinTraining, draw: DrawBatch = draw_batch
) -> tuple[float, float]:
    """Return median relative error and share of right answers on held-out places, disturbed the same way each time."""
    network.eval()
    device = next(network.parameters()).device
    batches = [draw(samples, settings, np.random.default_rng([1, n]), device) for n in range(VALIDATION_BATCHES)]
    errors = torch.cat([compute_loss(network, batch)[1].flatten() for batch in batches])
    network.train()
    return float(errors.median()), float((errors < RIGHT_DEPTH_ERROR).float().mean())
