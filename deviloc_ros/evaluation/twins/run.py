"""Drive through each scene in several cases, with less and less prior knowledge, and count published poses."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
from tqdm import tqdm

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config, TrackingConfig
from deviloc_ros.evaluation.metrics import is_wrong_fix
from deviloc_ros.evaluation.protocols.run import RememberingMatcher
from deviloc_ros.evaluation.summary_table import align_table
from deviloc_ros.evaluation.twins.scenes import TwinFrame, TwinScene, load_pixels, make_twin_scenes
from deviloc_ros.geometry import isotropic_covariance, rotation_distance_deg, translation_distance_m
from deviloc_ros.localizer import Localizer
from deviloc_ros.maps.store import Map
from deviloc_ros.matching import create_matcher
from deviloc_ros.sfm.map_networks import Networks
from deviloc_ros.status import Status
from deviloc_ros.tracking.fix import Fix
from deviloc_ros.tracking.follower import Follower
from deviloc_ros.tracking.odometry import Odometry, move_straight
from deviloc_ros.tracking.rig_images import StampedImage
from deviloc_ros.tracking.step import Step

EVENTS = ("", "blanks", "kidnapped")
BLANKS = (5, 6, 11, 12)  # frames of a drive that show nothing
KIDNAPPED_AFTER = 8  # images; the drive ends there
CARRIED_M_PER_S = 1.5  # while the camera is covered
DRIFT = 0.01  # of odometry, by length
HINT_ERROR_M, HINT_STD_M, HINT_STD_DEG = 0.4, 0.5, 10.0
COVERED = 40  # gray value of what a covered camera sees
START_NS = 1_000_000_000
IDENTITY = pycolmap.Rigid3d()  # the robot's base is its camera


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """Hold an image on a drive, None where it shows nothing, and what odometry says."""

    stamp_ns: int
    frame: TwinFrame | None
    odometry: Odometry | None


@dataclass(frozen=True, slots=True, eq=False)
class Leg:
    """Hold a part of a drive, None where an image shows nothing. Odometry does not feel how a robot is carried."""

    frames: list[TwinFrame | None]
    is_carried: bool = False


@dataclass(frozen=True, slots=True)
class DriveCase:
    """Define a case: what is known on a drive, and what happens on it."""

    hint: bool
    odometry: bool
    event: str

    def __str__(self) -> str:
        known = [name for name, there in (("hint", self.hint), ("odometry", self.odometry)) if there]
        return ", ".join([*(known or ["nothing known"]), *([self.event] if self.event else [])])


CASES = [DriveCase(*values) for values in product((True, False), (True, False), EVENTS)]


def evaluate_twins(data: Path, config: Config, tracking: TrackingConfig) -> dict[str, Any]:
    """Return the counts of every case of every scene."""
    with tempfile.TemporaryDirectory() as folder:
        matcher = RememberingMatcher(create_matcher(config.matcher), remember_matches=True)
        cases = []
        for scene in make_twin_scenes(data, Path(folder), Networks(config, matcher)):
            cases += list(run_scene(scene, config, tracking, matcher))
    return {"cases": cases}


def run_scene(
    scene: TwinScene, config: Config, tracking: TrackingConfig, matcher: RememberingMatcher
) -> Iterator[dict[str, Any]]:
    """Run each case of a scene; the images are looked at once."""
    localizer = Localizer(Map.open(scene.map_folder), config)
    localizer.matcher = matcher
    scene = replace(scene, drive=list(map(load_pixels, scene.drive)), elsewhere=list(map(load_pixels, scene.elsewhere)))
    for case in tqdm(CASES, desc=scene.name, unit="case", dynamic_ncols=True):
        yield {"name": f"{scene.name}: {case}", **run_case(scene, case, localizer, tracking)}


def run_case(scene: TwinScene, case: DriveCase, localizer: Localizer, tracking: TrackingConfig) -> dict[str, Any]:
    """Drive once, and count."""
    follower, steps = Follower(localizer, tracking), []
    moments = list(list_moments(list_legs(scene, case.event), scene.rate_hz, odometry=case.odometry))
    if case.hint:
        follower.hint(make_hint(moments[0]))
    for moment in moments:
        steps.append(take_step(follower, moment, scene.camera))
    return count_published(moments, steps)


def take_step(follower: Follower, moment: Moment, camera: Camera) -> Step:
    """Follow with one image; the decision is made at the time of the image."""
    pixels = moment.frame.load() if moment.frame else np.full((camera.height, camera.width), COVERED, np.uint8)
    image = StampedImage(moment.stamp_ns, pixels, camera, IDENTITY)
    return follower.follow([image], lambda *_: moment.odometry, moment.stamp_ns)


def list_legs(scene: TwinScene, event: str) -> list[Leg]:
    """Return the drive through a scene as an event makes it."""
    if event != "kidnapped":
        hidden = BLANKS if event == "blanks" else ()
        return [Leg([None if number in hidden else frame for number, frame in enumerate(scene.drive)])]
    covered = [None] * count_carried_frames(scene)
    return [Leg([*scene.drive[:KIDNAPPED_AFTER]]), Leg([*covered, *scene.elsewhere], is_carried=True)]


def list_moments(legs: list[Leg], rate_hz: float, *, odometry: bool) -> Iterator[Moment]:
    """Yield a drive as the robot sees it."""
    rng, travelled, before, number = np.random.default_rng(0), Odometry(IDENTITY), None, 0
    for leg in legs:
        felt = not leg.is_carried
        for frame in leg.frames:
            if frame is not None:
                if felt and before is not None:
                    travelled = move_straight(travelled, travelled.odom_from_base * feel_motion(before, frame, rng))
                before, felt = frame, True
            yield Moment(START_NS + round(number * 1e9 / rate_hz), frame, travelled if odometry else None)
            number += 1


def count_carried_frames(scene: TwinScene) -> int:
    """Return how many images are taken while the robot is carried to the other place."""
    start, end = scene.drive[KIDNAPPED_AFTER - 1].cam_from_world, scene.elsewhere[0].cam_from_world
    return round(translation_distance_m(start, end) / CARRIED_M_PER_S * scene.rate_hz)


def feel_motion(before: TwinFrame, after: TwinFrame, rng: np.random.Generator) -> pycolmap.Rigid3d:
    """Return the motion between two frames by odometry."""
    moved = before.cam_from_world * after.cam_from_world.inverse()
    error = rng.normal(0, DRIFT, 3)
    turned = moved.rotation * pycolmap.Rotation3d(error * moved.rotation.angle())
    return pycolmap.Rigid3d(turned, moved.translation * (1 + error[0]))


def make_hint(moment: Moment) -> Fix:
    """Return a hint of where the robot is at the start."""
    assert moment.frame is not None
    truth = moment.frame.cam_from_world.inverse()
    guess = pycolmap.Rigid3d(truth.rotation, truth.translation + np.array([HINT_ERROR_M, 0.0, 0.0]))
    return Fix(moment.stamp_ns, guess, isotropic_covariance(HINT_STD_M, np.radians(HINT_STD_DEG)), moment.odometry)


def count_published(moments: list[Moment], steps: list[Step]) -> dict[str, Any]:
    """Count what was published, right and wrong.

    usable: images that show something. first_right_s: from the start; None if no right pose was published.
    """
    published = [(moment, step.fix) for moment, step in zip(moments, steps, strict=True) if step.fix is not None]
    right = [moment for moment, fix in published if moment.frame and not is_wrong(fix.map_from_base, moment.frame)]
    return {
        "usable": sum(moment.frame is not None for moment in moments),
        "published": len(published),
        "wrong": len(published) - len(right),
        "right": len(right),
        "ambiguous": sum(step.status is Status.AMBIGUOUS for step in steps),
        "first_right_s": (right[0].stamp_ns - moments[0].stamp_ns) * 1e-9 if right else None,
        "statuses": dict(Counter(step.status.word for step in steps)),
    }


def format_cases(figures: dict[str, Any]) -> str:
    """Return a table for a terminal, a line for each case."""
    columns = ("usable", "published", "wrong", "right", "ambiguous", "first_right_s")
    rows = [
        (one["name"], *(f"{one[name]:g}" if one[name] is not None else "-" for name in columns))
        for one in figures["cases"]
    ]
    return align_table(("case", *columns), rows)


def is_wrong(map_from_base: pycolmap.Rigid3d, frame: TwinFrame) -> bool:
    """Return whether a published pose is in another place, or turned."""
    cam_from_world = map_from_base.inverse()
    return is_wrong_fix(
        translation_distance_m(cam_from_world, frame.cam_from_world),
        rotation_distance_deg(cam_from_world, frame.cam_from_world),
    )
