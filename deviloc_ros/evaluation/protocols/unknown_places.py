"""Localize images of other places than the map's: none may get a pose; measure how near they come to one."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from tqdm import tqdm

from deviloc_ros.config import Config
from deviloc_ros.evaluation.protocols.scenes import load_other_places, load_protocol
from deviloc_ros.imaging import read_gray
from deviloc_ros.localizer import Localizer
from deviloc_ros.mapping.build import build_map
from deviloc_ros.maps.store import Map
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.types import Localized, Result

PROTOCOL = "kitchen-36"


def measure_unknown_places(data: Path, config: Config, every: int) -> list[dict[str, Any]]:
    """Return the most evidence of images from elsewhere, and the least of the map's own queries, without a prior.

    Raises:
        SourceError: the data is not there.
    """
    (fold,) = load_protocol(PROTOCOL, data, every).folds
    with tempfile.TemporaryDirectory() as folder:
        build_map(fold.map_images, Path(folder) / "map", config)
        localizer = Localizer(Map.open(Path(folder) / "map"), config)
        return [
            summarize_results("other places", localize_all(localizer, load_other_places(data, every))),
            summarize_results(PROTOCOL, localize_all(localizer, fold.queries)),
        ]


def localize_all(localizer: Localizer, images: list[PosedImage]) -> list[Result]:
    """Localize each image by retrieval alone."""
    bar = tqdm(images, unit="query", dynamic_ncols=True)
    return [localizer.localize(read_gray(image.path), image.camera) for image in bar]


def summarize_results(name: str, results: list[Result]) -> dict[str, Any]:
    """Return counts, and the minimum and maximum of the quantities that gates use."""
    evidence: dict[str, list[float]] = {
        "inliers": [result.evidence.inliers for result in results],
        "inlier_ratio": [result.evidence.inlier_ratio for result in results],
        "coverage": [result.evidence.coverage for result in results],
    }
    reasons = Counter("localized" if isinstance(r, Localized) else r.reason.word for r in results)
    return {
        "images": name,
        "queries": len(results),
        "outcomes": dict(sorted(reasons.items())),
        **{name: [min(values), max(values)] for name, values in evidence.items()},
    }
