"""Localize queries whose calibration states a wrong focal length: how far poses are off, and which are withheld."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from deviloc_ros.config import Config
from deviloc_ros.config_fields import change_config
from deviloc_ros.evaluation import TRUE_POSE
from deviloc_ros.evaluation.metrics import QueryOutcome
from deviloc_ros.evaluation.protocols.run import Evaluation, config_for_retrieval
from deviloc_ros.evaluation.protocols.scenes import load_protocol
from deviloc_ros.localizer import Localizer
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.status import Status
from deviloc_ros.tracking.fix import largest_stds
from deviloc_ros.types import Localized

PROTOCOLS = ("kitchen-back-24", "kitchen-36", "kitchen-72", "drive-even", "drive-sparse")
FACTORS = (0.9, 0.95, 0.98, 1.0, 1.02, 1.05, 1.1)
UNCHECKED = 100.0


def measure_wrong_focal_lengths(data: Path, config: Config, every: int) -> list[dict[str, Any]]:
    """Return what comes of each protocol's queries, checked and not, with each factor on the true focal length.

    Raises:
        SourceError: the data is not there.
    """
    figures = []
    for name in PROTOCOLS:
        evaluation = Evaluation(load_protocol(name, data, every), config, remember_matches=True)
        (fold,) = evaluation.protocol.folds
        with tempfile.TemporaryDirectory() as folder:
            path = evaluation.build_fold(
                fold.map_images, Path(folder) / "map", config_for_retrieval(config, TRUE_POSE), None
            )
            localizer = evaluation.open_localizer(path)
            bar = tqdm(FACTORS, desc=name, unit="focal length", dynamic_ncols=True)
            figures += [
                {"protocol": name, **summarize_factor(evaluation, localizer, fold.queries, factor)} for factor in bar
            ]
    return figures


def summarize_factor(
    evaluation: Evaluation, localizer: Localizer, queries: list[PosedImage], factor: float
) -> dict[str, Any]:
    """Return the figures of one focal length."""
    wrong = [replace(query, camera=query.camera.scale_focal(factor)) for query in queries]
    checked = localizer.config
    unchecked = change_config(checked, pose={"max_focal_error": UNCHECKED})
    outcomes = {}
    for word, config in (("unchecked", unchecked), ("checked", checked)):
        localizer.config = config
        outcomes[word] = [evaluation.localize_query(localizer, query, TRUE_POSE) for query in wrong]
    fits = [o.result.evidence.intrinsics for o in outcomes["checked"] if o.result.evidence.intrinsics]
    scales = np.percentile([fit.focal_scale for fit in fits], (5, 50, 95)).tolist() if fits else None
    reasons = [getattr(o.result, "reason", None) for o in outcomes["checked"]]
    return {
        "factor": factor,
        "queries": len(queries),
        **{word: summarize_poses(some) for word, some in outcomes.items()},
        "miscalibrated": reasons.count(Status.MISCALIBRATED),
        "fitted": scales,
    }


def summarize_poses(outcomes: list[QueryOutcome]) -> dict[str, Any]:
    """Return of the poses given how many they are, and how far off they are and say that they are [m]."""
    given = [o for o in outcomes if o.localized]
    stds_m = [largest_stds(o.result.covariance)[0] for o in given if isinstance(o.result, Localized)]
    return {
        "localized": len(given),
        "wrong": sum(o.is_wrong_fix for o in given),
        "median_error_m": float(np.median([o.translation_m for o in given])) if given else None,
        "median_std_m": float(np.median(stds_m)) if given else None,
    }
