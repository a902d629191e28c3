"""Measure the effect of a part of the robot in view, at one place of every image of map and queries."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deviloc_ros.config import Config
from deviloc_ros.evaluation.metrics import QueryOutcome, compare_to_truth, median_errors
from deviloc_ros.evaluation.protocols.scenes import load_protocol
from deviloc_ros.evaluation.summary_table import align_table
from deviloc_ros.imaging import read_gray
from deviloc_ros.localizer import Localizer
from deviloc_ros.mapping.build import build_map
from deviloc_ros.maps.store import Map
from deviloc_ros.masks import Mask
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.synthetic.degradations import PLATE_GRAY, paint_rectangles

PROTOCOL, EVERY, QUERIES = "kitchen-36", 4, 12
PATCH_SHARE = 0.26  # of the picture: a bumper, a gripper or a mirror


@dataclass(frozen=True, slots=True)
class Case:
    """Define a case. every: one of so many images shows the body. masked: whether a mask hides it."""

    name: str
    textured: bool = True
    every: int = 1
    masked: bool = False


CASES = (
    Case("textured, masked", masked=True),
    Case("textured"),
    Case("plain grey plate", textured=False),
    Case("textured, in half the images", every=2),
)


def evaluate_body_in_view(data: Path, config: Config) -> dict[str, Any]:
    """Return for each case how many queries were localized, and how many wrongly.

    Raises:
        SourceError: the data is not there.
    """
    (fold,) = load_protocol(PROTOCOL, data, EVERY).folds
    cases = []
    for case in tqdm(CASES, unit="case", dynamic_ncols=True):
        with tempfile.TemporaryDirectory() as folder:
            outcomes = localize_with_body(case, fold.map_images, fold.queries[:QUERIES], config, Path(folder))
        cases.append(describe_case(case, outcomes))
    return {"protocol": PROTOCOL, "cases": cases}


def localize_with_body(
    case: Case, map_images: list[PosedImage], queries: list[PosedImage], config: Config, folder: Path
) -> list[QueryOutcome]:
    """Map and localize copies of the images that show the body."""
    mapped, asked = (add_body(images, case, folder) for images in (map_images, queries))
    build_map(mapped, folder / "map", config, quiet=True)
    localizer = Localizer(Map.open(folder / "map"), mask=asked[0].mask)
    results = [localizer.localize(read_gray(query.path), query.camera) for query in asked]
    return [compare_to_truth(q.name, result, q.cam_from_world) for q, result in zip(asked, results, strict=True)]


def add_body(images: list[PosedImage], case: Case, folder: Path) -> list[PosedImage]:
    """Write copies of the images, those that the case says with the body in view."""
    copies = []
    for number, image in enumerate(images):
        gray = read_gray(image.path)
        if number % case.every == 0:
            paste_patch(gray, textured=case.textured)
        path = folder / f"{image.name.replace('/', '-')}.png"
        cv2.imwrite(str(path), gray)
        mask = write_mask(folder / "mask.png", (gray.shape[1], gray.shape[0])) if case.masked else None
        copies.append(replace(image, path=path, mask=mask))
    return copies


def write_mask(path: Path, size: tuple[int, int]) -> Mask:
    """Write a mask that is white but for the patch, in an image of (width, height)."""
    used = np.full(size[::-1], 255, np.uint8)
    used[patch_region(size)] = 0
    cv2.imwrite(str(path), used)
    return Mask(path)


def patch_region(size: tuple[int, int]) -> tuple[slice, slice]:
    """Return rows and columns of the patch in an image of (width, height): at the bottom, in the middle."""
    width, height = size
    side = np.sqrt(PATCH_SHARE)
    across, up = round(width * side * 1.25), round(height * side / 1.25)
    return slice(height - up, height), slice((width - across) // 2, (width + across) // 2)


def paste_patch(gray: NDArray, *, textured: bool) -> None:
    """Paint the patch into an image, the same into each of one size."""
    region = patch_region((gray.shape[1], gray.shape[0]))
    shape = gray[region].shape
    gray[region] = paint_rectangles(shape, np.random.default_rng(0)) if textured else PLATE_GRAY


def format_cases(figures: dict[str, Any]) -> str:
    """Return a table with a line for each case."""
    lines = [
        (
            case["name"],
            f"{case['localized']} / {case['queries']}",
            str(case["wrong"]),
            f"{100 * case['median_translation_m']:.2f} cm",
        )
        for case in figures["cases"]
    ]
    return align_table(("in view", "localized", "wrong", "median"), lines)


def describe_case(case: Case, outcomes: list[QueryOutcome]) -> dict[str, Any]:
    """Return the figures of a case. The median counts a query that is lost as infinitely far off."""
    return {
        "name": case.name,
        "queries": len(outcomes),
        "localized": sum(o.localized for o in outcomes),
        "wrong": sum(o.is_wrong_fix for o in outcomes),
        "median_translation_m": median_errors(outcomes)[0],
    }
