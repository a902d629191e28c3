"""Evaluate one recording against one or several maps."""

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

from deviloc_ros.bags.bag_index import IndexedBag
from deviloc_ros.bags.bag_plan import Part, ReadingPlan, find_truth
from deviloc_ros.bags.reader import Recording
from deviloc_ros.bags.repeated_images import RepeatCounter
from deviloc_ros.bags.transforms import CIRCLE
from deviloc_ros.bags.truth import Truth
from deviloc_ros.config import GnssConfig, RigConfig, TrackingConfig
from deviloc_ros.config_fields import to_dict
from deviloc_ros.evaluation.recordings.chosen_images import (
    Images,
    Sampled,
    group_images,
    take_every_kth,
    take_part,
    try_all,
    try_within_budget,
)
from deviloc_ros.evaluation.recordings.frames import Estimate, judge_estimates, list_stamps
from deviloc_ros.evaluation.recordings.lens import choose_lens
from deviloc_ros.evaluation.recordings.odometry import detect_two_clocks, summarize_odometry
from deviloc_ros.evaluation.recordings.offline import GnssReplay, OfflineRun
from deviloc_ros.evaluation.recordings.run_folder import Run
from deviloc_ros.evaluation.recordings.summary import (
    summarize_cameras,
    summarize_frames,
    summarize_latency,
    summarize_maps,
)
from deviloc_ros.evaluation.recordings.truth_frame import explain_common_offset
from deviloc_ros.evaluation.versions import collect_versions
from deviloc_ros.localizer import Localizer, warm_up
from deviloc_ros.masks import Masks
from deviloc_ros.messages.gnss import GnssFix, GnssRefused, read_gnss
from deviloc_ros.messages.headers import stamp_ns
from deviloc_ros.status import Status
from deviloc_ros.tracking.contributor import Contributor
from deviloc_ros.tracking.follower import Follower, as_sequence
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
    """Configure the evaluation of a recording.

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
        parts = ["every image" if self.every == 1 else f"every {format_ordinal(self.every)} image"]
        if self.only is not None:
            parts = [f"the {len(self.only)} images that another run tried"]
        if not self.part.is_all:
            parts.append(str(self.part))
        if self.budget_ms > 0:
            parts.append(f"a simulated machine that needs {self.budget_ms:g} ms for one")
        return ", ".join(parts)


def format_ordinal(number: int) -> str:
    """Return 2nd, 3rd, 11th and the like."""
    is_teen = number // 10 % 10 == 1
    return f"{number}{'th' if is_teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def select_images(bag: IndexedBag, plan: EvaluationPlan, repeated: RepeatCounter) -> Sampled:
    """Yield the images that the plan lets through, with a bar of progress; `repeated` counts those that come again."""
    recording, topics = bag.recording, bag.topics
    total = sum(map(recording.count, topics.images))
    bar = tqdm(recording.messages(topics.images), total=total, unit="image", desc="localize", dynamic_ncols=True)
    has_odometry = bool(bag.robot.odom_frame or bag.robot.odometry_topic)
    images: Iterable[Images] = group_images(repeated.first_only(bar), topics, plan.grouping, has_odometry=has_odometry)
    if plan.only is not None:
        images = (group for group in images if group[-1].stamp_ns in plan.only)
    images = take_every_kth(take_part(images, plan.part), plan.every)
    return try_within_budget(images, round(plan.budget_ms * 1e6)) if plan.budget_ms > 0 else try_all(images)


def run_offline(
    bag: IndexedBag,
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
    check_part(bag, plan.part)
    for localizer in as_sequence(localizers):
        warm_up(localizer)
    lens = choose_lens(bag, as_sequence(localizers))
    repeated = RepeatCounter()
    positions, refused = read_positions(bag.recording, plan)
    gnss = GnssReplay(positions, plan.gnss)
    follower = Follower(
        localizers,
        tracking,
        is_planar=bag.robot.two_d,
        rig=plan.grouping,
        contributor=contributor,
        gnss=gnss.book,
    )
    estimates = OfflineRun(follower, bag, masks, gnss).run(select_images(bag, plan, repeated))
    if not any(estimate.tried for estimate in estimates):
        raise ValueError(f"{bag.recording.path}: {explain_none_tried(estimates, bag)}")
    if repeated.count:
        log.warning("%s: %s", bag.recording.path, repeated)
    about = {"mode": "offline", "sampling": plan.sampling, "lens": lens}
    if plan.gnss_topic:
        about["gnss"] = {"taken": len(positions), "refused": dict(refused), "complaint": follower.gnss_complaint}
    if contributor:
        about["contributed"] = "; ".join(filter(None, [follower.contributed, follower.contribution_problem]))
    if bag.topics.beside:
        about["camera_complaints"] = follower.camera_complaints
    return estimates, about | {"repeated_images": repeated.count, "laps": repeated.laps + 1}


def check_part(bag: IndexedBag, part: Part) -> None:
    """Raise ValueError, saying how long the recording is, if the part that is asked for has no image."""
    if part.is_all:
        return  # and no message has to be read
    try:
        part.find_first(list(read_stamps(bag)))
    except ValueError as error:
        raise ValueError(f"{bag.recording.path}: {error}") from error


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
    bag: IndexedBag, plan: EvaluationPlan, localizer: Localizer, tracking: TrackingConfig
) -> Iterator[tuple[Images, dict[str, NDArray], Step, str]]:
    """Yield images that are tried, their pixels by camera, the step of the follower, and its state after that."""
    warm_up(localizer)
    choose_lens(bag, [localizer])
    follower = Follower(localizer, tracking, is_planar=bag.robot.two_d, rig=plan.grouping)
    run = OfflineRun(follower, bag)
    for group, tried in select_images(bag, plan, RepeatCounter()):
        if tried:
            pixels, step = run.follow(group)
            yield group, pixels, step, follower.state(step.stamp_ns).value


def explain_none_tried(estimates: list[Estimate], bag: IndexedBag) -> str:
    """Say why no image could be tried."""
    if not estimates:
        return "no image is left to try"
    status, count = Counter(e.status for e in estimates).most_common(1)[0]
    detail = next(e.detail for e in estimates if e.status == status)
    advice = ADVICE.get(status, "")
    if status is Status.NO_EXTRINSIC:
        advice = detect_two_clocks(bag, list_stamps(estimates)) or advice
        if CIRCLE in detail:
            advice = "who publishes one of them twice? A mount that is known can be given with --extrinsic"
    return f"no image could be tried; {count} of {len(estimates)}: {detail or status.sentence}. {advice}".rstrip(". ")


def read_truth(bag: IndexedBag, plan: EvaluationPlan) -> Truth | None:
    """Return the ground truth, before any image is localized, so that an error is noticed before hours of work.

    Raises:
        ValueError: it is not available, or none was named but `align` needs it.
    """
    needed = None if plan.truth.transform else 1  # transforms are looked up at every image
    times_ns = list(islice(read_stamps(bag), needed))
    if not times_ns:
        return None  # nothing to compare
    truth = find_truth(plan.truth, bag, times_ns)
    if plan.align and truth is None:
        raise ValueError("--align needs ground truth")
    return truth


def read_stamps(bag: IndexedBag) -> Iterator[int]:
    """Yield the times [ns] of images; damaged ones are named when they are tried."""
    for recorded in bag.recording.messages(bag.topics.images):
        with suppress(ValueError):
            yield stamp_ns(recorded.message())


def summarize_run(
    bag: IndexedBag,
    plan: EvaluationPlan,
    truth: Truth | None,
    estimates: list[Estimate],
    about: dict[str, Any],
) -> Run:
    """Score the estimates and summarize them. `about` says how they were made."""
    frames = judge_estimates(estimates, truth, plan.align)
    base = plan.robot.base_frame
    odometry = summarize_odometry(bag, [e.stamp_ns for e in estimates if e.tried])
    summary = {
        "bag": bag.recording.path.resolve().name,
        **about,
        "ground_truth": str(plan.truth),
        "ground_truth_frame": truth.frame if truth else "",
        "ground_truth_complaint": "" if plan.align else explain_common_offset(frames, bag.transforms, base),
        "alignment": ALIGNED if plan.align else AS_PUBLISHED,
        **summarize_frames(frames),
        **summarize_maps(estimates),
        "odometry": odometry,
        **summarize_cameras(estimates),
        "frames_out_of_order": sum(later < earlier for earlier, later in pairwise(list_stamps(estimates))),
        "versions": collect_versions(),
    }
    return Run(bag.recording.path.stem, summary, summarize_latency(frames), frames)


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
