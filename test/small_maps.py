"""Maps of a few random views, written without images, and processes that are killed while they write one."""

import os
import signal
import sys
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pycolmap
import torch
from worlds import rigid_of

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config
from deviloc_ros.config_fields import from_dict
from deviloc_ros.maps.edit import merge_maps
from deviloc_ros.maps.provenance import Provenance
from deviloc_ros.maps.retrieval.global_descriptors import Vlad
from deviloc_ros.maps.retrieval.index import Retrieval
from deviloc_ros.maps.store import Map
from deviloc_ros.maps.writer import MapWriter
from deviloc_ros.types import Features, Landmarks, Lifted, ReferenceView

CONFIG = from_dict(Config(), {"matcher": {"max_keypoints": 1024}})
CAMERAS = (
    Camera("PINHOLE", 320, 240, (262.0, 262.0, 159.5, 119.5)),
    Camera("SIMPLE_RADIAL", 640, 480, (525.0, 319.5, 239.5, -0.02)),
)
KEYPOINTS = 60  # of a view of a place
PARTS = ("one", "other")  # maps beside it; reading them is no operation on files of the map that is written
FILE_EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.listdir", "os.scandir", "shutil.rmtree"}


def reference_view(number: int, count: int = 50) -> tuple[ReferenceView, Landmarks]:
    """The same for the same number; two landmarks of seven are the next view's as well."""
    rng, generator = np.random.default_rng(number), torch.Generator().manual_seed(number)
    camera = CAMERAS[number % 2]
    descriptors = torch.nn.functional.normalize(torch.randn(count, 64, generator=generator), dim=1)
    keypoints, scores = 240 * torch.rand(count, 2, generator=generator), torch.rand(count, generator=generator)
    features = Features(keypoints, descriptors, scores, torch.ones(count, 2), (camera.width, camera.height))
    lifted = Lifted(rng.normal(size=(count, 3)), rng.random(count), rng.uniform(1, 5, count))
    pose = pycolmap.Rigid3d(pycolmap.Rotation3d(rng.normal(0, 1, 3)), rng.normal(0, 5, 3))
    landmarks = Landmarks.without_stds(np.arange(7) + 5 * number, rng.uniform(0, 240, (7, 2)), rng.normal(size=(7, 3)))
    return ReferenceView(f"view {number}.png", camera, pose, features, lifted), landmarks


def features_of(place: int, seed: int) -> Features:
    """Keypoints of a place as seen once: descriptors of that place, with noise."""
    of_place = torch.randn(KEYPOINTS, 64, generator=torch.Generator().manual_seed(place))
    noise = torch.randn(KEYPOINTS, 64, generator=torch.Generator().manual_seed(1000 + seed))
    descriptors = torch.nn.functional.normalize(of_place + 0.3 * noise, dim=1)
    keypoints = torch.rand(KEYPOINTS, 2, generator=torch.Generator().manual_seed(seed))
    return Features(keypoints, descriptors, torch.ones(KEYPOINTS), torch.ones(KEYPOINTS, 2), (320, 240))


def view_at(name: str, place: int, x: float, turned=(0, 0, 0)) -> tuple[ReferenceView, Landmarks]:
    """A view from (x, 0, 0), looking along z unless turned; it observes landmarks of its place."""
    cam_from_world = rigid_of(turned, [0, 0, 0]) * rigid_of([0, 0, 0], [-x, 0, 0])
    lifted = Lifted(np.zeros((KEYPOINTS, 3)), np.ones(KEYPOINTS), np.ones(KEYPOINTS))
    view = ReferenceView(name, CAMERAS[0], cam_from_world, features_of(place, sum(map(ord, name))), lifted)
    return view, Landmarks.without_stds(np.arange(10) + 100 * place, np.zeros((10, 2)), np.zeros((10, 3)))


def names(found) -> list[str]:
    return [view.name for view in found]


def write_map(
    folder: Path,
    views: list[tuple[ReferenceView, Landmarks]],
    notes: dict[str, str] | None = None,
    sessions: Sequence[str] = (),
    config: Config = CONFIG,
    **options,
) -> None:
    """A map of these views, each of its session."""
    with MapWriter(folder, config, **options) as writer:
        add_and_finish(writer, views, notes, sessions)


def extend_map(folder: Path, views: list[tuple[ReferenceView, Landmarks]]) -> None:
    """The map's views stay, these come to them."""
    with MapWriter(folder, CONFIG, overwrite=True) as writer:
        for record in Map.open(folder).records:
            writer.keep_view(record)
        add_and_finish(writer, views)


def add_and_finish(
    writer: MapWriter,
    views: list[tuple[ReferenceView, Landmarks]],
    notes: dict[str, str] | None = None,
    sessions: Sequence[str] = (),
) -> None:
    points = {}
    for (view, landmarks), session in zip_longest(views, sessions, fillvalue=""):
        writer.add_view(view, landmarks, session)
        points |= dict(zip(landmarks.ids.tolist(), landmarks.points_in_world, strict=True))
    retrieval = Retrieval(torch.zeros(len(writer.records), 128), Vlad(torch.zeros(2, 64)))
    writer.finish(points, retrieval, Provenance(notes={"made_by": "a test"} | (notes or {})))


def use_everything(folder: Path) -> Map:
    """Read every file of a map."""
    reference_map = Map.open(folder)
    reference_map.landmarks()
    for number in range(len(reference_map)):
        reference_map.view(number)
    reference_map.retrieval()
    return reference_map


def die_at(event_number: int) -> None:
    """Kill -9 this process just before its n-th operation on files of a map."""
    count = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal count
        if event in FILE_EVENTS and ".map" in str(arguments):  # and not of a module that is imported late
            count += 1
            if count == event_number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def work(operation: str, folder: Path, event_number: int = 0) -> None:
    """What a process is killed in: over what is there `build` two views or `merge` the PARTS, or `update` it by two."""
    if event_number:
        die_at(event_number)
    views = [reference_view(number) for number in (7, 8)]
    if operation == "build":
        write_map(folder, views, overwrite=True)
    elif operation == "merge":
        merge_maps([folder.with_name(part) for part in PARTS], folder, overwrite=True)
    else:
        extend_map(folder, views)
