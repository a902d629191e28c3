"""Make an office building: on each storey a corridor of equal doors, and offices of one furniture, other posters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import pycolmap

from deviloc_ros.synthetic import textures
from deviloc_ros.synthetic.scene import Texture
from deviloc_ros.synthetic.twins import (
    MODULE_M,
    WIDTH_M,
    ScenePlace,
    drive_along,
    drive_around,
    hang_poster,
    make_corridor,
    make_furnished_room,
)

STOREYS, STOREY_M = 2, 4.0
WALL_M = 0.5  # between corridor and offices
END_M = 1.0  # of a corridor, where no view is taken
POSTER_SHARES = (0.25, 0.85)  # where along its far wall each of two posters hangs in an office
OFFICE_SPAN = 0.5  # of the closed path through an office


@dataclass(frozen=True, slots=True)
class BuildingPlan:
    """Say how large a building is and how densely it is mapped.

    modules: doors along a corridor. offices: on a storey. step_m: between views in a corridor. office_views: of each.
    """

    modules: int = 20
    offices: int = 10
    step_m: float = 0.4
    office_views: int = 21


@dataclass(frozen=True, slots=True, eq=False)
class Building:
    """Hold the corridors and offices of a building, storey after storey."""

    plan: BuildingPlan
    seed: int
    corridors: list[ScenePlace]
    offices: list[ScenePlace]

    def list_views(self) -> Iterator[tuple[ScenePlace, pycolmap.Rigid3d]]:
        """Yield each view that is mapped: corridors forth and back, offices along half of a closed path."""
        length_m, sway = MODULE_M * self.plan.modules, np.random.default_rng(self.seed)
        count = round((length_m - 2 * END_M) / self.plan.step_m)
        for corridor, forth in product(self.corridors, (True, False)):
            start_m, step_m = (END_M, self.plan.step_m) if forth else (length_m - END_M, -self.plan.step_m)
            yield from ((corridor, pose) for pose in drive_along(corridor, start_m, step_m, count, sway))
        for office in self.offices:
            yield from ((office, pose) for pose in self.walk_office(office)[::2])

    def walk_office(self, office: ScenePlace) -> list[pycolmap.Rigid3d]:
        """Return poses through an office; every second one is mapped, from the first on."""
        return drive_around(office, self.seed, 2 * self.plan.office_views, OFFICE_SPAN)


def make_building(seed: int, plan: BuildingPlan) -> Building:
    """Make a building whose corridors differ in their ends and notices, and its offices in two posters each."""
    corridors, offices = [], []
    for storey in range(STOREYS):
        notices = range(4 + storey, plan.modules, 6)
        scene = make_corridor(seed, plan.modules, notices, np.random.default_rng([seed, storey]))
        corridors.append(ScenePlace(scene, (0.0, 0.0, storey * STOREY_M)))
        for number in range(plan.offices):
            along_m = number * plan.modules * MODULE_M / plan.offices
            office = make_furnished_room(seed)
            for share in POSTER_SHARES:
                rng = np.random.default_rng([seed, storey, number, round(100 * share)])
                hang_poster(office, Texture(textures.draw_poster(rng)), share)
            offices.append(ScenePlace(office, (along_m, WIDTH_M + WALL_M, storey * STOREY_M)))
    return Building(plan, seed, corridors, offices)
