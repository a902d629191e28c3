"""Check the names of figures in requirements before hours of work."""

from __future__ import annotations

import numpy as np
import pycolmap

from deviloc_ros.evaluation.recordings.frames import Estimate, judge_estimate
from deviloc_ros.evaluation.recordings.requirements import Requirement, list_figures
from deviloc_ros.evaluation.recordings.summary import summarize_frames, summarize_latency
from deviloc_ros.io.suggestions import suggest
from deviloc_ros.status import Status
from deviloc_ros.tracking.calibration_check import PooledIntrinsics
from deviloc_ros.tracking.motion_check import MotionFit

OF_CASES = ("outcomes.", "node.", "map_to_odom.", "latency_ms.stages.", "odometry.reasons.")  # names vary by run
BESIDE = ("frames_out_of_order", "repeated_images", "laps", "odometry.images", "map.views")
OF_CALIBRATION = tuple(f"calibration.{name}" for name in PooledIntrinsics(np.zeros(4), np.zeros(4), 0).figures())
OF_MOTION = tuple(f"motion.{name}" for name in MotionFit(np.zeros(7), np.zeros(7), 0).figures())
EXAMPLES = 40  # images, more than it takes for every figure to have something to say


def list_known_figures() -> list[str]:
    """Return the dotted names of a run's figures, from a made-up run that has all of them."""
    pose, covariance = pycolmap.Rigid3d(), np.eye(6)
    estimates = [
        Estimate(n, n, Status.ACCEPTED, "", pose, covariance, 50, 0.5, 0.5, stages_ms={"match": 1.0})
        for n in range(1, EXAMPLES)
    ]
    frames = [judge_estimate(estimate, pose) for estimate in estimates]
    summary = summarize_frames(frames) | {"latency_ms": summarize_latency(frames)}
    names = (*list_figures(summary), *BESIDE, *OF_CALIBRATION, *OF_MOTION)
    return [name for name in names if not name.startswith(OF_CASES)]


def check_names(requirements: list[Requirement]) -> None:
    """Raise ValueError for a requirement on an unknown figure, suggesting the most similar name."""
    known = list_known_figures() if requirements else []
    for requirement in requirements:
        name = requirement.name
        if name in known or name.startswith(OF_CASES):
            continue
        raise ValueError(
            f"--require {name!r}: no run has such a figure{suggest(name, known) or '.'} There are {', '.join(known)}"
        )
