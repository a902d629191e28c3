"""Infer the depth of a keypoint with a confidence from the landmarks around it: the Point Inference Network (PIN).

The paper's network (DeViLoc, section 3.2) attends to all landmarks of a view in absolute coordinates and has to learn
interpolation before it can improve on it. This one has the paper's inputs and outputs, but each keypoint sees only its
nearest landmarks, relative to itself. It fits a plane through them in inverse depth, with learned weights. Untrained it
is inverse-distance interpolation; trained it tells from the image which landmarks lie on the keypoint's surface.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from deviloc_ros.config import LiftConfig
from deviloc_ros.io.atomic import replace_on_success
from deviloc_ros.lifting.base import LiftInput, PointInference, nearest_landmarks, to_batch
from deviloc_ros.lifting.interpolation import Interpolation
from deviloc_ros.threads import map_on_threads, run_on_one_thread

WEIGHTS = Path(__file__).parents[1] / "weights" / "pin.safetensors"
KEYPOINTS_AT_ONCE = 256  # per thread, so that the output of a layer is still in the cache when the next one reads it
PROJECTED_SIZE = 24  # of features in a token
GEOMETRY_SIZE = 7  # numbers of a token from `describe_geometry`

# The weights were trained with the numbers below: changing one requires new weights.
DISTANCE_POWER = 2  # attention starts as the inverse square of the distance
LEAST_DISTANCE, LEAST_NEAREST = 0.05, 0.01  # of the mean distance to the neighbours: logarithms have no zero
MAX_CORRECTION = 0.2  # added to an inverse depth by a correction of 1, relative to the middle one
LEAST_INVERSE_DEPTH = 0.05  # relative to the middle one: no point is farther than twenty times the middle depth
LEAST_VARIANCE = 1e-8
COARSE_GAIN, COARSE_LIMIT, FINE_GAIN = 10, 5, 100  # for inverse depths: over the whole range, and near the middle one
LEAST_OFFSET, LEAST_STD = 1e-3, 1e-4
STD_SCALE, STD_SHIFT = 3, 2  # bring log(std), which lies between -9 and 0, to about -1 to 2
SIMILARITY_GAIN = 4  # brings cosines to the size of the other inputs


@dataclass(frozen=True, slots=True)
class PinShape:
    """Hold the sizes of the network; they are stored with its weights."""

    feature_size: int = 64
    width: int = 64
    layers: int = 2
    heads: int = 4
    neighbours: int = 16


@dataclass(frozen=True, slots=True, eq=False)
class Neighbourhoods:
    """Hold each keypoint's nearest landmarks, relative to it.

    offsets: (B, N, K, 2) on the plane z = 1, in units of `size`. size: (B, N, 1) mean distance of the neighbours.
    inverse_depths: (B, N, K), relative to `middle` (B, N, 1), their median [1/m]: d / middle - 1. stds: (B, N, K) of
    the depths, relative to them. features: (B, N, K, C), keypoint_features: (B, N, C), both of unit length.
    """

    offsets: Tensor
    size: Tensor
    inverse_depths: Tensor
    middle: Tensor
    stds: Tensor
    features: Tensor
    keypoint_features: Tensor


class PointInferenceNetwork(nn.Module):
    """Attend among a keypoint's nearest landmarks, the tokens, to find the plane on which the keypoint lies."""

    def __init__(self, shape: PinShape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.width
        self.project = nn.Linear(shape.feature_size, PROJECTED_SIZE)
        token_size = GEOMETRY_SIZE + 2 * PROJECTED_SIZE
        self.embed = nn.Sequential(nn.Linear(token_size, width), nn.GELU(), nn.Linear(width, width))
        self.summary = nn.Parameter(torch.zeros(width))
        self.embed_size = nn.Linear(1, width)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, shape.heads, 2 * width, 0.0, F.gelu, batch_first=True, norm_first=True)
            for _ in range(shape.layers)
        )
        self.weight = nn.Linear(width, 1)
        self.correct = nn.Linear(width, 1)
        self.slope_damping = nn.Linear(width, 1)
        self.confidence = nn.Sequential(nn.Linear(width + 3, width), nn.GELU(), nn.Linear(width, 1))
        for layer in (self.weight, self.correct):  # start as inverse-distance interpolation
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.slope_damping.weight)
        nn.init.constant_(self.slope_damping.bias, 2.0)

    def forward(
        self,
        landmarks_in_cam: Tensor,
        landmark_rays: Tensor,
        landmark_features: Tensor,
        landmark_depth_stds: Tensor,
        rays: Tensor,
        ray_features: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return the depths of keypoints for a batch of views with equally many landmarks.

        Args:
            landmarks_in_cam: (B, M, 3) landmarks [m], z > 0.
            landmark_rays: (B, M, 3) where they are observed, z = 1.
            landmark_features: (B, M, C) unit features at these.
            landmark_depth_stds: (B, M) standard deviations of their depths, relative to them.
            rays: (B, N, 3) rays of the keypoints, z = 1.
            ray_features: (B, N, C) unit features at these.

        Returns:
            (B, N) depths [m] and (B, N) logits of "the depth is within 2 %".
        """
        landmarks = landmarks_in_cam, landmark_rays, landmark_features, landmark_depth_stds
        around = self.look_around(*landmarks, rays, ray_features)
        tokens, summary = self.attend(around)
        distances = around.offsets.norm(dim=-1)
        nearness = DISTANCE_POWER * torch.log(distances + LEAST_DISTANCE)
        attention = torch.softmax(self.weight(tokens)[..., 0] - nearness, -1)  # (B, N, K)
        values = around.inverse_depths + MAX_CORRECTION * self.correct(tokens)[..., 0]
        damping = F.softplus(self.slope_damping(summary)[..., 0])
        relative, residuals = plane_at_origin(around.offsets, values, attention, damping)
        spread = ((attention * residuals**2).sum(-1) + LEAST_VARIANCE).sqrt()
        nearest = distances.amin(-1)
        uncertain = ((attention * around.stds**2).sum(-1) + LEAST_VARIANCE).sqrt()
        hints = torch.stack([spread.log(), torch.log(nearest + LEAST_NEAREST), uncertain.log()], -1)
        logits = self.confidence(torch.cat([summary, hints], -1))[..., 0]
        return 1 / (around.middle[..., 0] * (1 + relative).clamp(min=LEAST_INVERSE_DEPTH)), logits

    def look_around(self, *inputs: Tensor) -> Neighbourhoods:
        """Return the neighbourhoods for the arguments of `forward`."""
        return find_neighbourhoods(self.shape.neighbours, *inputs)

    def attend(self, around: Neighbourhoods) -> tuple[Tensor, Tensor]:
        """Return the (B, N, K, width) tokens of the neighbours and the (B, N, width) summaries of neighbourhoods."""
        mine = self.project(around.keypoint_features)[:, :, None].expand(-1, -1, around.offsets.shape[2], -1)
        tokens = self.embed(torch.cat([describe_geometry(around), self.project(around.features), mine], -1))
        summary = self.summary + self.embed_size(torch.log(around.size))  # (B, N, width)
        sequence = torch.cat([summary[:, :, None], tokens], 2).flatten(0, 1)
        for layer in self.layers:
            sequence = layer(sequence)
        sequence = sequence.unflatten(0, summary.shape[:2])
        return sequence[:, :, 1:], sequence[:, :, 0]


def describe_geometry(around: Neighbourhoods) -> Tensor:
    """Return (B, N, K, GEOMETRY_SIZE) numbers of about unit size: each landmark's place, and similarity of features."""
    inverse_depths = around.inverse_depths[..., None]
    distances = around.offsets.norm(dim=-1, keepdim=True)
    similarity = (around.features * around.keypoint_features[:, :, None]).sum(-1, keepdim=True)
    columns = [
        around.offsets,
        (inverse_depths * COARSE_GAIN).clamp(-COARSE_LIMIT, COARSE_LIMIT),
        (inverse_depths * FINE_GAIN).tanh(),
        torch.log(distances + LEAST_OFFSET),
        torch.log(around.stds + LEAST_STD)[..., None] / STD_SCALE + STD_SHIFT,
        similarity * SIMILARITY_GAIN,
    ]
    return torch.cat(columns, -1)


def find_neighbourhoods(
    count: int,
    landmarks_in_cam: Tensor,
    landmark_rays: Tensor,
    landmark_features: Tensor,
    landmark_depth_stds: Tensor,
    rays: Tensor,
    ray_features: Tensor,
) -> Neighbourhoods:
    """Find the `count` nearest landmarks of each keypoint in the image; all if there are fewer."""
    at, landmarks_at = rays[..., :2], landmark_rays[..., :2]
    distances, nearest = torch.cdist(at, landmarks_at).topk(min(count, landmarks_at.shape[1]), largest=False)
    batch = torch.arange(len(rays), device=rays.device)[:, None, None]
    size = distances.mean(-1, keepdim=True) + 1e-6
    inverse = 1 / landmarks_in_cam[batch, nearest][..., 2]
    middle = inverse.median(-1, keepdim=True)[0]
    return Neighbourhoods(
        (landmarks_at[batch, nearest] - at[:, :, None]) / size[..., None],
        size,
        inverse / middle - 1,
        middle,
        landmark_depth_stds[batch, nearest],
        landmark_features[batch, nearest],
        ray_features,
    )


def plane_at_origin(offsets: Tensor, values: Tensor, weights: Tensor, damping: Tensor) -> tuple[Tensor, Tensor]:
    """Fit a weighted least-squares plane to (offsets, values); return its value at offset 0 and residuals (..., K).

    A plane in the world is linear in inverse depth over the image, so this extrapolates walls and floors exactly.
    `damping` shrinks the slope; infinite damping gives the weighted mean.
    """
    centre = (weights[..., None] * offsets).sum(-2)  # (..., 2)
    mean = (weights * values).sum(-1)
    from_centre, from_mean = offsets - centre[..., None, :], values - mean[..., None]
    weighted = weights[..., None] * from_centre
    xx = (weighted[..., 0] * from_centre[..., 0]).sum(-1) + damping
    yy = (weighted[..., 1] * from_centre[..., 1]).sum(-1) + damping
    xy = (weighted[..., 0] * from_centre[..., 1]).sum(-1)
    x, y = (weighted * from_mean[..., None]).sum(-2).unbind(-1)
    determinant = (xx * yy - xy * xy).clamp(min=1e-9)
    slope = torch.stack([(yy * x - xy * y) / determinant, (xx * y - xy * x) / determinant], -1)
    residuals = from_mean - (from_centre * slope[..., None, :]).sum(-1)
    return mean - (slope * centre).sum(-1), residuals


class LearnedPointInference(PointInference):
    """Lift with the network. It runs on the CPU when a map is built.

    Close to a landmark depths are interpolated: a landmark's own depth, which agrees with the poses of all views that
    observe it, is better for localization than a plane through sixteen.
    """

    def __init__(self, network: PointInferenceNetwork, config: LiftConfig) -> None:
        self.network = network.eval()
        self.interpolation, self.interpolate_within_px = Interpolation(config), config.interpolate_within_px

    def infer(self, view: LiftInput) -> tuple[NDArray, NDArray]:
        """Infer depths and confidences; features of another matcher are ignored."""
        depths, confidence = self.run_network(view)
        near = nearest_landmarks(view, 1)[0][:, 0] < self.interpolate_within_px
        return np.where(near, self.interpolation.infer(view)[0], depths), confidence

    @run_on_one_thread
    @torch.inference_mode()
    def run_network(self, view: LiftInput) -> tuple[NDArray, NDArray]:
        """Return the network's depths and confidences."""
        view = drop_foreign_features(view, self.network.shape.feature_size)
        given = view.landmarks_in_cam, view.landmark_rays, view.landmark_features, view.landmark_depth_stds
        landmarks = [to_batch(array) for array in given]

        @torch.inference_mode()  # each thread must enter it
        def infer_some(rows: slice) -> tuple[NDArray, NDArray]:
            depths, logits = self.network(*landmarks, to_batch(view.rays[rows]), to_batch(view.ray_features[rows]))
            return depths[0].numpy(), torch.sigmoid(logits[0]).numpy()

        starts = range(0, len(view.rays), KEYPOINTS_AT_ONCE)
        parts = map_on_threads(infer_some, [slice(start, start + KEYPOINTS_AT_ONCE) for start in starts])
        depths, confidence = (np.concatenate(column).astype(float) for column in zip(*parts, strict=True))
        return depths, confidence


def drop_foreign_features(view: LiftInput, size: int) -> LiftInput:
    """Return the view with its features set to zero if they are another matcher's, of another size.

    From geometry alone the network is worse than with features, and far better than interpolation
    (docs/research/lifting.md).
    """
    if view.ray_features.shape[1] == size:
        return view
    of_landmarks, of_rays = (np.zeros((len(rays), size)) for rays in (view.landmark_rays, view.rays))
    return replace(view, landmark_features=of_landmarks, ray_features=of_rays)


def load_pin(path: Path = WEIGHTS) -> PointInferenceNetwork:
    """Load the trained network. Raises FileNotFoundError or ValueError naming the file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no weights of the Point Inference Network")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - safe_open is no mapping
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file:  {error}") from error
    if "shape" not in metadata:
        raise ValueError(f"{path}: not weights of the Point Inference Network, field 'shape' is missing")
    network = PointInferenceNetwork(PinShape(**json.loads(metadata["shape"])))
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path}: {error}") from error
    return network


def save_pin(network: PointInferenceNetwork, path: Path, notes: dict[str, str]) -> None:
    """Save weights with the network's shape and notes on their training, atomically."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with replace_on_success(path) as partial:
        partial.write_bytes(save(tensors, {**notes, "shape": json.dumps(asdict(network.shape))}))
