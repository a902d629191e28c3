"""Count how many images of a recording have odometry, and explain why the others have none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from deviloc_ros.bags.bag_index import IndexedBag
from deviloc_ros.bags.transforms import TransformError


def summarize_odometry(bag: IndexedBag, times_ns: Sequence[int]) -> dict[str, Any]:
    """Return for the summary: `images` with odometry, and the `reasons` why others have none, with their counts."""
    reasons: Counter[str] = Counter()
    for time_ns in times_ns:
        try:
            bag.find_odometry(time_ns)
        except TransformError as error:
            reasons[error.reason] += 1
    with_odometry = len(times_ns) - reasons.total()
    hint = "" if with_odometry or not times_ns else explain_none(bag, times_ns)
    return {"images": with_odometry, "reasons": dict(reasons.most_common()), "hint": hint}


def explain_none(bag: IndexedBag, times_ns: Sequence[int]) -> str:
    """Return what would help where no image has odometry; empty where nothing is known to."""
    if clocks := detect_two_clocks(bag, times_ns):
        return clocks
    transforms, robot = bag.transforms, bag.robot
    if robot.odometry_topic or robot.odom_frame in transforms.frames:
        return ""
    above = transforms.above(robot.base_frame)
    named = [frame for frame in transforms.frames if "odom" in frame.rpartition("/")[2]]
    if found := [frame for frame in named if frame in above] or above[:1]:
        return f"{robot.base_frame!r} hangs below {found[0]!r}: give --odom-frame {found[0]}"
    if named:
        return f"there is {', '.join(map(repr, sorted(named)))}: give --odom-frame and --base-frame"
    return "no odometry was recorded in /tf; a topic of it can be given with --odometry-topic"


def detect_two_clocks(bag: IndexedBag, times_ns: Sequence[int]) -> str:
    """Return that images and moving transforms share no moment; empty if they do."""
    span_ns = bag.transforms.span_ns
    if span_ns is None or not times_ns:
        return ""
    first, last = min(times_ns), max(times_ns)
    if last >= span_ns[0] and first <= span_ns[1]:
        return ""
    return (
        f"no image lies within the recording's transforms: images are of {first * 1e-9:.3f} to {last * 1e-9:.3f} s, "
        f"transforms of {span_ns[0] * 1e-9:.3f} to {span_ns[1] * 1e-9:.3f} s; two clocks?"
    )
