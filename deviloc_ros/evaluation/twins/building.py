"""Drive through a rendered office building, a thousand views of doors and offices that look alike.

The building is rendered and mapped once, into the cache.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from deviloc_ros.config import Config, TrackingConfig
from deviloc_ros.evaluation.summary_table import align_table
from deviloc_ros.evaluation.twins.run import (
    CARRIED_M_PER_S,
    DriveCase,
    Leg,
    Moment,
    count_published,
    is_wrong,
    list_moments,
    make_hint,
    take_step,
)
from deviloc_ros.evaluation.twins.scenes import (
    CAMERA,
    RENDERED_RATE_HZ,
    SEED,
    TwinFrame,
    build_rendered_map,
    make_rendered_frame,
)
from deviloc_ros.geometry import translation_distance_m
from deviloc_ros.localizer import Localizer
from deviloc_ros.maps.store import Map
from deviloc_ros.sfm.map_networks import Networks
from deviloc_ros.synthetic.building import Building, BuildingPlan, make_building
from deviloc_ros.synthetic.twins import MODULE_M, ScenePlace, drive_along
from deviloc_ros.tracking.follower import Follower
from deviloc_ros.tracking.step import Step

CASES = [DriveCase(hint=True, odometry=True, event=""), DriveCase(False, True, ""), DriveCase(False, False, "")]
STEP_M = 0.25  # between images in a corridor: 1.25 m/s
KIDNAPPINGS, IMAGES_AFTER = 10, 12
FIGURES = "built.json"


def evaluate_building(
    config: Config,
    tracking: TrackingConfig,
    folder: Path,
    keep: Callable[[dict[str, Any]], object] = lambda figures: None,
) -> dict[str, Any]:
    """Return the size of the map and the counts of every case.

    Args:
        folder: where the building is kept, or made.
        keep: gets the figures so far after each case, which takes long.
    """
    building = make_building(SEED, BuildingPlan())
    built = map_building(building, folder, Networks(config))
    reference_map = Map.open(folder / "building.map")
    legs = list(list_legs(building))
    figures: dict[str, Any] = {"views": len(reference_map), "map_mb": reference_map.size_bytes / 1e6, **built}
    cases = figures["cases"] = []
    for case in CASES:
        follower = Follower(Localizer(reference_map, config), tracking)
        moments = list(list_moments(legs, RENDERED_RATE_HZ, odometry=case.odometry))
        if case.hint:
            follower.hint(make_hint(moments[0]))
        progress = tqdm(moments, desc=str(case), unit="image", dynamic_ncols=True)
        steps = [take_step(follower, moment, CAMERA) for moment in progress]
        took_ms = [sum(s.stages_ms.values()) for m, s in zip(moments, steps, strict=True) if m.frame]
        found_after_s = measure_recovery(legs, moments, steps)
        cases.append(
            {
                "name": str(case),
                **count_published(moments, steps),
                "found_after_s": found_after_s,
                "found": sum(seconds is not None for seconds in found_after_s),
                "median_ms": float(np.median(took_ms)),
                "p95_ms": float(np.percentile(took_ms, 95)),
            }
        )
        keep(figures)
    return figures


def map_building(building: Building, folder: Path, networks: Networks) -> dict[str, float]:
    """Render and map a building unless it is there, and return what that took: `build_s`, wall-clock seconds."""
    figures = folder / FIGURES
    if not figures.is_file():
        before = time.monotonic()
        build_rendered_map("building", list(building.list_views()), folder, networks, quiet=False)
        figures.write_text(json.dumps({"build_s": time.monotonic() - before}))
    return json.loads(figures.read_text())


def list_legs(building: Building) -> Iterator[Leg]:
    """Yield the drive: a corridor, an office, back, the storey above; then the robot is carried to ten other places."""
    sway, length_m = np.random.default_rng([SEED, 1]), MODULE_M * building.plan.modules
    ground, above = building.corridors
    drives = [
        frame_corridor(ground, 0.13 * length_m, STEP_M, round(0.3 * length_m / STEP_M), sway),
        frame_office(building, len(building.offices) // 4),
        frame_corridor(ground, 0.67 * length_m, -STEP_M, round(0.2 * length_m / STEP_M), sway),
        frame_corridor(above, 0.5 * length_m, STEP_M, round(0.2 * length_m / STEP_M), sway),
    ]
    yield Leg([frame for drive in drives for frame in drive])
    before = drives[-1][-1]
    for number in range(KIDNAPPINGS):
        if number % 2:
            frames = frame_office(building, int(sway.integers(len(building.offices))))[:IMAGES_AFTER]
        else:
            corridor = building.corridors[int(sway.integers(len(building.corridors)))]
            start_m = sway.uniform(0.1, 0.85) * length_m
            frames = frame_corridor(corridor, start_m, STEP_M, IMAGES_AFTER, sway)
        carried_m = translation_distance_m(before.cam_from_world, frames[0].cam_from_world)
        covered = [None] * round(carried_m / CARRIED_M_PER_S * RENDERED_RATE_HZ)
        yield Leg([*covered, *frames], is_carried=True)
        before = frames[-1]


def frame_corridor(
    corridor: ScenePlace, start_m: float, step_m: float, count: int, sway: np.random.Generator
) -> list[TwinFrame]:
    """Return images along a corridor."""
    return [make_rendered_frame(corridor, pose) for pose in drive_along(corridor, start_m, step_m, count, sway)]


def frame_office(building: Building, number: int) -> list[TwinFrame]:
    """Return images through an office, those between its mapped views."""
    office = building.offices[number]
    return [make_rendered_frame(office, pose) for pose in building.walk_office(office)[1::2]]


def measure_recovery(legs: list[Leg], moments: list[Moment], steps: list[Step]) -> list[float | None]:
    """Return, for each time that the robot was carried off, the seconds from its first image to a right pose."""
    found, start = [], 0
    for leg in legs:
        there = list(zip(moments[start : start + len(leg.frames)], steps[start : start + len(leg.frames)], strict=True))
        start += len(leg.frames)
        if not leg.is_carried:
            continue
        seen = [(moment, step) for moment, step in there if moment.frame is not None]
        right = [m for m, s in seen if m.frame and s.fix and not is_wrong(s.fix.map_from_base, m.frame)]
        found.append((right[0].stamp_ns - seen[0][0].stamp_ns) * 1e-9 if right else None)
    return found


def format_figures(figures: dict[str, Any]) -> str:
    """Return the figures for a terminal: the map, then a line for each case."""
    columns = ("usable", "published", "wrong", "right", "ambiguous", "first_right_s", "found", "median_ms", "p95_ms")
    rows = [
        (one["name"], *(f"{one[name]:.4g}" if one[name] is not None else "-" for name in columns))
        for one in figures["cases"]
    ]
    size = f"{figures['views']} views, {figures['map_mb']:.0f} MB, built in {figures['build_s']:.0f} s; "
    return f"{size}carried off {KIDNAPPINGS} times\n{align_table(('case', *columns), rows)}"
