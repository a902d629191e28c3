"""Show the worst images beside the views they were matched with; they are localized once more for that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from deviloc_ros.bags.bag_index import IndexedBag
from deviloc_ros.evaluation.recordings.chosen_images import Images, read_stamp
from deviloc_ros.evaluation.recordings.frames import Estimate, JudgedFrame, list_stamps
from deviloc_ros.evaluation.recordings.headline import format_length
from deviloc_ros.evaluation.recordings.offline import localize_again
from deviloc_ros.io.encoded_images import encode_jpeg, to_data_uri
from deviloc_ros.io.match_pictures import draw_best_matches
from deviloc_ros.localizer import Localizer
from deviloc_ros.masks import Masks
from deviloc_ros.status import NotTried
from deviloc_ros.tracking.grouping import GroupedImage
from deviloc_ros.types import Evidence

FIXES, LOST = 4, 2
LONGEST_GROUP_NS = 10_000_000_000  # `rig.window_s` at most
JPEG_QUALITY = 80
NOTHING_MATCHED = "No reference view was matched."


@dataclass(frozen=True, slots=True)
class Picture:
    """Hold the data URI of a JPEG with its caption."""

    uri: str
    title: str
    text: str


def select_worst(frames: list[JudgedFrame]) -> list[JudgedFrame]:
    """Return wrong fixes, then the largest errors, then the middle of each of the longest stretches without a pose."""
    fixes = [f for f in frames if f.localized and f.has_truth]
    fixes.sort(key=lambda f: (not f.is_wrong_fix, -f.translation_m))
    tried = [f for f in frames if f.estimate.tried]
    lost = [list(part) for localized, part in groupby(tried, key=lambda f: f.localized) if not localized]
    lost.sort(key=len, reverse=True)
    return fixes[:FIXES] + [part[len(part) // 2] for part in lost[:LOST]]


def make_gallery(
    bag: IndexedBag, frames: list[JudgedFrame], localizers: Sequence[Localizer], masks: Masks | None = None
) -> Iterator[Picture]:
    """Yield pictures of the worst frames, each beside views of the map it was found in."""
    start_ns = min(list_stamps(f.estimate for f in frames), default=0)
    for frame in select_worst(frames):
        e = frame.estimate
        group = find_images(bag, e)
        if not group:
            continue
        localizer = next((one for one in localizers if one.map.name == e.map_name), localizers[0])
        try:
            pixels, evidence = localize_again(localizer, bag, group, e.prior, masks)
        except NotTried:
            continue
        title = f"{(e.stamp_ns - start_ns) * 1e-9:.2f} s: {frame_verdict(frame)}"
        text = describe_frame(frame, name_best_view(evidence)) if evidence.references else NOTHING_MATCHED
        picture = draw_best_matches(pixels, evidence, localizer.map.view_named)
        yield Picture(to_data_uri(encode_jpeg(picture, JPEG_QUALITY)), title, text)


def find_images(bag: IndexedBag, estimate: Estimate) -> Images:
    """Return the images that an estimate is of: that received with it, or those of a rig, which came before."""
    stamps = {(report.name, report.stamp_ns) for report in estimate.cameras}
    start_ns = estimate.received_ns - (LONGEST_GROUP_NS if stamps else 0)
    found = []
    for message in bag.recording.messages(bag.topics.images, start_ns, estimate.received_ns + 1):
        camera, time_ns = bag.topics.camera_of(message.topic), read_stamp(message)
        if not stamps or (camera, time_ns) in stamps:
            found.append(GroupedImage(camera, time_ns, message.time_ns, message))
    return sorted(found, key=lambda image: image.stamp_ns) if stamps else found[:1]


def name_best_view(evidence: Evidence) -> str:
    """Return the names of the views that gave most inliers, one for each camera."""
    own = [report.evidence for report in evidence.cameras if report.evidence] or [evidence]
    return ", ".join(each.references[each.inlying.main_reference] for each in own if each.references)


def frame_verdict(frame: JudgedFrame) -> str:
    """Say in half a line what became of an image."""
    if not frame.localized:
        return f"no pose ({frame.estimate.status.sentence})"
    wrong = "WRONG FIX, " if frame.is_wrong_fix else ""
    return f"{wrong}{format_length(frame.translation_m)} and {frame.rotation_deg:.2f} deg off"


def describe_frame(frame: JudgedFrame, view: str) -> str:
    """Name the inliers, what the pose itself claims, and the view beside it."""
    e = frame.estimate
    claim = f", one standard deviation claimed {format_length(frame.std_m)}" if frame.std_m == frame.std_m else ""
    return f"{e.inliers} inliers ({e.inlier_ratio:.0%}) over {e.coverage:.0%} of the image{claim}. Beside it {view}."
