"""Drive through the kitchen with a wrong calibration, or images stamped late: what poses claim, and what is named.

    python -m benchmarks.calibration --data DATA [--json FILE]

Each case is seen twice: images alone, the calibration taken as exact and nothing withheld for it; and by the follower,
as the node runs it, with odometry.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
from tqdm import tqdm

from deviloc_ros.config import Config, TrackingConfig
from deviloc_ros.config_fields import change_config
from deviloc_ros.evaluation import TRUE_POSE
from deviloc_ros.evaluation.covariance import measure_consistency
from deviloc_ros.evaluation.metrics import QueryOutcome, is_wrong_fix
from deviloc_ros.evaluation.protocols.run import Evaluation
from deviloc_ros.evaluation.protocols.scenes import frame_number, load_protocol
from deviloc_ros.evaluation.summary_table import align_table
from deviloc_ros.geometry import pose_difference, rotation_distance_deg, squared_mahalanobis, translation_distance_m
from deviloc_ros.imaging import read_gray
from deviloc_ros.localizer import Localizer
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.sources.colmap import read_model
from deviloc_ros.tracking.follower import Follower
from deviloc_ros.tracking.odometry import Odometry, move_straight
from deviloc_ros.tracking.rig_images import StampedImage
from deviloc_ros.tracking.step import Step

PROTOCOL = "kitchen-36"
FRAME_NS = 33_333_333  # 7-Scenes was taken at 30 Hz
UNCHECKED = {"max_focal_error": 100.0, "focal_std": 1e-6, "principal_point_std_px": 1e-6, "distortion_std": 1e-6}


@dataclass(frozen=True, slots=True)
class WrongCase:
    """Say what is wrong: a change of the intrinsics (`Camera.change_intrinsics`), and how late images are stamped."""

    name: str
    change: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    late_ns: int = 0


CASES = (
    WrongCase("nothing"),
    WrongCase("principal point +5 px", (0.0, 5.0, 0.0, 0.0)),
    WrongCase("principal point +15 px", (0.0, 15.0, 0.0, 0.0)),
    WrongCase("principal point +50 px", (0.0, 50.0, 0.0, 0.0)),
    WrongCase("k1 +0.03", (0.0, 0.0, 0.0, 0.03)),
    WrongCase("k1 +0.1", (0.0, 0.0, 0.0, 0.1)),
    WrongCase("k1 +0.3", (0.0, 0.0, 0.0, 0.3)),
    WrongCase("focal length -3 %", (float(np.log(0.97)), 0.0, 0.0, 0.0)),
    WrongCase("images stamped 133 ms late", late_ns=4 * FRAME_NS),
)


def measure_wrong_calibrations(data: Path, every: int = 1) -> list[dict[str, Any]]:
    """Return the figures of each case.

    Raises:
        SourceError: the data is not there.
    """
    evaluation = Evaluation(load_protocol(PROTOCOL, data), Config(), remember_matches=True)
    (fold,) = evaluation.protocol.folds
    images = [image for image in read_drive(data) if image.name not in {i.name for i in fold.map_images}][::every]
    with tempfile.TemporaryDirectory() as folder:
        path = evaluation.build_fold(fold.map_images, Path(folder) / "map", Config(), None)
        localizer = evaluation.open_localizer(path)
        return [measure_case(case, evaluation, localizer, images) for case in tqdm(CASES, unit="case")]


def read_drive(data: Path) -> list[PosedImage]:
    """Return the images of the sequence that is not mapped, in order."""
    folder = data / "7scenes/redkitchen"
    images = [image for image in read_model(folder / "sfm_gt", folder).images if image.name.startswith("seq-02")]
    return sorted(images, key=frame_number)


def measure_case(
    case: WrongCase, evaluation: Evaluation, localizer: Localizer, images: list[PosedImage]
) -> dict[str, Any]:
    """Return what became of the images alone, and of the drive."""
    seen = [replace(image, camera=image.camera.change_intrinsics(np.array(case.change))) for image in images]
    checked = localizer.config
    localizer.config = change_config(checked, pose=UNCHECKED)
    alone = [evaluation.localize_query(localizer, image, TRUE_POSE) for image in seen]
    localizer.config = checked
    follower = Follower(localizer, TrackingConfig())
    steps, named_after, complaint = [], None, ""
    for step in drive(follower, seen, case.late_ns):
        steps.append(step)
        complaint = follower.calibration_complaint
        if complaint and named_after is None:
            named_after = len(steps)
    localizer.config = checked
    return {
        "case": case.name,
        "images": len(images),
        "alone": summarize_alone(alone),
        "followed": summarize_steps(steps, images),
        "followed_once_named": summarize_steps(steps[named_after:], images[named_after:]) if named_after else None,
        "named_after_images": named_after,
        "named": complaint,
    }


def drive(follower: Follower, images: list[PosedImage], late_ns: int) -> Iterator[Step]:
    """Follow the images, with odometry that is exact, by the stamps that they are given."""
    times_ns = [frame_number(image) * FRAME_NS + 1_000_000_000 for image in images]
    odometry: Odometry | None = None
    for image, time_ns in zip(images, times_ns, strict=True):
        stamp_ns = time_ns + late_ns
        pose = pose_at(images, times_ns, stamp_ns)
        odometry = Odometry(pose) if odometry is None else move_straight(odometry, pose)
        stamped = StampedImage(stamp_ns, read_gray(image.path), image.camera, pycolmap.Rigid3d())
        yield follower.follow([stamped], lambda *_, now=odometry: now, stamp_ns)


def pose_at(images: list[PosedImage], times_ns: list[int], time_ns: int) -> pycolmap.Rigid3d:
    """Return the true pose world_from_cam at a time, the last one after the end."""
    after = int(np.searchsorted(times_ns, time_ns))
    if after == len(times_ns) or times_ns[after] == time_ns or after == 0:
        return images[min(after, len(images) - 1)].cam_from_world.inverse()
    share = (time_ns - times_ns[after - 1]) / (times_ns[after] - times_ns[after - 1])
    before, then = (images[number].cam_from_world.inverse() for number in (after - 1, after))
    return pycolmap.Rigid3d.interpolate(before, then, share)


def summarize_alone(outcomes: list[QueryOutcome]) -> dict[str, Any]:
    """Return the figures of images by themselves."""
    given = [outcome for outcome in outcomes if outcome.localized]
    return summarize_poses(
        [o.nees for o in given], [o.translation_m for o in given], sum(o.is_wrong_fix for o in given)
    )


def summarize_steps(steps: list[Step], images: list[PosedImage]) -> dict[str, Any]:
    """Return the figures of the poses that a follower believed."""
    nees, errors_m, wrong = [], [], 0
    for step, image in zip(steps, images, strict=True):
        if step.fix is None:
            continue
        truth, found = image.cam_from_world.inverse(), step.fix.map_from_base
        nees.append(squared_mahalanobis(pose_difference(found, truth), step.fix.covariance))
        errors_m.append(translation_distance_m(found.inverse(), truth.inverse()))
        wrong += is_wrong_fix(errors_m[-1], rotation_distance_deg(found.inverse(), truth.inverse()))
    reasons = [step.status.word for step in steps if step.fix is None]
    return summarize_poses(nees, errors_m, wrong) | {
        "withheld": {word: reasons.count(word) for word in sorted(set(reasons))}
    }


def summarize_poses(nees: list[float], errors_m: list[float], wrong: int) -> dict[str, Any]:
    """Return how many poses there are, how far off, and how that compares with what they claim."""
    median_m = float(np.median(errors_m)) if errors_m else None
    return {"given": len(nees), "wrong": wrong, "median_error_m": median_m, **measure_consistency(nees)}


def render_table(cases: list[dict[str, Any]]) -> str:
    """Return the figures as Markdown."""
    head = ["what is wrong", "images alone", "wrong", "error", "NEES", "followed", "wrong", "NEES", "NEES once named"]
    rows = []
    for case in cases:
        alone, followed, once = case["alone"], case["followed"], case["followed_once_named"]
        rows.append(
            [
                case["case"],
                f"{alone['given']} / {case['images']}",
                str(alone["wrong"]),
                f"{100 * alone['median_error_m']:.1f} cm" if alone["given"] else "",
                f"{alone['median_nees_ratio']:.2f}",
                f"{followed['given']} / {case['images']}",
                str(followed["wrong"]),
                f"{followed['median_nees_ratio']:.2f}",
                f"{once['median_nees_ratio']:.2f} ({once['given']})" if once else "",
                f"{case['named_after_images']} images" if case["named_after_images"] else "",
                case["named"],
            ]
        )
    return align_table([*head, "named after", "what is named"], rows)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of 7scenes")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="use every n-th image")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    cases = measure_wrong_calibrations(options.data, options.every)
    if options.json:
        options.json.write_text(json.dumps(cases, indent=1))
    print(render_table(cases))


if __name__ == "__main__":
    main()
