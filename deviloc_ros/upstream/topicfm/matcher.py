"""Put TopicFM-fast behind the contract of all matchers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import cv2
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from deviloc_ros.config import MatcherConfig
from deviloc_ros.imaging import PixelMapping
from deviloc_ros.matching.base import Matcher, lie_on, no_matches, resolve_device, to_numpy
from deviloc_ros.types import Features, Matches, MovedMatches
from deviloc_ros.upstream.checkpoints import load_network
from deviloc_ros.upstream.precision import compute_in
from deviloc_ros.upstream.releases import MATCHER
from deviloc_ros.upstream.topicfm.network import (
    CELL_PX,
    COARSE_SIZE,
    FINE_PX,
    ImageFeatures,
    PairMatches,
    TopicFM,
    cell_pixels,
)

SIZE_MULTIPLE = 16


class TopicFMMatcher(Matcher):
    """Match cells of 8 x 8 px by what both images show, then move both keypoints to a sub-pixel position.

    A view's keypoints are its cells. What the map stores is all that does not depend on the other image.
    `min_confidence` is the threshold of the coarse matches, `max_keypoints` the matches kept of a pair.
    """

    name = "topicfm"
    descriptor_size = COARSE_SIZE

    def __init__(self, config: MatcherConfig) -> None:
        self.config = config
        self.device = resolve_device(config.device)
        network, self.weights_id = load_network(TopicFM, config.weights, MATCHER, TopicFM.draw_weights)
        self.network = network.prepare_for_inference(self.device)

    @torch.inference_mode()
    def extract(self, image: NDArray, *, keep_dense: bool = False, used: NDArray | None = None) -> Features:
        original = (image.shape[1], image.shape[0])
        width, height = network_size(original, self.config.max_image_side_px)
        if not width or not height or image.min() == image.max():
            return no_features(original, self.device)
        # As the weights were trained: bilinear, without smoothing.
        resized = torch.from_numpy(cv2.resize(image, (width, height))).to(self.device)
        with compute_in(self.device, self.config.precision):
            found = self.network.extract(resized.float()[None, None] / 255)
        cells = torch.arange(height * width // CELL_PX**2, device=self.device)
        mapping = PixelMapping(original[0] / width, original[1] / height)
        pixels = cell_pixels(cells, width // CELL_PX).float()
        keypoints = mapping.to_original(pixels)
        return Features(
            keypoints,
            found.cells.contiguous(),
            lie_on(used, keypoints).float(),
            mapping.scales(pixels),
            original,
            fine=found.fine,
        )

    @torch.inference_mode()
    def match_on_device(
        self, query: Features, references: list[Features], useful: Sequence[NDArray] | None
    ) -> list[Matches]:
        usable = [n for n, reference in enumerate(references) if len(reference)] if len(query) else []
        images = [to_image_features(references[n]) for n in usable]
        with compute_in(self.device, self.config.precision):
            pairs = self.network.match(to_image_features(query), images, self.threshold) if usable else []
        matches = [no_matches() for _ in references]
        for n, pair in zip(usable, pairs, strict=True):
            shown = between_shown(pair, query, references[n])
            matches[n] = to_matches(shown, query, references[n], self.config.max_keypoints)
        return matches

    @property
    def threshold(self) -> float:
        """Return the threshold of coarse matches, above 0."""
        return max(self.config.min_confidence, 1e-6)


def network_size(original: tuple[int, int], max_side_px: int) -> tuple[int, int]:
    """Return the (width, height) the network sees: never enlarged, each side floored to a multiple of 16."""
    scale = min(1.0, max_side_px / max(original))
    width, height = (round(side * scale) // SIZE_MULTIPLE * SIZE_MULTIPLE for side in original)
    return width, height


def no_features(size: tuple[int, int], device: torch.device) -> Features:
    """Return the features of an image that is too small or shows nothing."""
    empty = torch.zeros(0, device=device)
    return Features(empty.view(0, 2), empty.view(0, COARSE_SIZE), empty, empty.view(0, 2), size)


def grid_shape(features: Features) -> tuple[int, int]:
    """Return (columns, rows) of cells."""
    assert features.fine is not None
    return features.fine.shape[2] * FINE_PX // CELL_PX, features.fine.shape[1] * FINE_PX // CELL_PX


def mapping_from_network(features: Features) -> PixelMapping:
    """Return the mapping from the network's pixels to the image's."""
    columns, rows = grid_shape(features)
    return PixelMapping(features.size[0] / (columns * CELL_PX), features.size[1] / (rows * CELL_PX))


def to_image_features(features: Features) -> ImageFeatures:
    """Return features as the network takes them."""
    columns, rows = grid_shape(features)
    assert features.fine is not None
    return ImageFeatures(features.descriptors.mT.unflatten(1, (rows, columns)), features.fine)


def between_shown(pair: PairMatches, query: Features, reference: Features) -> PairMatches:
    """Return the matches of cells that are used in both images: the score of the others is 0."""
    shown = (query.scores[pair.query_cells] > 0) & (reference.scores[pair.reference_cells] > 0)
    return PairMatches(*(getattr(pair, column.name)[shown] for column in fields(pair)))


def to_matches(pair: PairMatches, query: Features, reference: Features, most: int) -> Matches:
    """Return the best `most` matches of a pair in image pixels, cell to cell and as the fine stage moved them."""
    from_network, from_reference = mapping_from_network(query), mapping_from_network(reference)
    moved, cells = pair.reference[:most], pair.reference_cells[:most]
    # Where the query shows the reference's cell, if both images move alike over a few pixels.
    beside = pair.query[:most] - (moved - cell_pixels(cells, grid_shape(reference)[0]))
    return Matches(
        to_numpy(from_network.to_original(beside)),
        to_numpy(cells),
        to_numpy(pair.confidence[:most]).clip(0, 1),
        MovedMatches(
            to_numpy(from_network.to_original(pair.query[:most])),
            to_numpy(from_reference.to_original(moved)),
            to_numpy(sample_fine(reference, from_reference.to_original(moved))),
        ),
    )


def sample_fine(features: Features, keypoints: Tensor) -> Tensor:
    """Return (N, 128) float32 fine features of an image at (N, 2) of its pixels, bilinear; zero outside."""
    assert features.fine is not None
    mapping = mapping_from_network(features)
    at = mapping.from_original(keypoints) / FINE_PX
    extent = at.new_tensor([features.fine.shape[2] - 1, features.fine.shape[1] - 1])
    grid = (2 * at / extent - 1)[None, None].to(features.fine.device, torch.float32)
    return F.grid_sample(features.fine[None].float(), grid, align_corners=True)[0, :, 0].T
