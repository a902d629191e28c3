"""Render the photographs of a court of house fronts, whose poses are known exactly: once, then they are kept."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import pycolmap
from tqdm import tqdm

from deviloc_ros.camera import Camera
from deviloc_ros.io.atomic import replace_on_success
from deviloc_ros.io.cache import cache_folder
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.synthetic.court import make_court, walk_around
from deviloc_ros.synthetic.photo import photograph
from deviloc_ros.synthetic.render import render_color
from deviloc_ros.synthetic.scene import Scene

SEED = 7
PHOTOGRAPHS = 20
CAMERA = Camera("PINHOLE", 1024, 768, (900.0, 900.0, 511.5, 383.5))
HARSHNESS = 0.3  # of exposure, noise and compression: those of a good camera by day


def render_court(camera: Camera = CAMERA, count: int = PHOTOGRAPHS) -> list[PosedImage]:
    """Return photographs of one court on a walk around it, rendered unless they are in the cache."""
    rng = np.random.default_rng(SEED)
    court, poses = make_court(rng), walk_around(rng, count)
    folder = cache_folder("rendered") / f"court-{hash_views(court, camera, poses)}"
    images = [PosedImage(f"{n:02d}.png", folder / f"{n:02d}.png", camera, pose) for n, pose in enumerate(poses)]
    missing = [image for image in images if not image.path.is_file()]
    for image in tqdm(missing, desc="rendering", unit="view", dynamic_ncols=True) if missing else []:
        write_photograph(image, court)
    return images


def write_photograph(image: PosedImage, scene: Scene) -> None:
    """Render what an image shows into its file."""
    rng = np.random.default_rng([SEED, int(image.path.stem)])
    clean = render_color(scene, image.camera, image.cam_from_world)
    with replace_on_success(image.path) as path:
        path.write_bytes(cv2.imencode(".png", photograph(clean, rng, HARSHNESS))[1].tobytes())


def hash_views(scene: Scene, camera: Camera, poses: list[pycolmap.Rigid3d]) -> str:
    """Return a hash of what decides how photographs look: other ones are kept elsewhere."""
    state = hashlib.sha256(f"{camera} {HARSHNESS} {scene.light} {scene.ambient} {scene.sky}".encode())
    for quad in scene.quads:
        state.update(f"{quad.texture_origin} {quad.repeats} {quad.surface.tint} {quad.surface.gloss}".encode())
        state.update(np.array([quad.origin, quad.edge_u, quad.edge_v]).tobytes())
    for texture in {id(quad.surface.texture): quad.surface.texture for quad in scene.quads}.values():
        state.update(texture.atlas.tobytes())
    for pose in poses:
        state.update(pose.matrix().tobytes())
    return state.hexdigest()[:12]
