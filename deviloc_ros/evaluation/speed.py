"""Measure seconds per query of any configuration on rendered views, without data or trained weights."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config
from deviloc_ros.geometry import transform_points
from deviloc_ros.imaging import read_gray
from deviloc_ros.lifting import create_point_inference
from deviloc_ros.lifting.base import lift_and_prepare
from deviloc_ros.localizer import Localizer
from deviloc_ros.mapping.build import build_map
from deviloc_ros.maps.store import Map
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.synthetic.render import render_color, render_depth
from deviloc_ros.synthetic.room import make_room
from deviloc_ros.synthetic.trajectory import make_smooth_path
from deviloc_ros.types import Landmarks, Prior

VGA = Camera("PINHOLE", 640, 480, (525.0, 525.0, 319.5, 239.5))
LANDMARKS = 1000


@dataclass(frozen=True, slots=True)
class QuerySpeed:
    """Hold the times of one query, the fastest of several runs.

    cached_s: with the data that the map stores. uncached_s: with all of a reference computed, measured on two of them.
    peak_bytes: of this process, on a GPU of the GPU's memory.
    """

    references: int
    matches: int
    cached_s: float
    uncached_s: float
    stages_ms: dict[str, float]
    peak_bytes: int

    def __str__(self) -> str:
        stages = ", ".join(f"{name} {ms / 1e3:.2f}" for name, ms in self.stages_ms.items())
        return (
            f"640x480, {self.references} references of {LANDMARKS} landmarks, {self.matches} merged correspondences, "
            f"{torch.get_num_threads()} threads: {self.cached_s:.2f} s a query with cached references ({stages}), "
            f"{self.uncached_s:.2f} s without; peak {self.peak_bytes / 2**30:.2f} GiB"
        )


def measure_speed(config: Config, runs: int = 2) -> QuerySpeed:
    """Map rendered views with true landmarks, and localize one between them."""
    count = config.retrieval.references
    with tempfile.TemporaryDirectory() as folder:
        images = render_views(Path(folder), count + 1)
        query = images.pop(count // 2)
        build_map(images, Path(folder) / "speed.map", config, quiet=True)
        localizer = Localizer(Map.open(Path(folder) / "speed.map"), config)
        gray, prior = read_gray(query.path), Prior(query.cam_from_world)
        localizer.localize(gray, query.camera, prior)  # reads the views
        reset_peak()
        cached, results = zip(
            *(time_call(lambda: localizer.localize(gray, query.camera, prior)) for _ in range(runs)), strict=True
        )
        peak = peak_bytes()
        few = images[:2]
        again = time_call(lambda: prepare_references(localizer, config, few))[0] * len(images) / len(few)
    evidence = results[int(np.argmin(cached))].evidence
    matches = len(evidence.correspondences)
    return QuerySpeed(count, matches, min(cached), min(cached) + again, evidence.stages_ms, peak)


def prepare_references(localizer: Localizer, config: Config, images: list[PosedImage]) -> None:
    """Extract the references' features and lift them, which a map saves a query."""
    inference = create_point_inference(config.lift)
    for image in images:
        features = localizer.matcher.extract(read_gray(image.path), keep_dense=True)
        if image.landmarks is not None:
            lift_and_prepare(inference, features, image.landmarks, image.camera, image.cam_from_world)


def render_views(folder: Path, count: int) -> list[PosedImage]:
    """Render neighbouring views of a room, each with landmarks at random pixels."""
    rng = np.random.default_rng(0)
    scene = make_room(rng)
    target = (scene.free_low + scene.free_high) / 2 + [0, 0.6 * scene.free_high[1], 0]
    views = []
    for number, pose in enumerate(make_smooth_path(scene, rng, count, target, span=0.2)):
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), render_color(scene, VGA, pose))
        depth = render_depth(scene, VGA, pose)
        pixels = rng.integers([0, 0], [VGA.width, VGA.height], (LANDMARKS, 2))
        in_cam = VGA.rays(pixels) * depth[pixels[:, 1], pixels[:, 0], None]
        ids = np.arange(LANDMARKS) + number * LANDMARKS
        landmarks = Landmarks.without_stds(ids, pixels.astype(float), transform_points(pose.inverse(), in_cam))
        views.append(PosedImage(path.name, path, VGA, pose, landmarks))
    return views


def time_call(function: Callable):
    """Return seconds and the function's result, once the GPU is done."""
    start = time.perf_counter()
    result = function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start, result


def reset_peak() -> None:
    """Reset the peak of the GPU's memory; that of the process cannot be reset."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_bytes() -> int:
    """Return the peak of memory, the GPU's where there is one."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
