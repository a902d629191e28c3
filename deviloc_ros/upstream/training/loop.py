"""Train the paper's network: TopicFM-fast is frozen, the PIN learns from what the aggregation makes of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from deviloc_ros.config import MatcherConfig
from deviloc_ros.io.atomic import replace_on_success
from deviloc_ros.types import Landmarks, MovedMatches
from deviloc_ros.upstream.aggregation import merge_cells
from deviloc_ros.upstream.checkpoints import load_network, save_weights
from deviloc_ros.upstream.lifting import find_observed_points
from deviloc_ros.upstream.pin import UpstreamPin
from deviloc_ros.upstream.releases import MATCHER, PIN
from deviloc_ros.upstream.topicfm import TopicFMMatcher
from deviloc_ros.upstream.topicfm.matcher import sample_fine
from deviloc_ros.upstream.topicfm.network import TopicFM
from deviloc_ros.upstream.training.losses import QueryTruth, deviloc_loss
from deviloc_ros.upstream.training.megadepth import MegaDepth, MegaDepthView, SampleSettings
from deviloc_ros.upstream.training.validation import describe_areas, make_validation


@dataclass(frozen=True, slots=True)
class DevilocTraining:
    """Hold the settings of one run; the paper's. A step sees `batch` queries, one on each of its four GPUs."""

    epochs: int = 50
    batch: int = 4
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    milestones: tuple[int, ...] = (5, 10, 15, 20, 25, 30)
    decay: float = 0.5
    clip: float = 1.0
    seed: int = 1995
    side_px: int = 864
    matches: int = 2048
    threshold: float = 0.25
    cell_px: float = 4.0
    fewest_points: int = 50
    save_every: int = 100
    samples: SampleSettings = field(default_factory=SampleSettings)


@dataclass(slots=True)
class Progress:
    """Say where a run is; the next step is `step` of `epoch`. validation: AUC of pose errors after each epoch."""

    epoch: int = 0
    step: int = 0
    losses: list[float] = field(default_factory=list)
    validation: list[list[float]] = field(default_factory=list)


def train_deviloc(
    data: Path,
    output: Path,
    settings: DevilocTraining,
    weights: str,
    scenes: tuple[str, ...] = (),
    steps: int = 0,
    validation_scenes: tuple[str, ...] = (),
) -> Progress:
    """Train, and keep the state beside `output`: a run that was cut goes on as if it had not been.

    Args:
        data: MegaDepth, laid out as docs/published-method.md says.
        output: weights of both networks, for `--weights`.
        weights: of TopicFM-fast, or `random`.
        steps: stop after so many steps in all; 0 is all epochs.
        validation_scenes: localize in these after each epoch.

    Raises:
        ValueError: a scene is trained on and validated with; or there is nothing to train on.
    """
    scene_data = MegaDepth(data, scenes)
    validation = make_validation(data, validation_scenes, scene_data.scenes, settings.samples)
    trainer = Trainer(settings, weights)
    checkpoint = output.with_suffix(".checkpoint")
    if checkpoint.is_file():
        trainer.restore_state(checkpoint)
    progress = trainer.progress
    bar = tqdm(desc="training", unit="step", initial=len(progress.losses))
    while progress.epoch < settings.epochs and not (steps and len(progress.losses) >= steps):
        samples = scene_data.draw_epoch(settings.samples, np.random.default_rng([settings.seed, progress.epoch]))
        if not samples:
            raise ValueError(
                f"{data}: no query has a reference with more than {settings.samples.min_landmarks} landmarks"
            )
        starts = range(progress.step * settings.batch, len(samples), settings.batch)
        for start in starts:
            rng = np.random.default_rng([settings.seed, progress.epoch, progress.step])
            batch = [
                scene_data.draw_sample(*name, settings.samples, rng) for name in samples[start : start + settings.batch]
            ]
            progress.losses.append(trainer.take_step(batch))
            progress.step += 1
            bar.update()
            bar.set_postfix(epoch=progress.epoch, loss=f"{progress.losses[-1]:.3f}")
            if len(progress.losses) % settings.save_every == 0:
                trainer.save_state(checkpoint, output)
            if steps and len(progress.losses) >= steps:
                break
        else:
            progress.epoch, progress.step = progress.epoch + 1, 0
            trainer.schedule.step()
            if validation:
                progress.validation.append(validation.pose_auc(trainer))
                bar.write(f"epoch {progress.epoch}: {describe_areas(progress.validation[-1])}")
    bar.close()
    trainer.save_state(checkpoint, output)
    return progress


class Trainer:
    """Hold the networks, and take steps of gradient descent."""

    def __init__(self, settings: DevilocTraining, weights: str) -> None:
        self.settings = settings
        self.matcher = TopicFMMatcher(
            MatcherConfig(
                name="topicfm",
                weights=weights,
                max_image_side_px=settings.side_px,
                max_keypoints=settings.matches,
                min_confidence=settings.threshold,
            )
        )
        # The matcher's own tensors are folded for speed; the file keeps the released ones.
        self.frozen = load_network(TopicFM, weights, MATCHER, TopicFM.draw_weights)[0].state_dict()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.pin = UpstreamPin().to(self.matcher.device)
        self.optimizer = torch.optim.AdamW(
            self.pin.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.MultiStepLR(
            self.optimizer, list(settings.milestones), gamma=settings.decay
        )
        self.progress = Progress()

    def take_step(self, batch: list[tuple[MegaDepthView, list[MegaDepthView]]]) -> float:
        """Take one step, and return the mean loss of the batch before it."""
        self.optimizer.zero_grad()
        total = 0.0
        for query, references in batch:
            loss, _ = self.compute_loss(query, references)
            (loss / len(batch)).backward()
            total += float(loss.detach()) / len(batch)
        torch.nn.utils.clip_grad_norm_(self.pin.parameters(), self.settings.clip)
        self.optimizer.step()
        return total

    def compute_loss(self, query: MegaDepthView, references: list[MegaDepthView]) -> tuple[Tensor, Tensor]:
        """Return the loss of one query, and the relative errors of its inferred points."""
        keypoints, points, confidence = self.correspondences(query, references)
        merged = merge_cells(keypoints, points, confidence, self.settings.cell_px)
        truth = QueryTruth(*(self.tensor(a) for a in (query.intrinsics, query.cam_from_world, query.depth)))
        return deviloc_loss(merged[0], merged[1], merged[2], truth, self.settings.fewest_points)

    def correspondences(self, query: MegaDepthView, references: list[MegaDepthView]) -> tuple[Tensor, Tensor, Tensor]:
        """Return keypoints of the query (N, 2), points (N, 3) in world and confidence (N,) from all references."""
        features = [self.matcher.extract(view.gray) for view in references]
        matches = self.matcher.match(self.matcher.extract(query.gray), features)
        parts = []
        for match, feature, view in zip(matches, features, references, strict=True):
            if match.moved is not None and len(match):
                at_landmarks = sample_fine(feature, self.tensor(view.landmark_keypoints)).clone()
                parts.append(
                    (
                        self.tensor(match.moved.query_keypoints),
                        *self.lift_with_gradients(match.moved, view, at_landmarks),
                    )
                )
        if not parts:
            return self.tensor(np.zeros((0, 2))), self.tensor(np.zeros((0, 3))), self.tensor(np.zeros(0))
        keypoints, points, confidence = (torch.cat(column) for column in zip(*parts, strict=True))
        return keypoints, points, confidence

    def lift_with_gradients(
        self, moved: MovedMatches, view: MegaDepthView, at_landmarks: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Lift as `UpstreamPointInference.lift_moved` does, with gradients."""
        landmarks = Landmarks.without_stds(
            np.arange(len(view.landmark_points)), view.landmark_keypoints, view.landmark_points
        )
        known, near = find_observed_points(moved.reference_keypoints, landmarks, self.settings.cell_px)
        points, confidence = self.tensor(known), self.tensor(near.astype(float))
        asked = torch.from_numpy(np.flatnonzero(~near)).to(points.device)
        rotation, translation = self.tensor(view.cam_from_world[:3, :3]), self.tensor(view.cam_from_world[:3, 3])
        in_cam = self.tensor(view.landmark_points) @ rotation.T + translation
        pixels = np.column_stack([moved.reference_keypoints, np.ones(len(near))])[~near]
        rays = self.tensor(pixels @ np.linalg.inv(view.intrinsics).T)
        tower = self.pin.describe_landmarks(in_cam[None], at_landmarks[None])
        depths, sure = self.pin.lift_keypoints(tower, rays[None], self.tensor(moved.reference_features[~near])[None])
        lifted = (rays * depths[0, :, None] - translation) @ rotation
        return points.index_copy(0, asked, lifted), confidence.index_copy(0, asked, sure[0])

    def tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(self.matcher.device)

    @torch.no_grad()
    def evaluate(self, samples: list[tuple[MegaDepthView, list[MegaDepthView]]]) -> tuple[float, float]:
        """Return the mean loss, and the median error of inferred points relative to their depth."""
        losses, errors = zip(*(self.compute_loss(query, references) for query, references in samples), strict=True)
        return float(torch.stack(losses).mean()), float(torch.cat(errors).median())

    def save_state(self, checkpoint: Path, output: Path) -> None:
        """Write the state to go on from, and weights to use; each file appears complete or not at all."""
        state = {
            "network": self.pin.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "progress": asdict(self.progress),
        }
        with replace_on_success(checkpoint) as partial:
            torch.save(state, partial)
        tensors = {MATCHER + key: tensor for key, tensor in self.frozen.items()}
        tensors |= {PIN + key: tensor for key, tensor in self.pin.state_dict().items()}
        save_weights(tensors, output, {"training": json.dumps(asdict(self.settings))})

    def restore_state(self, checkpoint: Path) -> None:
        state = torch.load(checkpoint, map_location=self.matcher.device, weights_only=True)
        self.pin.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.progress = Progress(**state["progress"])
