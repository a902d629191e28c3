"""Define the fixed protocols: which images make the map, which are queries. `evaluate` names the one it reports."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pycolmap

from deviloc_ros.evaluation import (
    CALIBRATION_PROTOCOLS,
    COURT_PROTOCOLS,
    HARD,
    JOINED_PROTOCOLS,
    PROTOCOLS,
    RIG_PROTOCOLS,
)
from deviloc_ros.evaluation.protocols.court import render_court
from deviloc_ros.sources.base import PosedImage, SourceError
from deviloc_ros.sources.colmap import read_model
from deviloc_ros.sources.depth_images import DepthImage
from deviloc_ros.sources.kitti import read_kitti
from deviloc_ros.sources.sevenscenes import SEVEN_SCENES_COLOR_FROM_DEPTH, SEVEN_SCENES_DEPTH_CAMERA, path_beside_color

SCENES_APART_M = 100.0
RIG_STEP = 24  # frames between the images of a rig


@dataclass(frozen=True, slots=True)
class Fold:
    """Hold one map and the images localized in it; `joined` are images of other scenes, each a map joined to it."""

    map_images: list[PosedImage]
    queries: list[PosedImage]
    joined: list[list[PosedImage]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class EvaluationProtocol:
    """Hold the folds of a protocol.

    relative_to_scene: translation errors are divided by the camera-to-scene distance before they are scored. beside: by
    name of a query, what the other cameras of its rig took, whose frame is that of the query. unknown: no query shows
    what a map does, and whatever pose is given is wrong.
    """

    name: str
    folds: list[Fold]
    relative_to_scene: bool = False
    beside: dict[str, list[PosedImage]] = field(default_factory=dict)
    unknown: bool = False

    @property
    def images(self) -> list[PosedImage]:
        """Return every image of any fold's map, once."""
        by_name = {image.name: image for fold in self.folds for image in fold.map_images}
        return [by_name[name] for name in sorted(by_name)]


def load_protocol(name: str, data: Path, every: int = 1) -> EvaluationProtocol:
    """Read the images and poses of a protocol; `every` keeps every n-th query.

    Raises:
        SourceError: the data is not there, or the name is unknown.
    """
    known = (*PROTOCOLS, *JOINED_PROTOCOLS, *RIG_PROTOCOLS, *COURT_PROTOCOLS, HARD, *CALIBRATION_PROTOCOLS)
    if name not in known:
        raise SourceError(f"unknown protocol {name!r}; known: {', '.join(known)}")
    if name in RIG_PROTOCOLS:
        return load_kitchen_rig(name, data / "7scenes/redkitchen", int(name[-1]), every)
    if name in COURT_PROTOCOLS:
        return load_court(name, every)
    if name == HARD:
        return load_kitchen(name, data / "7scenes/redkitchen", 12, every)
    scene, variant = name.rsplit("-", 1)
    if scene == "kitchen":
        return load_kitchen(name, data / "7scenes/redkitchen", int(variant), every)
    if scene == "kitchen-back":
        return load_kitchen_back(name, data / "7scenes/redkitchen", int(variant), every)
    if scene in ("joined", "joined-back"):
        return load_joined(name, data, every)
    if scene == "kitchen-depth":
        return load_kitchen_depth(name, data / "7scenes/redkitchen", int(variant), every)
    if scene == "drive":
        return load_drive(name, data / "kitti/excerpt-1", 2 if variant == "even" else 4, every)
    return leave_one_out(name, load_strecha(scene, data), every)


def load_kitchen(name: str, folder: Path, step: int, every: int) -> EvaluationProtocol:
    """Map every `step`-th frame of seq-01; query every 8th frame of seq-02. Poses and camera are of sfm_gt."""
    images = read_model(folder / "sfm_gt", folder).images
    map_images = [image for image in images if image.name.startswith("seq-01") and frame_number(image) % step == 0]
    queries = [image for image in images if image.name.startswith("seq-02") and frame_number(image) % 8 == 0]
    return EvaluationProtocol(name, [Fold(map_images, queries[::every])])


def load_kitchen_rig(name: str, folder: Path, cameras: int, every: int) -> EvaluationProtocol:
    """Query kitchen-72 by rigs: each query and the frames RIG_STEP and so on after it are the images of one rig."""
    single = load_kitchen(name, folder, 72, every)
    by_number = {
        frame_number(image): image
        for image in read_model(folder / "sfm_gt", folder).images
        if image.name.startswith("seq-02")
    }
    numbers = {q.name: [frame_number(q) + RIG_STEP * n for n in range(1, cameras)] for q in single.folds[0].queries}
    beside = {query: [by_number[n] for n in others if n in by_number] for query, others in numbers.items()}
    whole = [query for query in single.folds[0].queries if len(beside[query.name]) == cameras - 1]
    return EvaluationProtocol(name, [replace(single.folds[0], queries=whole)], beside=beside)


def load_kitchen_back(name: str, folder: Path, step: int, every: int) -> EvaluationProtocol:
    """Map every `step`-th frame of seq-02; query every 12th of seq-01; both from the 4th on.

    No image here is one of a map or a query of `load_kitchen`, which begin at frame 0.
    """
    images = read_model(folder / "sfm_gt", folder).images
    map_images = [image for image in images if image.name.startswith("seq-02") and frame_number(image) % step == 4]
    queries = [image for image in images if image.name.startswith("seq-01") and frame_number(image) % 12 == 4]
    return EvaluationProtocol(name, [Fold(map_images, queries[::every])])


def load_kitchen_depth(name: str, folder: Path, step: int, every: int) -> EvaluationProtocol:
    """Map every `step`-th frame of seq-01 from the 12th on, which have depth; query every 12th from the 4th on.

    None of these is in kitchen-36 or kitchen-72, or a query of kitchen-12.
    """
    images = [image for image in read_model(folder / "sfm_gt", folder).images if image.name.startswith("seq-01")]
    map_images = [image for image in images if frame_number(image) % step == 12]
    return EvaluationProtocol(name, [Fold(map_images, [i for i in images if frame_number(i) % 12 == 4][::every])])


def add_kitchen_depth(images: list[PosedImage]) -> list[PosedImage]:
    """Return the images with their depth files; raise SourceError if one has none."""
    depths = [
        DepthImage(path_beside_color(i.path, "depth.png"), SEVEN_SCENES_DEPTH_CAMERA, SEVEN_SCENES_COLOR_FROM_DEPTH)
        for i in images
    ]
    if missing := [depth.path for depth in depths if not depth.path.is_file()]:
        raise SourceError(f"{missing[0]}: not found; of the protocols, only kitchen-12, -36, -72 and -depth have depth")
    return [replace(image, depth=depth) for image, depth in zip(images, depths, strict=True)]


def frame_number(image: PosedImage) -> int:
    """Return the number in a frame's name."""
    return int(image.name.rsplit("frame-", 1)[1].split(".")[0])


def leave_one_out(
    name: str, images: list[PosedImage], every: int, relative_to_scene: bool = True
) -> EvaluationProtocol:
    """Localize each image in a map of the others."""
    folds = [Fold([other for other in images if other is not query], [query]) for query in images[::every]]
    return EvaluationProtocol(name, folds, relative_to_scene)


def load_court(name: str, every: int) -> EvaluationProtocol:
    """Localize each photograph of a rendered court in a map of the others, or those between in one of every third."""
    images = render_court()
    if name == "court":
        return leave_one_out(name, images, every, relative_to_scene=False)
    queries = [image for number, image in enumerate(images) if number % 3]
    return EvaluationProtocol(name, [Fold(images[::3], queries[::every])])


def load_other_places(data: Path, every: int = 1) -> list[PosedImage]:
    """Load images of other places than the kitchen: fountain, entry and street.

    Raise SourceError if they are not there.
    """
    loo = [load_protocol(name, data).images for name in ("fountain-loo", "entry-loo")]
    images = [image for protocol in loo for image in protocol] + read_kitti(data / "kitti/excerpt-1").images
    return images[::every]


def load_drive(name: str, folder: Path, step: int, every: int) -> EvaluationProtocol:
    """Map every `step`-th frame; query the odd frames (step 2) or all others (step 4)."""
    images = read_kitti(folder).images
    queries = [image for number, image in enumerate(images) if number % step]
    return EvaluationProtocol(name, [Fold(images[::step], queries[::every])])


def load_joined(name: str, data: Path, every: int) -> EvaluationProtocol:
    """Join kitchen-12, or kitchen-back-8, with every second image of fountain and entry, and with drive-even.

    Asked are the kitchen's queries and, but for calibration, the images of the other scenes that are not mapped. The
    scenes lie side by side, far apart.
    """
    calibrating = name == "joined-back-8"
    (home,) = load_protocol("kitchen-back-8" if calibrating else "kitchen-12", data).folds
    (street,) = load_protocol("drive-even", data).folds
    places = [
        Fold(images[::2], images[1::2]) for images in (load_strecha("fountain", data), load_strecha("entry", data))
    ]
    queries, maps = list(home.queries), []
    for number, (scene, fold) in enumerate(zip(("fountain", "entry", "drive"), [*places, street], strict=True), 1):
        there = partial(move_image, scene=scene, by_m=number * SCENES_APART_M)
        maps.append([there(image) for image in fold.map_images])
        queries += [] if calibrating else [there(image) for image in fold.queries]
    return EvaluationProtocol(name, [Fold(home.map_images, queries[::every], maps)])


def load_strecha(scene: str, data: Path) -> list[PosedImage]:
    """Load the images and poses of one of Strecha's scenes."""
    folder = data / "strecha" / {"fountain": "fountain-P11", "entry": "entry-P10"}[scene]
    return read_model(folder / "sfm_gt", folder / "images").images


def move_image(image: PosedImage, scene: str, by_m: float) -> PosedImage:
    """Return the image of a scene that lies `by_m` along x."""
    old_from_new = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([-by_m, 0.0, 0.0]))
    return replace(image, name=f"{scene}/{image.name}", cam_from_world=image.cam_from_world * old_from_new)
