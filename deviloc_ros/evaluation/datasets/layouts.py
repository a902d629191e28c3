"""Read each benchmark's folders as scenes: posed images with landmarks, queries, retrieval pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from deviloc_ros.camera import Camera
from deviloc_ros.evaluation.datasets.files import BenchmarkQuery, BenchmarkScene, scale_to_file
from deviloc_ros.geometry import rigid_from_quaternion
from deviloc_ros.sources.base import PosedImage, SourceError
from deviloc_ros.sources.colmap import pixels_from_colmap, read_model
from deviloc_ros.sources.query_lists import read_intrinsics, read_lines, read_pairs
from deviloc_ros.sources.sevenscenes import SEVEN_SCENES_CAMERA, read_seven_scenes

SEVEN_SCENES = ("chess", "fire", "heads", "office", "pumpkin", "redkitchen", "stairs")
CAMBRIDGE = ("GreatCourt", "KingsCollege", "OldHospital", "ShopFacade", "StMarysChurch")
CMU_SLICES = tuple(f"slice{number}" for number in (*range(2, 7), *range(13, 22)))
ROBOTCAR_LOCATIONS = tuple(f"{number:03d}" for number in range(1, 50))
ROBOTCAR_SIDE_PX = 1024


def read_7scenes(folder: Path, scene: str, ground_truth: str) -> BenchmarkScene:
    """Read Microsoft's images with poses of KinectFusion (`dslam`) or of structure from motion (`sfm`).

    Never mix the two; the scene's name says which. `dslam`: hloc's triangulated model, else the
    `pose.txt` files. `sfm`: `pgt/sfm/7scenes/SCENE_{train,test}.txt` of the pseudo ground truth (Brachmann et al., ICCV
    2021), else a COLMAP model `SCENE/sfm_gt`.
    """
    images, name = folder / scene, f"{scene}, {ground_truth}"
    model = folder / "7scenes_sfm_triangulated" / scene / "triangulated"
    pseudo = folder / "pgt/sfm/7scenes"
    pairs = folder / "7scenes_densevlad_retrieval_top_10" / f"{scene}_top10.txt"
    candidates = read_pairs(pairs) if pairs.is_file() else {}
    if ground_truth == "dslam" and model.is_dir():
        posed, held_out = read_model(model, images).images, set(read_lines(model / "list_test.txt"))
        mapped = drop_named(posed, held_out)
        return BenchmarkScene(name, mapped, to_queries([i for i in posed if i.name in held_out]), candidates)
    if ground_truth == "sfm" and (pseudo / f"{scene}_test.txt").is_file():
        mapped, tests = (read_pseudo_truth(pseudo / f"{scene}_{part}.txt", images) for part in ("train", "test"))
        return BenchmarkScene(name, mapped, to_queries(tests), candidates)
    sequences = {part: read_split(images / f"{part}Split.txt") for part in ("Train", "Test")}
    if ground_truth == "dslam":
        mapped, tests = (
            [i for s in names if (images / s).is_dir() for i in read_seven_scenes(images, (s,)).images]
            for names in sequences.values()
        )
    else:
        posed = read_model(images / "sfm_gt", images).images
        mapped, tests = ([i for i in posed if i.name.split("/")[0] in names] for names in sequences.values())
    return BenchmarkScene(name, mapped, to_queries(tests), candidates)


def read_split(path: Path) -> list[str]:
    """Read `sequence1` lines as `seq-01`."""
    return [f"seq-{int(line.removeprefix('sequence')):02d}" for line in read_lines(path)]


def read_pseudo_truth(path: Path, images: Path) -> list[PosedImage]:
    """Read `image qw qx qy qz tx ty tz focal` lines, cam_from_world; the principal point is in the image's middle."""
    posed = []
    for number, line in enumerate(read_lines(path), 1):
        name, *words = line.split()
        try:
            w, x, y, z, *rest = (float(word) for word in words)
            pose = rigid_from_quaternion((x, y, z, w), rest[:3])
            focal = rest[3]
        except (ValueError, IndexError) as error:
            raise SourceError(f"{path}: line {number}: expected 'image qw qx qy qz tx ty tz focal'") from error
        camera = replace(SEVEN_SCENES_CAMERA, params=(focal, focal, 319.5, 239.5))
        posed.append(PosedImage(name, images / name, camera, pose))
    return posed


def read_cambridge(folder: Path, scene: str) -> BenchmarkScene:
    """Read PoseNet's photographs, and the models that hloc's authors re-triangulated on images 1024 px wide."""
    model, images = folder / "CambridgeLandmarks_Colmap_Retriangulated_1024px" / scene, folder / scene
    held_out = set(read_lines(model / "list_query.txt"))
    everything = read_model(model / "empty_all", images).images
    mapped = [scale_to_file(image) for image in drop_named(read_model(model / "model_train", images).images, held_out)]
    queries = to_queries([scale_to_file(image) for image in everything if image.name in held_out])
    return BenchmarkScene(scene, mapped, queries, read_pairs(model / "pairs-query-netvlad20.txt"))


def read_aachen(folder: Path, version: str) -> BenchmarkScene:
    """Read Aachen Day-Night; `version` v1.0 or v1.1, which are different maps and night queries."""
    images = folder / "images/images_upright"
    model = folder / "3D-models" / f"aachen_{version.replace('.', '_').replace('v', 'v_')}"
    queries = [
        BenchmarkQuery(name, images / name, camera, submitted=name.rsplit("/", 1)[-1])
        for time in ("day", "night")
        for name, camera in read_intrinsics(folder / "queries" / f"{time}_time_queries_with_intrinsics.txt").items()
    ]
    pairs = read_pairs(folder / "pairs/pairs-query-netvlad50.txt")
    return BenchmarkScene(f"aachen-{version}", read_model(model, images).images, queries, pairs)


def read_robotcar(folder: Path, location: str) -> BenchmarkScene:
    """Read RobotCar Seasons: one map per location, queries of three cameras.

    The models say .png, the images are .jpg.
    """
    individual, images = folder / "3D-models/individual", folder / "images"
    model = individual / "colmap_reconstructions" / f"{location}_aligned"
    mapped = [
        replace(image, name=name, path=images / name)
        for image in read_model(model, images).images
        for name in (image.name.replace(".png", ".jpg"),)
    ]
    cameras = {
        side: read_robotcar_camera(folder / "intrinsics" / f"{side}_intrinsics.txt")
        for side in ("left", "rear", "right")
    }
    queries = []
    for name in read_lines(individual / "queries_per_location" / f"queries_location_{location}.txt"):
        side = name.split("/")[-2]
        if side not in cameras:
            raise SourceError(f"location {location}: query {name!r} is of no known camera ({', '.join(cameras)})")
        queries.append(BenchmarkQuery(name, images / name, cameras[side], submitted="/".join(name.split("/")[-2:])))
    return BenchmarkScene(location, mapped, queries, read_pairs(folder / "pairs-query-cosplace20.txt"))


def read_robotcar_camera(path: Path) -> Camera:
    """Read fx, fy, cx and cy, each last on one of the first four lines."""
    lines = read_lines(path)[:4]
    try:
        fx, fy, cx, cy = (float(line.split()[-1]) for line in lines)
    except ValueError as error:
        raise SourceError(f"{path}: expected fx, fy, cx, cy on four lines: {error}") from error
    side = ROBOTCAR_SIDE_PX
    return Camera("PINHOLE", side, side, (fx, fy, *pixels_from_colmap(np.array([cx, cy]))))


def read_cmu(folder: Path, slice_name: str) -> BenchmarkScene:
    """Read Extended CMU Seasons: one map per slice; a query's camera is the third word of its name."""
    at = folder / slice_name
    cameras = read_intrinsics(folder / "intrinsics.txt")
    queries = []
    for name in read_lines(at / f"test-images-{slice_name}.txt"):
        words = name.split("_")
        if len(words) < 3 or words[2] not in cameras:
            raise SourceError(f"{slice_name}: query {name!r} names no camera of intrinsics.txt ({', '.join(cameras)})")
        queries.append(BenchmarkQuery(name, at / "query" / name, cameras[words[2]], submitted=name))
    pairs = read_pairs(at / "pairs-query-cosplace10.txt")
    candidates = {
        query.removeprefix("query/"): [reference.removeprefix("database/") for reference in references]
        for query, references in pairs.items()
    }
    return BenchmarkScene(slice_name, read_model(at / "sparse", at / "database").images, queries, candidates)


def drop_named(images: list[PosedImage], names: set[str]) -> list[PosedImage]:
    """Return the images that are not named; each keeps the landmarks it observes itself."""
    return [image for image in images if image.name not in names]


def to_queries(images: list[PosedImage]) -> list[BenchmarkQuery]:
    """Turn posed images into queries whose truth is known."""
    return [BenchmarkQuery(i.name, i.path, i.camera, i.cam_from_world, i.name) for i in images]


def list_scene_readers(
    name: str, folder: Path, scenes: list[str], ground_truth: str
) -> list[Callable[[], BenchmarkScene]]:
    """Return a reader for each scene of a benchmark, called when its turn comes: a scene can be large."""
    if name == "7scenes":
        return [partial(read_7scenes, folder, s, ground_truth) for s in scenes or SEVEN_SCENES]
    if name in ("aachen", "aachen-v1.1"):
        return [partial(read_aachen, folder, "v1.1" if name.endswith("v1.1") else "v1.0")]
    reader, known = {
        "cambridge": (read_cambridge, CAMBRIDGE),
        "robotcar": (read_robotcar, ROBOTCAR_LOCATIONS),
        "cmu": (read_cmu, CMU_SLICES),
    }[name]
    return [partial(reader, folder, s) for s in scenes or known]
