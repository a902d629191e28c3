"""Evaluate one recording against a map, or several: which images, which truth, what is said about it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any

from numpy.typing import NDArray
from tqdm import tqdm

from deviloc_ros.bags.bag_index import Contents
from deviloc_ros.bags.bag_plan import ReadingPlan, find_truth
from deviloc_ros.bags.reader import Recording
from deviloc_ros.bags.repeated_images import RepeatCounter
from deviloc_ros.bags.topics import Topics
from deviloc_ros.bags.transforms import CIRCLE
from deviloc_ros.bags.truth import Truth
from deviloc_ros.config import GnssConfig, RigConfig, TrackingConfig
from deviloc_ros.config_fields import to_dict
from deviloc_ros.evaluation.recordings.chosen_images import (
    Images,
    Sampled,
    group_images,
    take_every_kth,
    try_all,
    try_within_budget,
)
from deviloc_ros.evaluation.recordings.frames import Estimate, judge_estimates, list_stamps
from deviloc_ros.evaluation.recordings.lens import choose_lens
from deviloc_ros.evaluation.recordings.odometry import detect_two_clocks, summarize_odometry
from deviloc_ros.evaluation.recordings.offline import OfflineRun
from deviloc_ros.evaluation.recordings.run_folder import Run
from deviloc_ros.evaluation.recordings.summary import (
    summarize_cameras,
    summarize_frames,
    summarize_latency,
    summarize_maps,
)
from deviloc_ros.evaluation.recordings.truth_frame import explain_common_offset
from deviloc_ros.evaluation.versions import collect_versions
from deviloc_ros.imaging import Masks
from deviloc_ros.localizer import Localizer, warm_up
from deviloc_ros.messages.gnss import GnssFix, GnssRefused, read_gnss
from deviloc_ros.messages.headers import stamp_ns
from deviloc_ros.status import Status
from deviloc_ros.tracking.contributor import Contributor
from deviloc_ros.tracking.follower import as_sequence
from deviloc_ros.tracking.step import Step

log = logging.getLogger(__name__)
ADVICE = {
    Status.NO_CAMERA_INFO: "choose another --camera-info-topic, take that of another frame with --camera-info-frame, "
    "or give the calibration with --camera",
    Status.BAD_CAMERA_INFO: "give the calibration with --camera MODEL,W,H,PARAMS",
    Status.NO_EXTRINSIC: 'give --base-frame, --camera-frame or --extrinsic "x y z qx qy qz qw"',
    Status.UNDECODABLE: "is it the topic of a camera's picture? choose another --image-topic",
    Status.NO_STAMP: "the driver leaves header.stamp empty",
}
AS_PUBLISHED = "none: poses as given, in the frame of the map"
ALIGNED = "all poses moved rigidly to fit the truth best (no scale): errors common to all are hidden"


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationPlan(ReadingPlan):
    """Say what to do with a recording.

    every: only each k-th image. budget_ms: simulate a machine that needs this long per image; 0: all are tried. only:
    stamps [ns] of the images to try, None for all.
    """

    align: bool = False
    every: int = 1
    budget_ms: float = 0.0
    only: frozenset[int] | None = None
    grouping: RigConfig = field(default_factory=RigConfig)
    gnss_topic: str = ""
    gnss: GnssConfig = field(default_factory=GnssConfig)

    @property
    def sampling(self) -> str:
        """Say in words which images are tried."""
        parts = ["every image" if self.every == 1 else f"every {self.every}th image"]
        if self.only is not None:
            parts = [f"the {len(self.only)} images that another run tried"]
        if self.budget_ms > 0:
            parts.append(f"a simulated machine that needs {self.budget_ms:g} ms for one")
        return ", ".join(parts)


def select_images(
    recording: Recording, topics: Topics, contents: Contents, plan: EvaluationPlan, repeated: RepeatCounter
) -> Sampled:
    """Yield the images that the plan lets through, with a bar of progress; `repeated` counts those that come again."""
    total = sum(map(recording.count, topics.images))
    bar = tqdm(recording.messages(topics.images), total=total, unit="image", desc="localize", dynamic_ncols=True)
    has_odometry = bool(contents.rig.odom_frame or contents.rig.odometry_topic)
    images: Iterable[Images] = group_images(repeated.first_only(bar), topics, plan.grouping, has_odometry=has_odometry)
    if plan.only is not None:
        images = (group for group in images if group[-1].stamp_ns in plan.only)
    images = take_every_kth(images, plan.every)
    return try_within_budget(images, round(plan.budget_ms * 1e6)) if plan.budget_ms > 0 else try_all(images)


def run_offline(
    recording: Recording,
    topics: Topics,
    contents: Contents,
    plan: EvaluationPlan,
    localizers: Localizer | Sequence[Localizer],
    tracking: TrackingConfig,
    masks: Masks | None = None,
    contributor: Contributor | None = None,
) -> tuple[list[Estimate], dict[str, Any]]:
    """Localize every image that the plan lets through as the node would, in a map or in several, and say how.

    Raises:
        ValueError: none could be tried; the message says why and what to do.
    """
    for localizer in as_sequence(localizers):
        warm_up(localizer)
    lens = choose_lens(recording, topics, contents, as_sequence(localizers))
    repeated = RepeatCounter()
    positions, refused = read_positions(recording, plan)
    run = OfflineRun(localizers, contents, tracking, masks, plan.grouping, contributor, positions, plan.gnss)
    estimates = run.run(select_images(recording, topics, contents, plan, repeated))
    if not any(estimate.tried for estimate in estimates):
        raise ValueError(f"{recording.path}: {explain_none_tried(estimates, contents)}")
    if repeated.count:
        log.warning("%s: %s", recording.path, repeated)
    about = {"mode": "offline", "sampling": plan.sampling, "lens": lens}
    if plan.gnss_topic:
        about["gnss"] = {"taken": len(positions), "refused": dict(refused), "complaint": run.gnss_complaint}
    if contributor:
        about["contributed"] = run.contributed
    if topics.beside:
        about["camera_complaints"] = run.camera_complaints
    return estimates, about | {"repeated_images": repeated.count, "laps": repeated.laps + 1}


def read_positions(recording: Recording, plan: EvaluationPlan) -> tuple[list[tuple[int, GnssFix]], Counter[str]]:
    """Return when a receiver's positions were received [ns], and the positions; and how many are not taken, by why.

    Raises:
        ValueError: the recording has no such topic, or it is of something else.
    """
    taken: list[tuple[int, GnssFix]] = []
    refused: Counter[str] = Counter()
    if not plan.gnss_topic:
        return taken, refused
    kind = recording.topics.get(plan.gnss_topic, "")
    if kind and not kind.endswith("/NavSatFix"):
        raise ValueError(f"--gnss-topic {plan.gnss_topic} is of {kind}, not of sensor_msgs/NavSatFix")
    for recorded in recording.messages((plan.gnss_topic,)):
        try:
            taken.append((recorded.time_ns, read_gnss(recorded.message(), plan.gnss)))
        except GnssRefused as why:
            refused[str(why)] += 1
        except ValueError:
            refused["damaged"] += 1
    return taken, refused


def follow_images(
    recording: Recording,
    topics: Topics,
    contents: Contents,
    plan: EvaluationPlan,
    localizer: Localizer,
    tracking: TrackingConfig,
) -> Iterator[tuple[Images, dict[str, NDArray], Step, str]]:
    """Yield images that are tried, their pixels by camera, what the node would make of them, and its state then."""
    warm_up(localizer)
    choose_lens(recording, topics, contents, [localizer])
    run = OfflineRun(localizer, contents, tracking, rig=plan.grouping)
    for group, tried in select_images(recording, topics, contents, plan, RepeatCounter()):
        if tried:
            pixels, step = run.follow(group)
            yield group, pixels, step, run.state_after(step)


def explain_none_tried(estimates: list[Estimate], contents: Contents) -> str:
    """Return why not one image could be tried."""
    if not estimates:
        return "no image is left to try"
    status, count = Counter(e.status for e in estimates).most_common(1)[0]
    detail = next(e.detail for e in estimates if e.status == status)
    advice = ADVICE.get(status, "")
    if status is Status.NO_EXTRINSIC:
        advice = detect_two_clocks(contents, list_stamps(estimates)) or advice
        if CIRCLE in detail:
            advice = "who publishes one of them twice? A mount that is known can be given with --extrinsic"
    return f"no image could be tried; {count} of {len(estimates)}: {detail or status.sentence}. {advice}".rstrip(". ")


def read_truth(recording: Recording, topics: Topics, contents: Contents, plan: EvaluationPlan) -> Truth | None:
    """Return what estimates are to be compared with, before there are any: a mistake is said before hours of work.

    Raises:
        ValueError: it is not to be had, or none was named and `align` needs it.
    """
    needed = None if plan.truth.transform else 1  # transforms are looked up at every image
    times_ns = list(islice(read_stamps(recording, topics.images), needed))
    if not times_ns:
        return None  # nothing to compare
    kind = recording.topics.get(plan.truth.topic, "")
    truth = find_truth(plan.truth, contents, times_ns, kind)
    if plan.align and truth is None:
        raise ValueError("--align needs ground truth")
    return truth


def read_stamps(recording: Recording, topics: tuple[str, ...]) -> Iterator[int]:
    """Yield the times [ns] of messages with a header; damaged ones are named when they are tried."""
    for recorded in recording.messages(topics):
        with suppress(ValueError):
            yield stamp_ns(recorded.message())


def summarize_run(
    recording: Recording,
    contents: Contents,
    plan: EvaluationPlan,
    truth: Truth | None,
    estimates: list[Estimate],
    about: dict[str, Any],
) -> Run:
    """Score and sum up. `about` says how the estimates came to be."""
    frames = judge_estimates(estimates, truth, plan.align)
    base = plan.rig.base_frame
    odometry = summarize_odometry(contents, [e.stamp_ns for e in estimates if e.tried])
    summary = {
        "bag": recording.path.resolve().name,
        **about,
        "ground_truth": str(plan.truth),
        "ground_truth_frame": truth.frame if truth else "",
        "ground_truth_complaint": "" if plan.align else explain_common_offset(frames, contents.transforms, base),
        "alignment": ALIGNED if plan.align else AS_PUBLISHED,
        **summarize_frames(frames),
        **summarize_maps(estimates),
        "odometry": odometry,
        **summarize_cameras(estimates),
        "frames_out_of_order": sum(later < earlier for earlier, later in pairwise(list_stamps(estimates))),
        "versions": collect_versions(),
    }
    return Run(recording.path.stem, summary, summarize_latency(frames), frames)


def describe_localizers(localizers: Sequence[Localizer], tracking: TrackingConfig, name: str) -> dict[str, Any]:
    """Return which map, or which maps of a folder of that name, and which parameters were used."""
    maps = [
        {"name": localizer.map.name, "identity": localizer.map.identity, "views": len(localizer.map)}
        for localizer in localizers
    ]
    parameters = {**to_dict(localizers[0].config), "tracking": to_dict(tracking)}
    if len(maps) == 1:
        return {"map": maps[0], "parameters": parameters}
    views = sum(len(localizer.map) for localizer in localizers)
    return {"map": {"name": name, "views": views, "maps": maps}, "parameters": parameters}
