"""Let a map grow by what a robot keeps on one drive, and localize images of another before and after."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap

from deviloc_ros.config import Config, ContributeConfig, TrackingConfig
from deviloc_ros.config_fields import change_config
from deviloc_ros.evaluation import GLOBAL
from deviloc_ros.evaluation.protocols.run import Evaluation
from deviloc_ros.evaluation.protocols.scenes import EvaluationProtocol, frame_number, load_protocol
from deviloc_ros.evaluation.summary_table import align_table
from deviloc_ros.imaging import read_gray
from deviloc_ros.localizer import Localizer
from deviloc_ros.mapping.build import build_map
from deviloc_ros.mapping.contributed import add_contributions
from deviloc_ros.maps.store import Map
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.sources.colmap import read_model
from deviloc_ros.sources.contributions import Contribution, pack_contribution, read_contributions, write_contribution
from deviloc_ros.tracking.contributor import Contributor
from deviloc_ros.tracking.follower import Follower
from deviloc_ros.tracking.odometry import Odometry
from deviloc_ros.tracking.rig_images import StampedImage

PROTOCOL, LIFTS = "kitchen-72", ("pin", "landmarks-only")
DISTURBED_M = 0.2
START_NS, PERIOD_NS = 1_700_000_000_000_000_000, 266_666_667  # every eighth image of 30 a second


def evaluate_living_map(data: Path, config: Config) -> dict[str, Any]:
    """Return what kitchen-72 gives before and after it grew by the half of seq-02 that it does not ask for.

    And what becomes of the same contributions with each pose disturbed by 20 cm.

    Raises:
        SourceError: the data is not there.
    """
    protocol = load_protocol(PROTOCOL, data)
    drive = load_drive(data)
    with tempfile.TemporaryDirectory() as folder:
        cases = [evaluate_lift(protocol, drive, change_lift(config, lift), Path(folder) / lift) for lift in LIFTS]
    return {"protocol": PROTOCOL, "images_followed": len(drive), "cases": cases}


def change_lift(config: Config, lift: str) -> Config:
    """Return `config` with another lifting method."""
    return change_config(config, lift={"method": lift})


def load_drive(data: Path) -> list[PosedImage]:
    """Load the frames of seq-02 that lie between the queries of kitchen-72."""
    scene = data / "7scenes/redkitchen"
    images = [image for image in read_model(scene / "sfm_gt", scene).images if image.name.startswith("seq-02")]
    return [image for image in images if frame_number(image) % 8 == 4]


def evaluate_lift(
    protocol: EvaluationProtocol, drive: Sequence[PosedImage], config: Config, folder: Path
) -> dict[str, Any]:
    """Return the summaries before and after for one lifting method, and what was kept, added and refused."""
    path, kept, disturbed = folder / "kitchen.map", folder / "kept", folder / "disturbed"
    build_map(protocol.folds[0].map_images, path, config, quiet=True)
    evaluation = Evaluation(protocol, config)
    before = evaluation.run_in_map(Map.open(path), config, GLOBAL)
    images_kept = follow_drive(Localizer(Map.open(path)), drive, kept)
    disturb_contributions(kept, disturbed)
    wrong = add_contributions(path, disturbed, quiet=True)
    right = add_contributions(path, kept, quiet=True)
    return {
        "lift": config.lift.method,
        "kept": images_kept,
        "disturbed_refused": [entry.name for entry in wrong.refused],
        "disturbed_added": wrong.added,
        "refused": {entry.name: entry.why for entry in right.refused},
        "added": right.added,
        "before": before,
        "after": evaluation.run_in_map(Map.open(path), config, GLOBAL),
    }


def follow_drive(localizer: Localizer, drive: Sequence[PosedImage], kept: Path) -> int:
    """Follow a robot with exact odometry, as the node does, and return how many images it keeps."""
    follower = Follower(localizer, TrackingConfig(), contributor=Contributor(kept, ContributeConfig()))
    start_from_world = drive[0].cam_from_world
    for number, image in enumerate(drive):
        odometry = Odometry(start_from_world * image.cam_from_world.inverse())
        stamp_ns = START_NS + number * PERIOD_NS
        seen = StampedImage(stamp_ns, read_gray(image.path), image.camera, pycolmap.Rigid3d())
        follower.follow([seen], lambda *_, known=odometry: known, stamp_ns)
    return len(read_contributions(kept)[0])


def disturb_contributions(kept: Path, disturbed: Path) -> None:
    """Write copies whose cameras stand 20 cm from where they stood, each in another direction."""
    disturbed.mkdir()
    rng = np.random.default_rng(0)
    for entry in read_contributions(kept)[0]:
        moved = move_contribution(entry, rng.normal(size=3))
        write_contribution(disturbed, entry.name, pack_contribution(moved, read_gray(entry.path), None))


def move_contribution(entry: Contribution, direction: np.ndarray) -> Contribution:
    """Return a contribution whose camera stands `DISTURBED_M` in a direction from where it stood."""
    there_from_world = pycolmap.Rigid3d(pycolmap.Rotation3d(), -DISTURBED_M * direction / np.linalg.norm(direction))
    return replace(entry, cam_from_world=entry.cam_from_world * there_from_world)


def format_cases(figures: dict[str, Any]) -> str:
    """Return a table with a line for each map, and a sentence on what was kept, added and refused."""
    titles = ("map", "lift", "views", "localized", "wrong", "median", "1cm 1deg", "2cm 2deg", "inliers")
    rows, words = [], []
    for case in figures["cases"]:
        for when in ("before", "after"):
            rows.append((when, case["lift"], *format_summary(case[when])))
        words.append(
            f"{case['lift']}: of {figures['images_followed']} images {case['kept']} were kept and {case['added']} "
            f"added; disturbed by {100 * DISTURBED_M:.0f} cm {len(case['disturbed_refused'])} are refused by name, "
            f"{case['disturbed_added']} added"
        )
    return "\n".join([align_table(titles, rows), *words])


def format_summary(summary: dict[str, Any]) -> tuple[str, ...]:
    """Return the figures of one run as words."""
    return (
        str(summary["map"]["views"]),
        f"{summary['localized']} / {summary['queries']}",
        str(summary["wrong_fixes"]),
        f"{100 * summary['median_translation_m']:.2f} cm",
        *(f"{summary['recall'][name]:.2f}" for name in ("1cm_1deg", "2cm_2deg")),
        f"{summary['median_inliers']:.0f}",
    )
