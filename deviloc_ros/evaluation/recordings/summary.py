"""Summarize a run over a recording. Latencies are kept separate, since they are not reproducible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from deviloc_ros.config import PoseConfig
from deviloc_ros.evaluation.covariance import measure_consistency
from deviloc_ros.evaluation.metrics import recall_by_threshold
from deviloc_ros.evaluation.recordings.frames import Estimate, JudgedFrame, list_stamps
from deviloc_ros.tracking.calibration_check import IntrinsicsCheck
from deviloc_ros.tracking.motion_check import MotionCheck

PERCENTILES = (50, 95, 99)


def summarize_frames(frames: list[JudgedFrame]) -> dict[str, Any]:
    """Return counts, times without a pose, errors, recall and consistency; None for what does not apply."""
    tried = [f for f in frames if f.estimate.tried]
    localized = [f for f in tried if f.localized]
    judged = [f for f in tried if f.has_truth]
    fixes = [f for f in judged if f.localized]
    statuses = Counter(f.estimate.status.word for f in frames)
    return {
        "images": len(frames),
        "tried": len(tried),
        "localized": len(localized),
        "success_rate": len(localized) / len(tried) if tried else None,
        "wrong_fixes": sum(f.is_wrong_fix for f in fixes) if judged else None,
        "with_ground_truth": len(judged),
        "outcomes": dict(sorted(statuses.items())),
        "translation_m": summarize_spread([f.translation_m for f in fixes]),
        "rotation_deg": summarize_spread([f.rotation_deg for f in fixes]),
        "recall": recall_by_threshold(judged) if judged else None,
        **measure_times_without_pose(frames),
        "covariance": measure_consistency(nees) if (nees := [f.nees for f in fixes if np.isfinite(f.nees)]) else None,
        "inliers": summarize_spread([f.estimate.inliers for f in localized], low=True),
        "calibration": summarize_calibration(frames),
        "motion": summarize_motion(frames),
    }


def summarize_maps(estimates: list[Estimate]) -> dict[str, dict[str, int]]:
    """Return how many images were localized in each of several maps; nothing where there is one."""
    counts = Counter(e.map_name for e in estimates if e.localized and e.map_name)
    return {"localized_in": dict(sorted(counts.items()))} if counts else {}


def summarize_cameras(estimates: Sequence[Estimate]) -> dict[str, Any]:
    """Return of each camera of a rig how often it had an image, took part in a pose, and what became of its images."""
    cameras: dict[str, dict[str, Any]] = {}
    for report in (report for estimate in estimates for report in estimate.cameras):
        camera = cameras.setdefault(report.name, {"images": 0, "used": 0, "outcomes": Counter()})
        camera["images"] += 1
        camera["used"] += report.used
        camera["outcomes"][report.status.word] += 1
    for camera in cameras.values():
        camera["outcomes"] = dict(sorted(camera["outcomes"].items()))
    return {"cameras": cameras} if cameras else {}


def summarize_calibration(frames: list[JudgedFrame]) -> dict[str, Any] | None:
    """Return by how much the calibration is off, by all images of the last camera; None where too few tell."""
    cameras = [frame.estimate.camera for frame in frames if frame.estimate.camera is not None]
    if not cameras:
        return None
    check = IntrinsicsCheck(window=None)
    for frame in frames:
        if frame.estimate.camera == cameras[-1]:
            check.add_fit(frame.estimate.intrinsics)
    pooled = check.pool(cameras[-1], PoseConfig())
    return None if pooled is None else pooled.figures() | {"complaint": check.complaint(cameras[-1], PoseConfig())}


def summarize_motion(frames: list[JudgedFrame]) -> dict[str, Any] | None:
    """Return the time offset and the mounting that make all fixes move as odometry does; None where too few tell."""
    check = MotionCheck(window=None)
    for frame in frames:
        if frame.estimate.seen is not None:
            check.add_fix(frame.estimate.seen)
    found = check.fit()
    return None if found is None else found.figures() | {"complaint": found.complaint()}


def measure_times_without_pose(frames: list[JudgedFrame]) -> dict[str, float | None]:
    """Return seconds from the first image to the first pose, and the longest time after that without one."""
    times_ns = sorted(list_stamps(f.estimate for f in frames))
    poses_ns = sorted(f.estimate.stamp_ns for f in frames if f.localized)
    if not poses_ns:
        return {"time_to_first_fix_s": None, "longest_gap_s": None}
    gaps = [b - a for a, b in pairwise([*poses_ns, times_ns[-1]])]
    return {
        "time_to_first_fix_s": (poses_ns[0] - times_ns[0]) * 1e-9,
        "longest_gap_s": max(gaps) * 1e-9,
    }


def summarize_spread(values: Sequence[float], low: bool = False) -> dict[str, float] | None:
    """Return median, 95th percentile (or 5th where low is bad), root mean square and worst; None without values."""
    if not len(values):
        return None
    if low:
        return {"median": float(np.median(values)), "p5": float(np.percentile(values, 5)), "min": float(min(values))}
    return {
        "median": float(np.median(values)),
        "p95": float(np.percentile(values, 95)),
        "rmse": float(np.sqrt(np.mean(np.square(values)))),
        "max": float(max(values)),
    }


def summarize_latency(frames: list[JudgedFrame]) -> dict[str, Any] | None:
    """Return milliseconds per image that was tried, in all and by stage; None where nothing was measured."""
    tried = [f.estimate.stages_ms for f in frames if f.estimate.tried and f.estimate.stages_ms]
    if not tried:
        return None
    totals = [sum(stages.values()) for stages in tried]
    names = dict.fromkeys(name for stages in tried for name in stages)
    return {
        **{f"p{percent}": float(np.percentile(totals, percent)) for percent in PERCENTILES},
        "stages": {name: float(np.median([stages.get(name, 0.0) for stages in tried])) for name in names},
    }
