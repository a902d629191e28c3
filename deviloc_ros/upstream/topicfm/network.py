"""Define TopicFM-fast (Giang et al., AAAI 2023; journal version 2024), its keys those of the released file."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deviloc_ros.upstream.topicfm.backbone import COARSE_SIZE, ConvBlock, TopicBackbone
from deviloc_ros.upstream.topicfm.coarse import CellMatches, TopicTransformer, is_inside_border, match_cells
from deviloc_ros.upstream.topicfm.fine import STRIDE, FineNetwork, cut_windows

CELL_PX = 8
FINE_PX = CELL_PX // STRIDE
CELL_CONTRAST, NOISE_PX = 1.6, 128  # of random weights
PAIRS_AT_ONCE = 4
SCORES_AT_ONCE = 1 << 28  # similarities held at once, 1 GiB in float32


@dataclass(frozen=True, slots=True, eq=False)
class ImageFeatures:
    """Hold features of one image, whatever it is matched with. coarse: (256, h, w). fine: (128, 4 h, 4 w)."""

    coarse: Tensor
    fine: Tensor

    @property
    def cells(self) -> Tensor:
        """Return (h * w, 256), row by row."""
        return self.coarse.flatten(1).mT

    def to(self, dtype: torch.dtype) -> ImageFeatures:
        return ImageFeatures(self.coarse.to(dtype), self.fine.to(dtype))


@dataclass(frozen=True, slots=True, eq=False)
class PairMatches:
    """Hold matches of the query with one reference, most confident first.

    query, reference: (M, 2) px of the network's images. query_cells, reference_cells: (M,). confidence: (M,).
    """

    query: Tensor
    reference: Tensor
    query_cells: Tensor
    reference_cells: Tensor
    confidence: Tensor


class TopicFM(nn.Module):
    """Extract features once per image, and match by features alone."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = TopicBackbone()
        self.coarse_net = TopicTransformer()
        self.fine_net = FineNetwork()

    def prepare_for_inference(self, device: torch.device) -> TopicFM:
        """Freeze the network, fold normalizations into convolutions, and return it."""
        self.to(device).eval().requires_grad_(False)
        for module in self.modules():
            if isinstance(module, ConvBlock):
                module.fuse_norm()
        if device.type == "cuda":  # on a CPU it would save a seventh of the time and double the rounding error
            self.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self

    def draw_weights(self) -> None:
        """Draw random weights that behave like trained ones: no activation dies, and like cells match.

        Scales as for training from scratch (He et al. 2015; Glorot and Bengio 2010); normalization over noise.
        """
        for name, parameter in self.named_parameters():
            if parameter.ndim == 4:
                nn.init.kaiming_normal_(parameter, mode="fan_out", nonlinearity="relu")
            elif parameter.ndim == 2 and not name.startswith("backbone"):
                nn.init.xavier_uniform_(parameter)
        nn.init.constant_(self.backbone.norm_outlayer3.weight, CELL_CONTRAST)
        norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 1.0
        with torch.no_grad():
            noise = torch.rand(1, 1, NOISE_PX // CELL_PX, NOISE_PX // CELL_PX)
            self.train().backbone(F.interpolate(noise, size=(NOISE_PX, NOISE_PX), mode="bicubic"))
        for norm in norms:
            norm.momentum = 0.1

    def extract(self, image: Tensor) -> ImageFeatures:
        """Extract features of (1, 1, H, W) in [0, 1], sides multiples of 16."""
        coarse, fine = self.backbone(image)
        return ImageFeatures(coarse[0].float(), fine[0].float())

    def match(self, query: ImageFeatures, references: list[ImageFeatures], threshold: float) -> list[PairMatches]:
        """Return one `PairMatches` per reference, in order. References of one shape are matched in batches."""
        found: dict[int, PairMatches] = {}
        dtype = self.coarse_net.seed_tokens.dtype
        query = query.to(dtype)
        for numbers in split_into_batches(references, len(query.cells)):
            chosen = [references[number].to(dtype) for number in numbers]
            matches = self.match_coarse(query, chosen, threshold)
            found |= zip(numbers, self.refine_matches(query, chosen, matches), strict=True)
        return [found[number] for number in range(len(references))]

    def match_coarse(self, query: ImageFeatures, references: list[ImageFeatures], threshold: float) -> CellMatches:
        """Match the cells of the query with those of references of one shape."""
        cells = torch.stack([reference.cells for reference in references])
        query_cells, cells = self.coarse_net(query.cells[None], cells)
        return match_cells(
            query_cells, cells, is_inside_border(query.coarse), is_inside_border(references[0].coarse), threshold
        )

    def refine_matches(
        self, query: ImageFeatures, references: list[ImageFeatures], matches: CellMatches
    ) -> list[PairMatches]:
        """Move matched cells to sub-pixel positions, and return the matches of each reference."""
        rows = [torch.nonzero(matches.pairs == n)[:, 0] for n in range(len(references))]
        order = torch.cat(rows)
        query_cells, reference_cells = matches.query_cells[order], matches.reference_cells[order]
        counts = [len(r) for r in rows]
        around_reference = [
            cut_windows(reference.fine, cells)
            for reference, cells in zip(references, reference_cells.split(counts), strict=True)
        ]
        query_offsets, reference_offsets, confidence = self.fine_net(
            cut_windows(query.fine, query_cells), torch.cat(around_reference)
        )
        columns = (
            cell_pixels(query_cells, query.coarse.shape[2]) + query_offsets * FINE_PX,
            cell_pixels(reference_cells, references[0].coarse.shape[2]) + reference_offsets * FINE_PX,
            query_cells,
            reference_cells,
            matches.confidence[order] * confidence,
        )
        pairs = []
        for part in zip(*(column.split(counts) for column in columns), strict=True):
            best = part[-1].argsort(descending=True, stable=True)
            pairs.append(PairMatches(*(column[best] for column in part)))
        return pairs


def cell_pixels(cells: Tensor, width: int) -> Tensor:
    """Return (M, 2) the network's pixel that a cell's features are centred on, its first."""
    return torch.stack([cells % width, torch.div(cells, width, rounding_mode="floor")], 1) * CELL_PX


def split_into_batches(references: list[ImageFeatures], query_cells: int) -> list[list[int]]:
    """Return numbers of references of one shape, as many as fit into memory at once."""
    by_shape: dict[torch.Size, list[int]] = {}
    for number, reference in enumerate(references):
        by_shape.setdefault(reference.coarse.shape, []).append(number)
    parts = []
    for (_, height, width), numbers in by_shape.items():
        size = max(1, min(PAIRS_AT_ONCE, SCORES_AT_ONCE // (query_cells * height * width)))
        parts += [numbers[start : start + size] for start in range(0, len(numbers), size)]
    return parts


__all__ = ["CELL_PX", "COARSE_SIZE", "FINE_PX", "ImageFeatures", "PairMatches", "TopicFM", "cell_pixels"]
