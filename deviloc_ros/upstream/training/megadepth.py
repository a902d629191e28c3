"""Read MegaDepth as the paper trains on it: a sample is a query with depth and some references it overlaps with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from deviloc_ros.imaging import ImageError, read_gray
from deviloc_ros.sources.colmap import pixels_from_colmap
from deviloc_ros.upstream.training.published import PublishedFileError, read_published

METADATA = "preprocessed/megadepth_2d3d_q500ov0.2-1.0covis3-15.npy"
POINTS = "preprocessed/scene_points3d"
IMAGES_START = "phoenix"  # the authors' paths are their machine's, up to this folder
BRIGHTNESS = CONTRAST = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class MegaDepthView:
    """Hold a view: gray (h, w) uint8, intrinsics (3, 3) with pixel centres at integers, cam_from_world (4, 4).

    landmark_keypoints, landmark_points: (M, 2) px, (M, 3), of references. depth: (H, W), of queries.
    """

    gray: NDArray
    intrinsics: NDArray
    cam_from_world: NDArray
    landmark_keypoints: NDArray
    landmark_points: NDArray
    depth: NDArray


@dataclass(frozen=True, slots=True)
class SampleSettings:
    """Hold how samples are drawn; the paper's."""

    references: int = 2
    queries_per_scene: int = 200
    min_landmarks: int = 50
    max_landmarks: int = 8000
    augment: bool = True


class MegaDepth:
    """Read the scenes of a folder, as `--data` names it. Points of the scene used last stay in memory."""

    def __init__(self, folder: Path, scenes: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.metadata: dict[str, Any] = read_published(folder / METADATA)
        self.scenes = [scene for scene in (scenes or sorted(self.metadata)) if scene in self.metadata]
        if not self.scenes:
            raise PublishedFileError(f"{folder / METADATA}: has none of the scenes {', '.join(scenes)}")
        self._points: tuple[str, dict[int, NDArray]] = "", {}

    def draw_epoch(self, settings: SampleSettings, rng: Generator) -> list[tuple[str, Any]]:
        """Return (scene, query) of one epoch in random order, at most so many queries of each scene."""
        samples = []
        for scene in self.scenes:
            queries = [
                query for query in self.metadata[scene]["qids"] if self.usable_references(scene, query, settings)
            ]
            chosen = rng.permutation(len(queries))[: settings.queries_per_scene]
            samples += [(scene, queries[n]) for n in chosen]
        return [samples[n] for n in rng.permutation(len(samples))]

    def usable_references(self, scene: str, query: Any, settings: SampleSettings) -> list[Any]:
        """Return the references that a query overlaps with and that have landmarks enough."""
        images = self.metadata[scene]["ims"]
        return [name for name in images[query]["topk"] if len(images[name]["pt3d_ids"]) > settings.min_landmarks]

    def draw_sample(
        self, scene: str, query: Any, settings: SampleSettings, rng: Generator
    ) -> tuple[MegaDepthView, list[MegaDepthView]]:
        """Read a query, and references drawn at random from those it overlaps with, repeated if there are too few."""
        names = self.usable_references(scene, query, settings)
        count = settings.references
        chosen = rng.choice(len(names), count, replace=len(names) < count)
        references = [self.read_view(scene, names[n], settings, rng) for n in chosen]
        return self.read_view(scene, query, settings, rng, is_query=True), references

    def read_view(
        self, scene: str, name: Any, settings: SampleSettings, rng: Generator, *, is_query: bool = False
    ) -> MegaDepthView:
        """Read one image with its pose, and its depth or its landmarks."""
        record = self.metadata[scene]["ims"][name]
        gray = read_gray(self.locate_file(record["img_path"]))
        if is_query and settings.augment:
            gray = augment_image(gray, rng)
        intrinsics, cam_from_world = np.eye(3), np.eye(4)
        intrinsics[:2] = np.asarray(record["K"], float)[:2]
        intrinsics[:2, 2] = pixels_from_colmap(intrinsics[:2, 2])
        cam_from_world[:3, :3], cam_from_world[:3, 3] = record["R"], np.ravel(record["t"])
        if is_query:
            none = np.zeros((0, 2)), np.zeros((0, 3))
            return MegaDepthView(
                gray, intrinsics, cam_from_world, *none, read_depth(self.locate_file(record["depth_path"]))
            )
        points = self.read_points(scene)
        ids = np.asarray(record["pt3d_ids"])
        rows = rng.permutation(len(ids))[: settings.max_landmarks]
        keypoints = pixels_from_colmap(np.asarray(record["pts2d"], float)[rows])
        landmarks = np.stack([points[int(number)][:3] for number in ids[rows]])
        return MegaDepthView(gray, intrinsics, cam_from_world, keypoints, landmarks, np.zeros((0, 0)))

    def read_points(self, scene: str) -> dict[int, NDArray]:
        """Read a scene's points by id."""
        if self._points[0] != scene:
            read = read_published(self.folder / POINTS / f"{scene}.npy")
            self._points = scene, {int(key): np.asarray(value, float) for key, value in read.items()}
        return self._points[1]

    def locate_file(self, path: str) -> Path:
        """Return where a file of the authors' metadata lies on this machine."""
        parts = Path(path).parts
        start = parts.index(IMAGES_START) if IMAGES_START in parts else 0
        return self.folder.joinpath(*parts[start:])


def read_depth(path: Path) -> NDArray:
    """Read (H, W) float32 of MegaDepth's `.h5`, or of an `.npy`; raise ImageError."""
    if not path.is_file():
        raise ImageError(f"{path}: no such depth map")
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False).astype(np.float32)
    try:
        import h5py
    except ImportError as error:
        raise ImageError(f"{path}: reading it needs h5py: `pip install h5py`, which is the extra `training`") from error
    try:
        with h5py.File(path) as file:
            return np.asarray(file["depth"], np.float32)
    except (OSError, KeyError) as error:
        raise ImageError(f"{path}: not a depth map of MegaDepth, or cut off: {error}") from error


def augment_image(gray: NDArray, rng: Generator) -> NDArray:
    """Change contrast and brightness of half of the images."""
    if rng.random() < 0.5:
        return gray
    gain, shift = 1 + rng.uniform(-CONTRAST, CONTRAST), 255 * rng.uniform(-BRIGHTNESS, BRIGHTNESS)
    return cv2.convertScaleAbs(np.clip(gray.astype(np.float32) * gain + shift, 0, 255))
