"""The fixed protocols: which images make the map, which are queries. `evaluate` names the one it reports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deviloc_ros.evaluation import CALIBRATION_PROTOCOLS, PROTOCOLS
from deviloc_ros.maps.colmap import read_model
from deviloc_ros.maps.sources import PosedImage, SourceError, read_kitti


@dataclass(frozen=True, slots=True)
class Fold:
    """One map and the images localized in it."""

    map_images: list[PosedImage]
    queries: list[PosedImage]


@dataclass(frozen=True, slots=True)
class Protocol:
    """`relative_to_scene`: translation errors are divided by the camera-to-scene distance before they are scored."""

    name: str
    folds: list[Fold]
    relative_to_scene: bool = False

    @property
    def images(self) -> list[PosedImage]:
        """Every image of any fold's map, once."""
        by_name = {image.name: image for fold in self.folds for image in fold.map_images}
        return [by_name[name] for name in sorted(by_name)]


def load_protocol(name: str, data: Path, every: int = 1) -> Protocol:
    """Read the images and poses of a protocol; `every` keeps every n-th query.

    Raises:
        SourceError: the data is not there, or the name is unknown.
    """
    known = (*PROTOCOLS, *CALIBRATION_PROTOCOLS)
    if name not in known:
        raise SourceError(f"unknown protocol {name!r}; known: {', '.join(known)}")
    scene, variant = name.rsplit("-", 1)
    if scene == "kitchen":
        return kitchen(name, data / "7scenes/redkitchen", int(variant), every)
    if scene == "kitchen-back":
        return kitchen_back(name, data / "7scenes/redkitchen", int(variant), every)
    if scene == "drive":
        return drive(name, data / "kitti/excerpt-1", 2 if variant == "even" else 4, every)
    return leave_one_out(name, data / "strecha" / {"fountain": "fountain-P11", "entry": "entry-P10"}[scene], every)


def kitchen(name: str, folder: Path, step: int, every: int) -> Protocol:
    """Map: every `step`-th frame of seq-01. Queries: every 8th frame of seq-02. Poses and camera of sfm_gt."""
    images = read_model(folder / "sfm_gt", folder).images
    map_images = [image for image in images if image.name.startswith("seq-01") and frame_number(image) % step == 0]
    queries = [image for image in images if image.name.startswith("seq-02") and frame_number(image) % 8 == 0]
    return Protocol(name, [Fold(map_images, queries[::every])])


def kitchen_back(name: str, folder: Path, step: int, every: int) -> Protocol:
    """The other way round. Map: every `step`-th frame of seq-02. Queries: every 12th of seq-01; both from the 4th on.

    No image here is one of a map or a query of `kitchen`, which begin at frame 0.
    """
    images = read_model(folder / "sfm_gt", folder).images
    map_images = [image for image in images if image.name.startswith("seq-02") and frame_number(image) % step == 4]
    queries = [image for image in images if image.name.startswith("seq-01") and frame_number(image) % 12 == 4]
    return Protocol(name, [Fold(map_images, queries[::every])])


def frame_number(image: PosedImage) -> int:
    return int(image.name.rsplit("frame-", 1)[1].split(".")[0])


def leave_one_out(name: str, folder: Path, every: int) -> Protocol:
    """Each image against a map of the others."""
    images = read_model(folder / "sfm_gt", folder / "images").images
    folds = [Fold([other for other in images if other is not query], [query]) for query in images[::every]]
    return Protocol(name, folds, relative_to_scene=True)


def elsewhere(data: Path, every: int = 1) -> list[PosedImage]:
    """Images of other places than the kitchen: fountain, entry and street. Raises SourceError."""
    loo = [load_protocol(name, data).images for name in ("fountain-loo", "entry-loo")]
    images = [image for protocol in loo for image in protocol] + read_kitti(data / "kitti/excerpt-1").images
    return images[::every]


def drive(name: str, folder: Path, step: int, every: int) -> Protocol:
    """Map: every `step`-th frame. Queries: the odd frames (step 2) or all others (step 4)."""
    images = read_kitti(folder).images
    queries = [image for number, image in enumerate(images) if number % step]
    return Protocol(name, [Fold(images[::step], queries[::every])])
