"""Map the kitchen from what robots have: posed images, odometry that drifts, images alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

PROTOCOL = "kitchen-12"
POSED = "--colmap {kitchen}/sfm_gt --images {kitchen} --only seq-01/* "
DRIVE = f"simulate-bag {POSED} --rate-hz 7.5 --truth cameras.tum "
FROM_DRIVE = "--odom-topic /odom --keyframe-m 0 --every 3 "
ALONE = "build-map --images {kitchen} --only seq-01/*.color.jpg --every 3 "
CAMERA = "--camera SIMPLE_RADIAL,640,480,525.75,319.5,239.5,-0.0273"
RIGIDLY = "map align {map} --poses cameras.tum --rigid"
ONTO_MODEL = "map align {map} --colmap {kitchen}/sfm_gt"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Say how a map is made: commands, in order, in a folder that all recipes share.

    map: its folder; a recipe may go on with the map of the one before it.
    """

    name: str
    map: str
    commands: tuple[str, ...]


RECIPES = (
    Recipe("given poses", "given.map", (f"build-map {POSED} --every 3 --output given.map",)),
    Recipe(
        "1 % drift, refined, unaligned",
        "drive.map",
        (f"{DRIVE} --output drive", f"build-map --bag drive {FROM_DRIVE} --output drive.map"),
    ),
    Recipe("the same, rigidly aligned", "drive.map", (RIGIDLY,)),
    Recipe(
        "the same drift as it is, unaligned",
        "bent.map",
        (f"build-map --bag drive {FROM_DRIVE} --no-refine-poses --output bent.map",),
    ),
    Recipe("images alone, camera known", "alone.map", (f"{ALONE} {CAMERA} --output alone.map", ONTO_MODEL)),
    Recipe("images alone, camera estimated", "guessed.map", (f"{ALONE} --output guessed.map", ONTO_MODEL)),
    Recipe(
        "5 % drift, refined, unaligned",
        "far.map",
        (f"{DRIVE} --drift 0.05 --output far", f"build-map --bag far {FROM_DRIVE} --output far.map"),
    ),
    Recipe(
        "5 % drift as it is, unaligned",
        "farther.map",
        (f"build-map --bag far {FROM_DRIVE} --no-refine-poses --output farther.map",),
    ),
    Recipe(
        "1 % drift whose scale is off by 2 %, refined, unaligned",
        "scaled.map",
        (f"{DRIVE} --seed 3 --output scaled", f"build-map --bag scaled {FROM_DRIVE} --output scaled.map"),
    ),
    Recipe("the same scale, rigidly aligned", "scaled.map", (RIGIDLY,)),
)


def fill_commands(recipe: Recipe, data: Path) -> list[list[str]]:
    """Return the words of a recipe's commands, placeholders replaced."""
    values = {"kitchen": data / "7scenes" / "redkitchen", "map": recipe.map}
    return [[word.format(**values) for word in command.split()] for command in recipe.commands]


def measure_recipes(data: Path, every: int, recipes: tuple[Recipe, ...] = RECIPES) -> list[dict[str, Any]]:
    """Return a summary of the queries on each map, with the seconds of CPU a view and the memory that building took.

    Raises:
        ValueError: a command failed; its own message is shown before.
    """
    summaries = []
    with tempfile.TemporaryDirectory() as name:
        folder, data = Path(name), data.absolute()
        for recipe in tqdm(recipes, desc="maps", unit="map", dynamic_ncols=True):
            spent = {}
            for words in fill_commands(recipe, data):
                usage = run_command(words, folder)
                if words[0] == "build-map":
                    spent = {"cpu_s": usage.ru_utime + usage.ru_stime, "peak_gb": usage.ru_maxrss / 1e6}
            written = folder / "summary.json"
            query = ["evaluate", PROTOCOL, "--map", recipe.map, "--data", str(data), "--every", str(every)]
            run_command([*query, "--json", written.name], folder)
            summaries.append({"source": recipe.name, **spent, **json.loads(written.read_text())})
    return summaries


def run_command(words: list[str], folder: Path) -> Any:
    """Run one of our commands in a process of its own; return what it used of the machine."""
    process = subprocess.Popen([sys.executable, "-m", "deviloc_ros", *words], cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ValueError(f"`{' '.join(words)}` ended with status {process.returncode}")
    return usage
