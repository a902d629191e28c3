"""Put the most important figures into words."""

from __future__ import annotations

from collections import Counter
from typing import Any

from deviloc_ros.evaluation.metrics import WRONG_FIX_DEG, WRONG_FIX_M
from deviloc_ros.evaluation.recordings.run_folder import Run
from deviloc_ros.io.units import Unit

NOTHING = "none"
ERRORS = (("median error", "median"), ("95th percentile error", "p95"))


def make_headline(run: Run) -> list[tuple[str, str]]:
    """Return name and value, most important first."""
    summary, latency = run.summary, run.latency
    rate = summary["success_rate"]
    share = f" ({rate:.1%})" if rate is not None else ""
    dropped = summary["images"] - summary["tried"]
    lines = [
        ("localized", f"{summary['localized']} of {summary['tried']} images{share}"),
        ("wrong fixes", describe_wrong_fixes(summary)),
        *((name, said) for name, which in ERRORS if (said := describe_errors(summary, which))),
        ("time to first fix", format_seconds(summary["time_to_first_fix_s"])),
        ("longest gap", format_seconds(summary["longest_gap_s"])),
    ]
    for name, count in summary.get("localized_in", {}).items():
        lines.append((f"in map {name}", f"{count} images"))
    if found := summary.get("calibration"):
        lines.append(("calibration", describe_calibration(found)))
    if found := summary.get("motion"):
        offset, std = (1000 * found[name] for name in ("time_offset_s", "time_offset_s_std"))
        lines.append(("stamps", f"{offset:+.0f} +- {std:.0f} ms to odometry's time"))
    if latency:
        lines.append(("latency p50 / p95 / p99", " / ".join(f"{latency[f'p{p}']:.0f}" for p in (50, 95, 99)) + " ms"))
    for name, camera in (summary.get("cameras") or {}).items():
        lines.append((f"camera {name}", f"in {camera['used']} poses, of {camera['images']} images"))
    if dropped:
        lines.append(("images not tried", f"{dropped} of {summary['images']}"))
    if repeated := summary.get("repeated_images"):
        laps = f", of {summary['laps']} laps" if summary["laps"] > 1 else ""
        lines.append(("repeated images", f"{repeated} left out{laps}"))
    if gnss := summary.get("gnss"):
        why = "".join(f", {count} {reason}" for reason, count in gnss["refused"].items())
        lines.append(("receiver", f"{gnss['taken']} positions taken{why}"))
    if contributed := summary.get("contributed"):
        lines.append(("kept for the map", contributed))
    if odometry := summary.get("odometry"):
        lines.append(("with odometry", f"{odometry['images']} of {summary['tried']} images"))
    return lines


def make_remarks(run: Run) -> list[tuple[str, str]]:
    """Return problems, counted by reason, and assumptions, as names and texts; a name may occur several times."""
    judged = (("calibration", "calibration"), ("mount and stamps", "motion"))
    said = [(name, run.summary[key]["complaint"]) for name, key in judged if run.summary.get(key)]
    truth = run.summary.get("ground_truth_complaint")
    complaints = [("ground truth", truth)] if truth else []
    complaints += [(name, complaint) for name, complaint in said if complaint]
    if contradiction := (run.summary.get("gnss") or {}).get("complaint"):
        complaints.append(("receiver", contradiction))
    complaints += [(f"camera {name}", said) for name, said in (run.summary.get("camera_complaints") or {}).items()]
    return complaints + explain_missing_poses(run) + explain_missing_odometry(run.summary) + describe_lens(run.summary)


def explain_missing_poses(run: Run) -> list[tuple[str, str]]:
    """Return a line for each reason why images have no pose, with the detail of the first such image."""
    first = {f.estimate.status: f.estimate.detail for f in reversed(run.frames)}
    counts = Counter(f.estimate.status for f in run.frames if not f.localized)
    lines = []
    for status, count in counts.most_common():
        words = status.sentence
        detail = first[status] or words
        lines.append(("without a pose", f"{count}: {detail if detail.startswith(words) else f'{words} ({detail})'}"))
    return lines


def explain_missing_odometry(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Return why images have no odometry, and what would help."""
    about = summary.get("odometry") or {"reasons": {}, "hint": ""}
    lines = [("without odometry", f"{count}: {reason}") for reason, count in about["reasons"].items()]
    return lines + ([("", about["hint"])] if about["hint"] else [])


def describe_lens(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Say how the images' lens was decided, unless they are raw images by camera_info."""
    about = summary.get("lens")
    if not about or not about["rectified"]:
        return []
    because = {"flag": "--rectified", "topic": "the topic's name", "images": "the images"}[about["because"]]
    return [("images are rectified", f"by {because}: P of camera_info; set the node's parameter `rectified`, too")]


def describe_calibration(found: dict[str, Any]) -> str:
    """Say whether the calibration is right, and which intrinsics fit all images, beside its own."""
    focal, x, y, k1 = (
        f"{found[name]:{form}} +- {found[f'{name}_std']:{form.lstrip('+')}}"
        for name, form in (
            ("focal_scale", ".3f"),
            ("principal_point_x_px", "+.1f"),
            ("principal_point_y_px", "+.1f"),
            ("k1", "+.3f"),
        )
    )
    verdict = "wrong" if found["complaint"] else "fine"
    return (
        f"{verdict} (by {found['images']} images the focal length is {focal} times as given; the principal point is "
        f"off by {x}, {y} px, k1 by {k1})"
    )


def describe_wrong_fixes(summary: dict[str, Any]) -> str:
    """Say how many fixes are wrong, and what counts as one."""
    if summary["wrong_fixes"] is None:
        return "unknown: no ground truth"
    return f"{summary['wrong_fixes']} (over {WRONG_FIX_M} m or {WRONG_FIX_DEG:.0f} deg)"


def describe_errors(summary: dict[str, Any], which: str) -> str:
    """Say the errors of localized images; empty without a truth."""
    if summary["wrong_fixes"] is None:
        return ""
    if summary["translation_m"] is None:
        return NOTHING
    return f"{format_length(summary['translation_m'][which])}, {summary['rotation_deg'][which]:.2f} deg"


def format_length(length: float, unit: Unit = Unit.METRE) -> str:
    """Format a length as an error up to one unit, in centimetres if that is a metre."""
    return unit.format_error(length) if length < 1 else unit.format(length)


def format_seconds(value: float | None) -> str:
    """Format seconds, or say that there are none."""
    return "never" if value is None else f"{value:.2f} s"
