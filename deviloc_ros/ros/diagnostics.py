"""Make the messages of /diagnostics and ~/status. docs/interface.md explains every key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from deviloc_ros.localizer import Localizer
from deviloc_ros.ros.bounded_counter import shorten
from deviloc_ros.ros.worker import ThreadState
from deviloc_ros.status import Status
from deviloc_ros.tracking.fix import largest_stds
from deviloc_ros.tracking.gnss import GnssBuffer
from deviloc_ros.tracking.step import Step
from deviloc_ros.tracking.tracker import TrackingState
from deviloc_ros.types import CameraReport

SILENT_AFTER_S = 3.0  # a camera that sends nothing for this long is reported


@dataclass(slots=True)
class Tally:
    """Count what happened since the node was configured."""

    received: int = 0
    processed: int = 0
    published: int = 0
    dropped: Counter[Status] = field(default_factory=Counter)
    last_received_s: float | None = None  # monotonic


@dataclass(frozen=True, slots=True)
class Health:
    """Hold a snapshot of the node's state."""

    phase: str = "unconfigured"  # lifecycle state
    threads: tuple[ThreadState, ...] = ()
    namesakes: int = 0  # other nodes of this name
    enabled: bool = True
    continuous: bool = True
    rests: bool = False  # max_rate_hz has blocked images until recently
    state: TrackingState = TrackingState.UNLOCALIZED
    step: Step | None = None  # of the last image
    last_fix_age_s: float | None = None
    silent_s: float = 0.0  # since the last image
    image_topic: str = ""
    missing_images: str = ""  # why none arrives, as far as the node can see
    incompatible_qos: tuple[str, ...] = ()
    missing_odometry: bool = False  # the last fix could not move map->odom
    calibration_complaint: str = ""  # what is wrong with the calibration, by many images
    complaints: tuple[str, ...] = ()  # what else is wrong without stopping localization, as a single camera of a rig
    values: dict[str, str] = field(default_factory=dict)


def judge_health(health: Health) -> tuple[bytes, str]:
    """Return level and message: the most important problem and its remedy, or that all is well."""
    if complaint := next((thread.complaint for thread in health.threads if thread.complaint), ""):
        return DiagnosticStatus.ERROR, f"{complaint}: start the node again"
    if health.phase != "active":
        return DiagnosticStatus.WARN, health.phase
    if not health.enabled:
        return DiagnosticStatus.WARN, "disabled by ~/enable"
    if health.silent_s > SILENT_AFTER_S:
        why = "; ".join([*filter(None, [health.missing_images]), *health.incompatible_qos])
        silence = f"no image on {health.image_topic} for {health.silent_s:.0f} s"
        return DiagnosticStatus.ERROR, f"{silence}: {why}" if why else silence
    last_failed = health.step is not None and health.step.fix is None
    if health.state is TrackingState.LOCALIZED or (
        health.state is TrackingState.COASTING and health.rests and not last_failed
    ):
        if health.missing_odometry:
            return DiagnosticStatus.WARN, "localized, but no odometry at the image's stamp: map->odom is not updated"
        if health.calibration_complaint:
            return DiagnosticStatus.WARN, f"localized, but {health.calibration_complaint}"
        return DiagnosticStatus.OK, "localized"
    if not health.continuous and not last_failed:
        return DiagnosticStatus.OK, "waiting for ~/trigger_localization"
    level = DiagnosticStatus.WARN if health.state is TrackingState.COASTING else DiagnosticStatus.ERROR
    return level, f"{health.state.value}: {describe_shortcoming(health.step)}"


def describe_shortcoming(step: Step | None) -> str:
    """Say what was wrong with the last image, or that none was localized after it."""
    if step is None:
        return "no image localized yet"
    return "no newer image was localized" if step.fix is not None else step.detail or step.status.word


def diagnostics_msg(name: str, health: Health, hardware_id: str, stamp: Time) -> DiagnosticArray:
    """Return the message for /diagnostics."""
    level, message = judge_health(health)
    if health.complaints and health.phase == "active":
        message = "; ".join([message, *health.complaints])
        level = max(level, DiagnosticStatus.WARN)
    if health.namesakes:
        message += f"; {health.namesakes} other node{'s have' if health.namesakes > 1 else ' has'} this node's name"
        level = max(level, DiagnosticStatus.WARN)
    values = {"lifecycle": health.phase, "enabled": str(health.enabled), "state": health.state.value}
    values["last_fix_age_s"] = "never" if health.last_fix_age_s is None else f"{health.last_fix_age_s:.3f}"
    values |= step_values(health.step) if health.step else {}
    values |= {f"thread.{thread.name}": str(thread) for thread in health.threads}
    values |= health.values
    status = DiagnosticStatus(level=level, name=name, message=shorten(message), hardware_id=hardware_id)
    status.values = key_values(values)
    msg = DiagnosticArray(status=[status])
    msg.header.stamp = stamp
    return msg


def image_status_msg(name: str, step: Step) -> DiagnosticStatus:
    """Return the message on one image for ~/status."""
    level = DiagnosticStatus.OK if step.fix is not None else DiagnosticStatus.WARN
    message = shorten(step.detail or step.status.word)
    values = key_values(step_values(step))
    return DiagnosticStatus(level=level, name=f"{name}: image", message=message, values=values)


def key_values(values: dict[str, str]) -> list[KeyValue]:
    """Return the pairs as messages with texts of bounded length, since names and errors come from outside."""
    return [KeyValue(key=shorten(key), value=shorten(value)) for key, value in values.items()]


def step_values(step: Step) -> dict[str, str]:
    """Return the values about the last image."""
    evidence = step.evidence
    values = {
        "reason": step.status.word,
        "detail": step.detail,
        "image_stamp": format_stamp(step.stamp_ns),
        "inliers": str(evidence.inliers),
        "inlier_ratio": f"{evidence.inlier_ratio:.3f}",
        "coverage": f"{evidence.coverage:.3f}",
        "references": ", ".join(evidence.references),
    }
    if (fit := evidence.intrinsics) is not None:
        values |= {"focal_scale": f"{fit.focal_scale:.4f}", "focal_scale_std": f"{fit.focal_std:.4f}"}
    if step.fix is not None:
        std_m, std_deg = largest_stds(step.fix.covariance)
        values |= {"position_std_m": f"{std_m:.4f}", "orientation_std_deg": f"{std_deg:.3f}"}
    if step.map_name:
        values["image_map"] = step.map_name
    for report in evidence.cameras:
        values |= report_values(report)
    return values | {f"latency_ms.{stage}": f"{ms:.1f}" for stage, ms in step.stages_ms.items()}


def report_values(report: CameraReport) -> dict[str, str]:
    """Return the values about one camera of a rig in the last pose."""
    values = {
        "reason": report.status.word,
        "detail": report.detail,
        "image_stamp": format_stamp(report.stamp_ns),
        "used": str(report.used),
        "inliers": str(report.inliers),
    }
    return {f"camera.{report.name}.{key}": value for key, value in values.items()}


def format_stamp(stamp_ns: int) -> str:
    """Return a stamp as seconds with nine decimals, exactly."""
    return f"{stamp_ns // 10**9}.{stamp_ns % 10**9:09d}"


def parse_stamp(text: str) -> int:
    """Return the stamp [ns] that `format_stamp` wrote."""
    seconds, _, nanoseconds = text.partition(".")
    return int(seconds) * 10**9 + int(nanoseconds or 0)


class Rates:
    """Measure rates over windows of at least a given length."""

    def __init__(self, window_s: float, now_s: float) -> None:
        self._window_s = window_s
        self._start_s = now_s
        self._start_counts: dict[str, int] = {}
        self._rates: dict[str, float] = {}

    def update(self, counts: dict[str, int], now_s: float) -> dict[str, float]:
        """Return the rates [1/s] over the last complete window."""
        seconds = now_s - self._start_s
        if seconds >= self._window_s:
            self._rates = {name: (count - self._start_counts.get(name, 0)) / seconds for name, count in counts.items()}
            self._start_s, self._start_counts = now_s, counts
        return {name: self._rates.get(name, 0.0) for name in counts}


def tally_values(tally: Tally, rates: Rates, now_s: float) -> dict[str, str]:
    """Return totals and rates."""
    counts = {f"images_{name}": getattr(tally, name) for name in ("received", "processed", "published")}
    values = {name: str(count) for name, count in counts.items()}
    values |= {f"{name}_hz": f"{rate:.2f}" for name, rate in rates.update(counts, now_s).items()}
    return values | {f"dropped.{drop.word}": str(count) for drop, count in list(tally.dropped.items())}


def camera_values(tallies: Mapping[str, Tally], now_s: float) -> dict[str, str]:
    """Return counts and ages of the images of each camera of a rig; empty for a single camera."""
    values = {}
    for name, tally in tallies.items():
        if name:
            values[f"camera.{name}.images_received"] = str(tally.received)
            age_s = "never" if not tally.received else f"{now_s - (tally.last_received_s or now_s):.3f}"
            values[f"camera.{name}.last_image_age_s"] = age_s
    return values


def localizer_values(localizer: Localizer) -> dict[str, str]:
    """Return the values about the map and the network."""
    reference_map, device = localizer.map, localizer.matcher.device
    return {
        "map": str(reference_map.folder),
        "map_id": reference_map.identity[:16],
        "map_views": str(len(reference_map)),
        "matcher": localizer.config.matcher.name,
        "device": str(device),
    }


def gnss_values(gnss: GnssBuffer) -> dict[str, str]:
    """Return how many GNSS positions were taken, and why others were refused."""
    return {"gnss.taken": str(gnss.taken)} | {f"gnss.refused.{why}": str(n) for why, n in dict(gnss.refused).items()}


def gpu_values(device: torch.device) -> dict[str, str]:
    """Return the GPU memory in use; empty on a CPU."""
    if device.type != "cuda":
        return {}
    return {"gpu_memory_mb": f"{torch.cuda.memory_allocated(device) / 2**20:.0f}"}
