"""Match sparse XFeat keypoints with LighterGlue, the small LightGlue trained for them (same authors, Apache-2.0)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch.nn.attention import sdpa_kernel

from deviloc_ros.config import MatcherConfig
from deviloc_ros.imaging import sample_feature_map
from deviloc_ros.matching.attention import FOR_ANY_LENGTH, fuse_cross_attention
from deviloc_ros.matching.base import lie_on, no_matches, to_numpy
from deviloc_ros.matching.xfeat import CELL_PX, XFeat, find_weights_file
from deviloc_ros.threads import map_on_threads, run_on_one_thread
from deviloc_ros.types import Features, Matches

MIN_SCORE = 0.05  # heat that a keypoint must exceed; from the paper's code
NMS_PX = 5
LIGHTERGLUE = {
    "input_dim": 64,
    "descriptor_dim": 96,
    "n_layers": 6,
    "num_heads": 1,
    "depth_confidence": -1,
    "width_confidence": 0.95,  # prune keypoints that will not match; a third faster
}


class XFeatLighterGlue(XFeat):
    """Match sparse keypoints by attention, slower than mutual neighbours and far more precise."""

    name = "xfeat-lighterglue"
    with_logits = True

    def __init__(self, config: MatcherConfig) -> None:
        super().__init__(config)
        self.glue = load_lighterglue(config.min_confidence).to(self.device)

    @run_on_one_thread
    @torch.inference_mode()
    def extract(self, image: NDArray, *, keep_dense: bool = False, used: NDArray | None = None) -> Features:
        (features, reliability, logits), mapping = self._run_backbone(image, 1.0)
        heat = to_heatmap(logits)
        peaks, values = find_peaks(heat)
        shown = lie_on(used, mapping.to_original(peaks.float()))
        peaks, values = peaks[shown], values[shown]
        corners = self.refine_peaks(heat, peaks)
        size = (heat.shape[1], heat.shape[0])
        scores = values * sample_feature_map(reliability, corners, size)[:, 0]
        scores, rows = scores.topk(min(self.config.max_keypoints, len(scores)))
        corners = corners[rows]
        descriptors = F.normalize(sample_bicubic(F.normalize(features, dim=0), corners, size), dim=1)
        keypoints = mapping.to_original(corners)
        scales = mapping.scales(corners)
        original = (image.shape[1], image.shape[0])
        return Features(keypoints, descriptors, scores, scales, original, features if keep_dense else None)

    @staticmethod
    def refine_peaks(heat: torch.Tensor, peaks: torch.Tensor) -> torch.Tensor:
        """Return the (N, 2) px centroids of the heat (H, W) around each of (N, 2) peaks.

        The released code uses the peaks themselves, with a rounding error in both images.
        """
        to_right = (torch.arange(NMS_PX, device=heat.device) - NMS_PX // 2).to(heat.dtype).expand(NMS_PX, NMS_PX)
        kernels = torch.stack([to_right, to_right.T, torch.ones_like(to_right)])[:, None]
        columns, rows = peaks.T
        x, y, total = F.conv2d(heat[None, None], kernels, padding=NMS_PX // 2)[0, :, rows, columns]
        return peaks + torch.stack([x, y], 1) / total[:, None]

    @torch.inference_mode()
    def match_on_device(
        self, query: Features, references: list[Features], useful: Sequence[NDArray] | None
    ) -> list[Matches]:
        return match_pairs(self.glue, query, references)


def match_pairs(glue: torch.nn.Module, query: Features, references: list[Features]) -> list[Matches]:
    """Match a query with each reference by a LightGlue network.

    Pairs are not batched, since after pruning each has other keypoints, and each stops at its own layer. On a CPU
    several pairs run in parallel.
    """
    if len(references) < 2 or query.keypoints.device.type != "cpu":
        with sdpa_kernel(FOR_ANY_LENGTH):
            return [match_pair(glue, query, reference) for reference in references]
    one_by_one = run_on_one_thread(map_on_threads)
    return one_by_one(lambda reference: match_pair(glue, query, reference), references)


@torch.inference_mode()
def match_pair(glue: torch.nn.Module, query: Features, reference: Features) -> Matches:
    """Match the keypoints of two images by a LightGlue network."""
    if not len(query) or not len(reference):
        return no_matches()
    result = glue({"image0": to_glue_input(query), "image1": to_glue_input(reference)})
    rows, scores = result["matches"][0], result["scores"][0]
    return Matches(to_numpy(query.keypoints[rows[:, 0]]), to_numpy(rows[:, 1]), to_numpy(scores))


def load_lighterglue(min_confidence: float) -> torch.nn.Module:
    """Load the matcher with its weights; released keys are renamed to kornia's module names."""
    from kornia.feature.lightglue import LightGlue

    # None: use the given sizes and download nothing.
    network = LightGlue(None, **{**LIGHTERGLUE, "filter_threshold": min_confidence})  # type: ignore[arg-type]
    released = torch.load(find_weights_file("xfeat-lighterglue.pt"), map_location="cpu", weights_only=True)
    weights = {to_kornia_key(key): value for key, value in released.items() if not key.startswith("extractor.")}
    weights["confidence_thresholds"] = network.state_dict()["confidence_thresholds"]  # a constant, not released
    network.load_state_dict(weights)
    return fuse_cross_attention(network).eval().requires_grad_(False)


def to_kornia_key(key: str) -> str:
    """Rename `matcher.self_attn.3.…` to `transformers.3.self_attn.…`."""
    parts = key.removeprefix("matcher.").split(".")
    if parts[0] in ("self_attn", "cross_attn"):
        parts[:2] = ["transformers", parts[1], parts[0]]
    return ".".join(parts)


def to_glue_input(features: Features) -> dict[str, torch.Tensor]:
    """Return the network's input for an image, as a batch of one; kornia refuses pixels below 0, as in tiny images."""
    return {
        "keypoints": features.keypoints.clamp(min=0)[None],
        "descriptors": features.descriptors[None].float(),
        "image_size": features.keypoints.new_tensor(features.size)[None],
    }


def to_heatmap(logits: torch.Tensor) -> torch.Tensor:
    """Convert (65, h, w) logits, the last channel meaning "no keypoint", to (8 h, 8 w) keypoint heat."""
    probability = F.softmax(logits, 0)[: CELL_PX * CELL_PX]
    return F.pixel_shuffle(probability[None], CELL_PX)[0, 0]


def find_peaks(heat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (N, 2) pixels of the local maxima of a (H, W) map above the threshold, and (N,) their values."""
    local_max = F.max_pool2d(heat[None], NMS_PX, stride=1, padding=NMS_PX // 2)[0]
    rows, columns = torch.nonzero((heat == local_max) & (heat > MIN_SCORE), as_tuple=True)
    return torch.stack([columns, rows], 1), heat[rows, columns]


def sample_bicubic(feature_map: torch.Tensor, keypoints: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Sample (N, C) descriptors as XFeat was trained: its grid divides by size - 1 although it samples by size."""
    extent = keypoints.new_tensor(size) - 1
    grid = (2 * keypoints / extent - 1)[None, None]
    return F.grid_sample(feature_map[None], grid, mode="bicubic", align_corners=False)[0, :, 0].T
