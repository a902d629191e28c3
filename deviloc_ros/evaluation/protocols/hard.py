"""Localize the kitchen's queries as bad cameras and bad light show them: one map, a summary for each condition."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pycolmap
from numpy.random import Generator
from numpy.typing import NDArray
from tqdm import tqdm

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config
from deviloc_ros.evaluation import HARD
from deviloc_ros.evaluation.protocols.run import Evaluation, config_for_retrieval
from deviloc_ros.evaluation.protocols.scenes import EvaluationProtocol, Fold
from deviloc_ros.imaging import read_gray, turn_image
from deviloc_ros.maps.store import Map
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.synthetic import degradations

ROUND_LENSES = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV_FISHEYE")  # alike in all directions
Degrade = Callable[[NDArray, Generator], NDArray]


@dataclass(frozen=True, slots=True)
class Condition:
    """Say what is done to a query.

    degrade: from (H, W) uint8 pixels and a random generator to such pixels. quarter_turns: of the camera, by which its
    image turns counterclockwise. same: the same for all queries, as dirt on a lens is. unknown: what is left of the
    place is not to be recognised.
    """

    name: str
    degrade: Degrade | None = None
    quarter_turns: int = 0
    same: bool = False
    unknown: bool = False


CONDITIONS = (
    Condition("upright"),
    Condition("night", degradations.darken_to_night),
    Condition("overexposed", degradations.overexpose),
    Condition("blur-9", partial(degradations.smear, length_px=9)),
    Condition("blur-17", partial(degradations.smear, length_px=17)),
    Condition("half", degradations.halve),
    Condition("covered", degradations.cover),
    Condition("jpeg-10", degradations.compress_hard),
    Condition("dirt", degradations.soil_lens, same=True),
    Condition("turned-90", quarter_turns=1),
    Condition("turned-180", quarter_turns=2),
    Condition("turned-270", quarter_turns=3),
    Condition("mirrored", degradations.mirror, unknown=True),
)


def run_conditions(
    evaluation: Evaluation, config: Config, retrieval: str, reference_map: Map | None = None
) -> Iterator[dict[str, Any]]:
    """Yield a summary per condition, whose protocol is `hard-` and its name; a map is built unless one is given."""
    (fold,) = evaluation.protocol.folds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if reference_map is None:
            to_build = config_for_retrieval(config, retrieval)
            reference_map = Map.open(evaluation.build_fold(fold.map_images, folder / "map", to_build, None))
        for condition in tqdm(CONDITIONS, unit="condition", dynamic_ncols=True):
            with tempfile.TemporaryDirectory(dir=folder) as pictures:
                queries = [degrade_query(query, condition, Path(pictures)) for query in fold.queries]
                protocol = EvaluationProtocol(
                    f"{HARD}-{condition.name}", [Fold([], queries)], unknown=condition.unknown
                )
                yield Evaluation(protocol, config).run_in_map(reference_map, config, retrieval)


def degrade_query(query: PosedImage, condition: Condition, folder: Path) -> PosedImage:
    """Write a copy of a query as the condition shows it; return it with the camera and pose that it then has."""
    gray = read_gray(query.path)
    if condition.degrade is not None:
        seed = zlib.crc32(f"{condition.name} {'' if condition.same else query.name}".encode())
        gray = condition.degrade(gray, np.random.default_rng(seed))
    camera = turn_camera(scale_camera(query.camera, (gray.shape[1], gray.shape[0])), condition.quarter_turns)
    path = folder / f"{query.name.replace('/', '-')}.png"
    cv2.imwrite(str(path), turn_image(gray, condition.quarter_turns))
    pose = turned_from_upright(condition.quarter_turns) * query.cam_from_world
    return replace(query, path=path, camera=camera, cam_from_world=pose)


def scale_camera(camera: Camera, size: tuple[int, int]) -> Camera:
    """Return the camera of an image that was scaled to `size` (w, h) by one factor."""
    factor, params = size[0] / camera.width, np.array(camera.params)
    params[list(camera.colmap.focal_length_idxs())] *= factor
    params[list(camera.colmap.principal_point_idxs())] = (camera.principal_point + 0.5) * factor - 0.5
    return Camera(camera.model, *size, tuple(params.tolist()))


def turn_camera(camera: Camera, quarter_turns: int) -> Camera:
    """Return the camera whose image is that of `camera`, turned counterclockwise by a number of quarter turns.

    Raises:
        ValueError: the lens is distorted other than around the principal point.
    """
    if quarter_turns and camera.model not in ROUND_LENSES:
        raise ValueError(f"a lens of the model {camera.model} is not turned; {', '.join(ROUND_LENSES)} are")
    for _ in range(quarter_turns):
        params = np.array(camera.params)
        focal = list(camera.colmap.focal_length_idxs())
        params[focal] = params[focal[::-1]]
        x, y = camera.principal_point
        params[list(camera.colmap.principal_point_idxs())] = y, camera.width - 1 - x
        camera = Camera(camera.model, camera.height, camera.width, tuple(params.tolist()))
    return camera


def turned_from_upright(quarter_turns: int) -> pycolmap.Rigid3d:
    """Return the pose of the camera that took an image in that of one whose image is turned so many times less."""
    about_axis = np.array([0.0, 0.0, -np.pi / 2 * quarter_turns])
    return pycolmap.Rigid3d(pycolmap.Rotation3d(about_axis), np.zeros(3))
