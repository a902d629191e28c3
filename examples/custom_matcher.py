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
from deviloc_ros.matching.neighbours import match_mutual_nearest
from deviloc_ros.sources.colmap import read_model
from deviloc_ros.types import Features, Matches


class SiftMatcher(Matcher):
    """SIFT keypoints, matched where descriptors are each other's nearest and alike."""

    name, descriptor_size = "sift", 128
    weights_id = "example-sift"  # binds the map to this matcher
    device = torch.device("cpu")
    min_similarity = 0.8

    def __init__(self, keypoints: int = 2048) -> None:
        self.sift = cv2.SIFT_create(keypoints)

    def extract(self, image: NDArray, *, keep_dense: bool = False) -> Features:
        """Return keypoints (N, 2) px and descriptors (N, 128) of unit length, as RootSIFT has them."""
        found, descriptors = self.sift.detectAndCompute(image, None)
        descriptors = np.zeros((0, 128), np.float32) if descriptors is None else descriptors
        root = np.sqrt(descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1e-9))
        places = torch.tensor([point.pt for point in found], dtype=torch.float32).reshape(-1, 2)
        scores = torch.tensor([point.response for point in found], dtype=torch.float32)
        size = (image.shape[1], image.shape[0])
        return Features(places, torch.from_numpy(root), scores, torch.ones(len(places), 2), size)

    def match(self, query: Features, references: list[Features]) -> list[Matches]:
        """Return the matches with each reference; a confidence is how alike two descriptors are."""
        matches = []
        for reference in references:
            rows, columns = match_mutual_nearest(query.descriptors, reference.descriptors)
            alike = (query.descriptors[rows] * reference.descriptors[columns]).sum(1)
            sure = alike > self.min_similarity
            keypoints = query.keypoints[rows][sure].numpy()
            matches.append(Matches(keypoints, columns[sure].numpy(), alike[sure].clamp(0, 1).numpy()))
        return matches


def main(model: str, images: str, query: str) -> None:
    """Build a map beside the images and localize one image in it."""
    source = read_model(Path(model), Path(images))
    build_map(source, "sift.map", matcher=SiftMatcher(), overwrite=True)
    localizer = Localizer(Map.open("sift.map"), matcher=SiftMatcher())
    print(localizer.localize(read_gray(query), source.images[0].camera))


if __name__ == "__main__":
    main(*sys.argv[1:])
