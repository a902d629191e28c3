"""Make training views: rendered places, photographed, with landmarks triangulated by the code that builds maps.

`python -m deviloc_ros.training.data --output DIR --views N --seed S`
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, islice
from itertools import count as count_from
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from tqdm import tqdm

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import transform_points
from deviloc_ros.sfm.landmarks import keep_consistent, triangulate_landmarks
from deviloc_ros.sfm.matches import MatchGraph, match_sift_descriptors
from deviloc_ros.sfm.uncertainty import add_depth_stds
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.synthetic.facade import make_facade
from deviloc_ros.synthetic.photo import decode_image, encode_jpeg, expose
from deviloc_ros.synthetic.render import find_surfaces, render_color
from deviloc_ros.synthetic.room import make_room
from deviloc_ros.synthetic.rounded import add_rounded_things
from deviloc_ros.synthetic.scene import Scene
from deviloc_ros.synthetic.street import make_street
from deviloc_ros.synthetic.textures import use_photographs
from deviloc_ros.synthetic.trajectory import NoViewError, sample_views_of_a_place
from deviloc_ros.training.views import NOTHING, TrainingView, shard_paths, write_shard
from deviloc_ros.types import Landmarks

KINDS = {"room": (0.45, make_room), "facade": (0.30, make_facade), "street": (0.25, make_street)}
SIZES = ((640, 480), (640, 480), (640, 480), (640, 360), (480, 640))
VIEWS_PER_PLACE = 4  # of those rendered; more would be cheap, but much the same
MAX_KEYPOINTS = 3000
MIN_LANDMARKS, MAX_LANDMARKS = 20, 2000
VIEWS_PER_SHARD = 60


@dataclass(frozen=True, slots=True, eq=False)
class Photograph:
    """Hold a photograph of a place: its true pose, that which a reconstruction has of it, and (n,) uint8 of a JPEG."""

    camera: Camera
    cam_from_world: pycolmap.Rigid3d
    believed_cam_from_world: pycolmap.Rigid3d
    jpeg: NDArray


def random_camera(rng: Generator) -> Camera:
    """Return a camera of a common size with 350 to 900 px of focal length; some have radial distortion."""
    width, height = SIZES[rng.integers(len(SIZES))]
    focal = float(np.exp(rng.uniform(np.log(350), np.log(900))))
    x, y = (float(extent / 2 + rng.normal(0, 5)) for extent in (width, height))
    if rng.random() < 0.3:
        return Camera("SIMPLE_RADIAL", width, height, (focal, x, y, float(rng.uniform(-0.12, 0.05))))
    return Camera("SIMPLE_PINHOLE", width, height, (focal, x, y))


def disturb_pose(cam_from_world: pycolmap.Rigid3d, rng: Generator, error_px: float, camera: Camera) -> pycolmap.Rigid3d:
    """Return the pose as a reconstruction would have it.

    Rotated by about `error_px`, moved by parts of a millimetre.
    """
    rotation = pycolmap.Rotation3d(rng.normal(0, error_px / camera.focal_px, 3))
    return pycolmap.Rigid3d(rotation, rng.normal(0, 0.001, 3) * error_px) * cam_from_world


def take_photographs(scene: Scene, camera: Camera, poses: list[pycolmap.Rigid3d], rng: Generator) -> list[NDArray]:
    """Return the JPEG bytes of a gray photograph per pose. The views of a place share how harsh light and lens are."""
    strength = float(rng.random())
    files = []
    for pose in poses:
        gray = cv2.cvtColor(render_color(scene, camera, pose), cv2.COLOR_BGR2GRAY)
        files.append(encode_jpeg(expose(gray, rng, strength), int(rng.integers(round(97 - 25 * strength), 98))))
    return files


def reconstruct_landmarks(photographs: list[Photograph]) -> list[Landmarks]:
    """Return the landmarks of each photograph, matched and triangulated as `build-map` does it."""
    images = [
        PosedImage(str(number), Path(), photograph.camera, photograph.believed_cam_from_world)
        for number, photograph in enumerate(photographs)
    ]
    graph, descriptors = MatchGraph(), []
    for image, photograph in zip(images, photographs, strict=True):
        graph.keypoints[image.name], found = detect_sift(decode_image(photograph.jpeg, cv2.IMREAD_GRAYSCALE))
        descriptors.append(found)
    for a, b in combinations(range(len(images)), 2):
        rows = match_sift_descriptors(descriptors[a], descriptors[b])
        seen_a, seen_b = ((images[number], graph.keypoints[str(number)]) for number in (a, b))
        graph.matches[str(a), str(b)] = keep_consistent(seen_a, seen_b, rows)
    landmarks = add_depth_stds(images, triangulate_landmarks(images, graph))
    return [landmarks[image.name] for image in images]


def detect_sift(gray: NDArray) -> tuple[NDArray, torch.Tensor]:
    """Return (N, 2) px and (N, 128) unit descriptors.

    OpenCV's SIFT is several times as fast as COLMAP's, and as noisy.
    """
    # Without precise upscaling OpenCV's keypoints lie a quarter of a pixel off.
    keypoints, descriptors = cv2.SIFT.create(nfeatures=MAX_KEYPOINTS, enable_precise_upscale=True).detectAndCompute(
        gray, None
    )
    if descriptors is None:
        return np.zeros((0, 2)), torch.zeros(0, 128)
    root = np.sqrt(descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1e-9))
    return np.array([keypoint.pt for keypoint in keypoints], float), torch.from_numpy(root)


def add_outliers(points_in_cam: NDArray, rng: Generator) -> NDArray:
    """Move a few landmarks along their rays: wrong matches that every check has missed."""
    wrong = rng.random(len(points_in_cam)) < rng.choice([0.0, 0.01, 0.04])
    factor = np.exp(rng.normal(0, 0.3, len(points_in_cam)))
    return np.where(wrong[:, None], points_in_cam * factor[:, None], points_in_cam)


def choose_landmarks(landmarks: Landmarks, rng: Generator, size: tuple[int, int]) -> NDArray:
    """Return rows to keep: often all, often far fewer, sometimes with holes where nothing was reconstructed."""
    keep = np.ones(len(landmarks), bool)
    if rng.random() < 0.4:
        for _ in range(rng.integers(1, 4)):
            centre, radius = rng.uniform(0, size), rng.uniform(0.08, 0.3) * max(size)
            keep &= np.linalg.norm(landmarks.keypoints - centre, axis=1) > radius
    rows = rng.permutation(np.flatnonzero(keep))
    if rng.random() < 0.25:
        rows = rows[: int(np.exp(rng.uniform(np.log(MIN_LANDMARKS), np.log(MAX_LANDMARKS))))]
    return rows[:MAX_LANDMARKS]


def make_place(seed: tuple[int, ...]) -> list[TrainingView]:
    """Make the views of one place; none if its images share too little to reconstruct anything."""
    rng = np.random.default_rng(seed)
    kind = str(rng.choice(list(KINDS), p=[share for share, _ in KINDS.values()]))
    place = f"{kind}-" + "-".join(map(str, seed))
    scene, camera = KINDS[kind][1](rng), random_camera(rng)
    add_rounded_things(scene, rng)
    try:
        poses = sample_views_of_a_place(scene, camera, rng, int(rng.integers(4, 8)))
    except NoViewError:
        return []
    files = take_photographs(scene, camera, poses, rng)
    pose_error_px = rng.choice([0.0, 0.15, 0.3])
    photographs = [
        Photograph(camera, pose, disturb_pose(pose, rng, pose_error_px, camera), file)
        for pose, file in zip(poses, files, strict=True)
    ]
    landmarks = reconstruct_landmarks(photographs)
    views = []
    for number in rng.permutation(len(poses))[:VIEWS_PER_PLACE]:
        rows = choose_landmarks(landmarks[number], rng, (camera.width, camera.height))
        if len(rows) >= MIN_LANDMARKS:
            views.append(make_training_view(scene, photographs[number], landmarks[number][rows], rng, place))
    return views


def make_training_view(
    scene: Scene, photograph: Photograph, landmarks: Landmarks, rng: Generator, place: str
) -> TrainingView:
    """Put a view together. Landmarks keep their coordinates in the camera as reconstructed, next to the true depth."""
    camera, cam_from_world = photograph.camera, photograph.cam_from_world
    index, planes = find_surfaces(scene, camera, cam_from_world)
    used = np.unique(index[index >= 0])
    compact = np.full(len(planes) + 1, NOTHING, np.uint16)
    compact[used] = np.arange(len(used))
    done, surface_png = cv2.imencode(".png", compact[index])  # NOTHING is -1: the last entry
    if not done:
        raise ValueError(f"{place}: OpenCV could not compress the surface image")
    points_in_cam = add_outliers(transform_points(photograph.believed_cam_from_world, landmarks.points_in_world), rng)
    return TrainingView(
        name=f"{place}-{rng.integers(1 << 30):08x}",
        place=place,
        camera=camera,
        cam_from_world=cam_from_world,
        jpeg=photograph.jpeg,
        surface_png=surface_png.reshape(-1),
        planes=planes[used].astype(np.float32),
        landmark_keypoints=landmarks.keypoints.astype(np.float32),
        landmark_points_in_world=transform_points(cam_from_world.inverse(), points_in_cam).astype(np.float32),
        landmark_depth_stds=landmarks.depth_stds.astype(np.float32),
    )


def make_views(seed: int, count: int, shard: int = 0) -> Iterator[TrainingView]:
    """Yield `count` training views. Seed and shard decide all of them, whatever was made before."""
    places = (make_place((seed, shard, number)) for number in count_from())
    yield from islice((view for place in places for view in place), count)


def make_shards(folder: Path, views: int, seed: int) -> None:
    """Write shards until `folder` holds `views` views; shards that are there already stay as they are."""
    shards = range(math.ceil(views / VIEWS_PER_SHARD))
    finished = {path.name for path in shard_paths(folder)}
    with tqdm(total=len(shards) * VIEWS_PER_SHARD, desc="training views", unit="view", mininterval=5) as bar:
        for shard in shards:
            path = folder / f"views-{seed}-{shard:04d}.safetensors"
            if path.name in finished:
                bar.update(VIEWS_PER_SHARD)
                continue
            made = []
            for view in make_views(seed, VIEWS_PER_SHARD, shard):
                made.append(view)
                bar.update()
            write_shard(path, made)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Make training views for the Point Inference Network.")
    parser.add_argument("--output", type=Path, required=True, help="folder of the shards; finished ones are kept")
    parser.add_argument("--views", type=int, default=1500, help=f"rounded up to whole shards of {VIEWS_PER_SHARD}")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other places in other files")
    parser.add_argument("--photographs", action="store_true", help="as textures; needs scikit-image")
    options = parser.parse_args(arguments)
    if options.photographs:
        use_photographs()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    make_shards(options.output, options.views, options.seed)


if __name__ == "__main__":
    main()
