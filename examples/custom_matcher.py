"""A matcher of your own: OpenCV's SIFT in the place of a network. Build and localize with the same one.

python examples/custom_matcher.py MODEL IMAGES QUERY     # a COLMAP model, its images, an image to localize
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from deviloc_ros import Localizer, Map, build_map, read_gray
from deviloc_ros.matching.base import Matcher
from deviloc_ros.sources.colmap import read_model
from deviloc_ros.types import Features, Matches


class SiftMatcher(Matcher):
    """SIFT keypoints, matched where descriptors are each other's nearest and alike."""

    name, descriptor_size = "sift", 128  # the map is bound to both
    device = torch.device("cpu")
    min_similarity = 0.8

    def __init__(self, keypoints: int = 2048) -> None:
        self.sift = cv2.SIFT_create(keypoints)

    def extract(self, image: NDArray, *, keep_dense: bool = False, used: NDArray | None = None) -> Features:
        """Return keypoints (N, 2) px and descriptors (N, 128) of unit length, as RootSIFT has them."""
        found, descriptors = self.sift.detectAndCompute(image, None if used is None else used.astype(np.uint8))
        descriptors = np.zeros((0, 128), np.float32) if descriptors is None else descriptors
        root = np.sqrt(descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1e-9))
        places = torch.tensor([point.pt for point in found], dtype=torch.float32).reshape(-1, 2)
        scores = torch.tensor([point.response for point in found], dtype=torch.float32)
        size = (image.shape[1], image.shape[0])
        return Features(places, torch.from_numpy(root), scores, torch.ones(len(places), 2), size)

    def match_on_device(self, query: Features, references: list[Features], useful: object) -> list[Matches]:
        """Return the matches with each reference; a confidence is how alike two descriptors are."""
        matches = []
        for reference in references:
            similarity = query.descriptors.numpy() @ reference.descriptors.numpy().T
            if not similarity.size:
                matches.append(Matches(np.zeros((0, 2), np.float32), np.zeros(0, int), np.zeros(0, np.float32)))
                continue
            nearest, alike = similarity.argmax(1), similarity.max(1)
            is_mutual = similarity.argmax(0)[nearest] == np.arange(len(nearest))
            rows = np.flatnonzero(is_mutual & (alike > self.min_similarity))
            matches.append(Matches(query.keypoints.numpy()[rows], nearest[rows], alike[rows].clip(0, 1)))
        return matches


def main(model: str, images: str, query: str) -> None:
    """Build a map beside the images and localize one image in it."""
    source = read_model(Path(model), Path(images))
    build_map(source, "sift.map", matcher=SiftMatcher(), overwrite=True)
    localizer = Localizer(Map.open("sift.map"), matcher=SiftMatcher())
    print(localizer.localize(read_gray(query), source.images[0].camera))


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) == 4 else sys.exit(__doc__)
