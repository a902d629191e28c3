"""Define named settings: `deviloc-paper` is the published method, as its authors set it on each data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deviloc_ros.config import Config
from deviloc_ros.config_fields import from_dict

PAPER = "deviloc-paper"


@dataclass(frozen=True, slots=True)
class PaperSettings:
    """Hold what the authors changed from one data set to the next, by file names and flags of their code.

    side_px: `img_size`. matches: `n_matches`. threshold: of coarse matches. landmarks: `n_pts`, least and most.
    cell_px: `qt_size`. min_confidence: `conf_thr`. ransac_px: `ransac_thr`. references: `topk_retrieval`. clusters:
    `--covis_clustering`.
    """

    side_px: int
    landmarks: tuple[int, int]
    cell_px: float
    min_confidence: float
    ransac_px: float
    references: int
    matches: int = 5000
    threshold: float = 0.25
    clusters: bool = False


DATA_SETS = {
    "7scenes": PaperSettings(640, (50, 5000), 2.0, 0.1, 20.0, 10, threshold=0.3),
    "cambridge": PaperSettings(864, (50, 10000), 4.0, 0.1, 20.0, 20),
    "aachen": PaperSettings(864, (50, 8000), 3.0, 0.5, 15.0, 50, clusters=True),
    "robotcar": PaperSettings(864, (50, 10000), 4.0, 0.5, 15.0, 20, matches=2048),
    "cmu": PaperSettings(864, (50, 10000), 4.0, 0.1, 15.0, 10),
    "eth-ms": PaperSettings(1440, (10, 20000), 4.0, 0.1, 20.0, 10),
    "megadepth": PaperSettings(864, (50, 10000), 4.0, 0.1, 5.0, 3, matches=2048),
}
DEFAULT_DATA_SET = "7scenes"
PRESETS = (PAPER, *(f"{PAPER}:{name}" for name in DATA_SETS))


def apply_preset(config: Config, name: str) -> Config:
    """Return `config` with a preset's values: `deviloc-paper` (the 7-Scenes settings) or `deviloc-paper:DATA-SET`.

    Raises:
        ValueError: there is no such preset.
    """
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; known: {', '.join(PRESETS)}")
    settings = DATA_SETS[name.partition(":")[2] or DEFAULT_DATA_SET]
    least, most = settings.landmarks
    values: dict[str, Any] = {
        "matcher": {
            "name": "topicfm",
            "max_image_side_px": settings.side_px,
            "max_keypoints": settings.matches,
            "min_confidence": settings.threshold,
        },
        "lift": {
            "method": "upstream",
            "landmark_radius_px": settings.cell_px,
            "min_landmarks": least,
            "max_landmarks": most,
            "check_views": 0,
        },
        "retrieval": {
            "references": settings.references,
            "nearest": settings.references,
            "covisibility_clusters": settings.clusters,
            "refine": False,
        },
        "aggregation": {
            "method": "paper",
            "cell_px": settings.cell_px,
            "min_confidence": settings.min_confidence,
        },
        "pose": {"max_reprojection_error_px": settings.ransac_px, "max_depth_discount": 1.0},
    }
    return from_dict(config, values)
