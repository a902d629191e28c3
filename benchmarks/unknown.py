"""Localize ten thousand images of other places in maps, and measure wrong fixes and recall.

    python -m benchmarks.unknown --data DATA --output FOLDER [--queries N] [--photographs FOLDER ...]

Maps of four scenes are asked for every image of the other scenes, for rendered rooms, facades and streets and for
photographs, each as it is and changed in eight ways; for their own images mirrored and as posters in others; and for
their own queries, as they are and changed. Rows are written as they come; a second run goes on where the first ended.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray
from tqdm import tqdm

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config, TrackingConfig
from deviloc_ros.config_fields import change_config
from deviloc_ros.evaluation.metrics import compare_to_truth
from deviloc_ros.evaluation.protocols.run import RememberingMatcher
from deviloc_ros.evaluation.protocols.scenes import load_protocol, load_strecha
from deviloc_ros.evaluation.summary_table import align_table
from deviloc_ros.imaging import read_gray
from deviloc_ros.localizer import Localizer
from deviloc_ros.mapping.build import MapBuilder
from deviloc_ros.maps.store import Map
from deviloc_ros.matching import create_matcher
from deviloc_ros.matching.base import Matcher
from deviloc_ros.sfm.map_networks import Networks
from deviloc_ros.sources.base import PosedImage, Source
from deviloc_ros.sources.colmap import read_model
from deviloc_ros.sources.image_files import scale_camera
from deviloc_ros.sources.kitti import read_kitti
from deviloc_ros.sources.photographs import find_photographs
from deviloc_ros.synthetic.degradations import mirror
from deviloc_ros.synthetic.facade import make_facade
from deviloc_ros.synthetic.render import render_color
from deviloc_ros.synthetic.room import make_room
from deviloc_ros.synthetic.street import make_street
from deviloc_ros.synthetic.trajectory import sample_views_of_a_place
from deviloc_ros.tracking.follower import Follower
from deviloc_ros.tracking.odometry import Odometry
from deviloc_ros.tracking.rig_images import StampedImage
from deviloc_ros.types import Lost
from deviloc_ros.workers.base import Serial

ROWS = "rows.jsonl"
WIDEST_PX = 640  # wider images are made smaller: what they show counts, and there are many
RENDERED, VIEWS_OF_ONE = 20, 4  # scenes of each kind
RENDER_CAMERA = Camera("PINHOLE", 640, 480, (525.0, 525.0, 319.5, 239.5))
LEAST_INLIERS = 12  # asked with; what more inliers would have refused is read off the answers
THRESHOLDS = (12, 15, 20, 25, 30, 40, 60, 100)
FRAMES_AROUND, RATE_NS = 5, 200_000_000  # of a wrong fix, seen again by a robot
Change = Callable[[NDArray, np.random.Generator], NDArray]


@dataclass(frozen=True, slots=True, eq=False)
class AskedPicture:
    """Hold an image, from which scene it is, and where it was taken in that; None where that is of no interest."""

    name: str
    scene: str
    camera: Camera
    load: Callable[[], NDArray]
    cam_from_world: pycolmap.Rigid3d | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """Hold what maps of scenes are asked: a picture, changed; whether they hold what it shows."""

    picture: AskedPicture
    change: str
    scenes: tuple[str, ...]
    inside: bool


# Light, cover and blur are others than in `synthetic.degradations`, which photons and lenses make: published figures
# are of these.
def blur(gray: NDArray, _rng: np.random.Generator) -> NDArray:
    """Return the image out of focus."""
    return cv2.GaussianBlur(gray, (0, 0), 3.0)


def darken(gray: NDArray, rng: np.random.Generator) -> NDArray:
    """Return the image with a tenth of the light, and a sensor's noise."""
    return np.clip(gray * 0.1 + rng.normal(0, 2.0, gray.shape), 0, 255).astype(np.uint8)


def overexpose(gray: NDArray, rng: np.random.Generator) -> NDArray:
    """Return the image three times as bright, and noisy."""
    return np.clip(gray * 3.0 + rng.normal(0, 8.0, gray.shape), 0, 255).astype(np.uint8)


def cover(gray: NDArray, rng: np.random.Generator) -> NDArray:
    """Return the image with nine tenths of it covered: a window is left."""
    height, width = (round(side * 0.1**0.5) for side in gray.shape)
    y, x = (int(rng.integers(0, side - part)) for side, part in zip(gray.shape, (height, width), strict=True))
    covered = np.full_like(gray, 90)
    covered[y : y + height, x : x + width] = gray[y : y + height, x : x + width]
    return covered


def zoom_in(gray: NDArray, _rng: np.random.Generator) -> NDArray:
    """Return the middle of the image, twice as large."""
    height, width = gray.shape
    middle = gray[height // 4 : height // 4 + height // 2, width // 4 : width // 4 + width // 2]
    return cv2.resize(middle, (width, height), interpolation=cv2.INTER_CUBIC)


CHANGES: dict[str, Change] = {
    "as it is": lambda gray, _rng: gray,
    "mirrored": mirror,
    "upside down": lambda gray, _rng: gray[::-1, ::-1].copy(),
    "blurred": blur,
    "dark": darken,
    "overexposed": overexpose,
    "90 % covered": cover,
    "zoomed in": zoom_in,
}
KEEPING_POSE = ("as it is", "blurred", "dark", "overexposed", "90 % covered")  # the answer can be compared


def take_posed(image: PosedImage, scene: str) -> AskedPicture:
    """Return a posed image as a picture, no wider than WIDEST_PX."""
    scale = min(1.0, WIDEST_PX / image.camera.width)
    width, height = (round(scale * side) for side in (image.camera.width, image.camera.height))
    camera = scale_camera(image.camera, width, height)
    load = partial(read_resized, image.path, (width, height))
    return AskedPicture(f"{scene}/{image.name}", scene, camera, load, image.cam_from_world)


def read_resized(path: Path, size: tuple[int, int]) -> NDArray:
    """Return a gray image of a size (width, height)."""
    gray = read_gray(path)
    same = gray.shape[1::-1] == size
    return gray if same else cv2.resize(gray, size, interpolation=cv2.INTER_AREA)


def take_photograph(path: Path) -> AskedPicture:
    """Return a photograph, as if its lens saw 53 degrees."""
    gray = read_gray(path)
    scale = min(1.0, WIDEST_PX / gray.shape[1])
    width, height = (round(scale * side) for side in gray.shape[1::-1])
    camera = Camera("PINHOLE", width, height, (float(width), float(width), (width - 1) / 2, (height - 1) / 2))
    return AskedPicture(f"photograph/{path.name}", "photograph", camera, partial(read_resized, path, (width, height)))


def render_pictures() -> Iterator[AskedPicture]:
    """Yield views of rendered rooms, facades and streets that are in no map."""
    for kind, make in (("room", make_room), ("facade", make_facade), ("street", make_street)):
        for seed in range(RENDERED):
            rng = np.random.default_rng(1000 + seed)
            scene = make(rng)
            for number, pose in enumerate(sample_views_of_a_place(scene, RENDER_CAMERA, rng, VIEWS_OF_ONE)):
                load = partial(render_gray, scene, pose)
                yield AskedPicture(f"rendered/{kind}-{seed}-{number}", "rendered", RENDER_CAMERA, load)


def render_gray(scene: Any, pose: pycolmap.Rigid3d) -> NDArray:
    """Return a rendered view in gray."""
    return cv2.cvtColor(render_color(scene, RENDER_CAMERA, pose), cv2.COLOR_BGR2GRAY)


def hang_poster(gray: NDArray, poster: NDArray, rng: np.random.Generator) -> NDArray:
    """Return the image with a picture of another place on a wall that is seen aslant."""
    height, width = gray.shape
    corners = np.array([[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]]) + rng.uniform(-0.12, 0.12, (4, 2))
    corners = (corners * [width, height]).astype(np.float32)
    sides = np.array(poster.shape[1::-1], np.float32)
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32) * sides
    warp = cv2.getPerspectiveTransform(square, corners)
    hung = cv2.warpPerspective(poster, warp, (width, height))
    where = cv2.warpPerspective(np.full_like(poster, 255), warp, (width, height)) > 0
    return np.where(where, hung, gray)


@dataclass(frozen=True, slots=True, eq=False)
class AskedMap:
    """Hold a map's images, and those of its scene that it can be asked for."""

    scene: str
    images: list[PosedImage]
    queries: list[AskedPicture]


def load_maps(data: Path) -> list[AskedMap]:
    """Return the scenes to map, every second image of the small ones."""
    (kitchen,) = load_protocol("kitchen-36", data).folds
    (drive,) = load_protocol("drive-even", data).folds
    maps = [AskedMap("kitchen", kitchen.map_images, [take_posed(image, "kitchen") for image in kitchen.queries])]
    maps.append(AskedMap("drive", drive.map_images, [take_posed(image, "drive") for image in drive.queries]))
    for scene in ("fountain", "entry"):
        images = load_strecha(scene, data)
        maps.append(AskedMap(scene, images[::2], [take_posed(image, scene) for image in images[1::2]]))
    return maps


def load_pictures(data: Path, photographs: Sequence[Path]) -> list[AskedPicture]:
    """Return all images of all scenes, the rendered ones, and the photographs in folders."""
    folder = data / "7scenes/redkitchen"
    pictures = [take_posed(image, "kitchen") for image in read_model(folder / "sfm_gt", folder).images]
    pictures += [take_posed(image, "drive") for image in read_kitti(data / "kitti/excerpt-1").images]
    for scene in ("fountain", "entry"):
        pictures += [take_posed(image, scene) for image in load_strecha(scene, data)]
    pictures += list(render_pictures())
    return pictures + [take_photograph(path) for folder in photographs for path in find_photographs(folder)[0]]


def list_questions(maps: Sequence[AskedMap], pictures: Sequence[AskedPicture]) -> list[Question]:
    """Return what is asked, in a random order that is always the same: a part of them is a fair sample."""
    scenes = tuple(asked.scene for asked in maps)
    questions = []
    for picture in pictures:
        elsewhere = tuple(scene for scene in scenes if scene != picture.scene)
        questions += [Question(picture, change, elsewhere, False) for change in CHANGES]
        if picture.scene in scenes:
            questions += [Question(picture, change, (picture.scene,), False) for change in ("mirrored", "poster")]
    for asked in maps:
        inside = [
            Question(picture, change, (asked.scene,), True) for picture in asked.queries for change in KEEPING_POSE
        ]
        questions += inside
    order = np.random.default_rng(0).permutation(len(questions))
    return [questions[number] for number in order]


def show(question: Question, pictures: Sequence[AskedPicture]) -> tuple[NDArray, Camera]:
    """Return the pixels that a question shows, and the camera."""
    picture = question.picture
    rng = np.random.default_rng(sum(map(ord, picture.name + question.change)))
    gray = picture.load()
    if question.change != "poster":
        return CHANGES[question.change](gray, rng), picture.camera
    others = [other for other in pictures if other.scene not in (picture.scene, "photograph")]
    wall = others[int(rng.integers(len(others)))]
    return hang_poster(wall.load(), gray, rng), wall.camera


def ask(localizer: Localizer, question: Question, gray: NDArray, camera: Camera) -> dict[str, Any]:
    """Return what a map answers, and whether it is wrong: any answer is, where the map does not hold what is shown."""
    result = localizer.localize(gray, camera)
    truth = question.picture.cam_from_world
    outcome = compare_to_truth(question.picture.name, result, truth if truth is not None else pycolmap.Rigid3d())
    return {
        "picture": question.picture.name,
        "change": question.change,
        "inside": question.inside,
        "localized": outcome.localized,
        "wrong": bool(outcome.localized and (not question.inside or outcome.is_wrong_fix)),
        "reason": result.reason.word if isinstance(result, Lost) else "",
        "inliers": result.evidence.inliers,
        "inlier_ratio": round(result.evidence.inlier_ratio, 4),
        "coverage": round(result.evidence.coverage, 3),
    }


def run_questions(data: Path, output: Path, count: int, photographs: Sequence[Path]) -> None:
    """Ask `count` times, and write each answer as it comes."""
    output.mkdir(parents=True, exist_ok=True)
    done = {(row["map"], row["picture"], row["change"], row["inside"]) for row in read_rows(output)}
    maps, pictures = load_maps(data), load_pictures(data, photographs)
    matcher = create_matcher(Config().matcher)
    localizers = {asked.scene: open_map(asked, output, matcher) for asked in maps}
    asked_times, bar = 0, tqdm(total=count, unit="query", mininterval=30)
    with (output / ROWS).open("a") as rows:
        for question in list_questions(maps, pictures):
            left = [
                s for s in question.scenes if (s, question.picture.name, question.change, question.inside) not in done
            ]
            once = RememberingMatcher(matcher)  # extracts an image once for all maps
            gray, camera = show(question, pictures) if left else (np.zeros((1, 1)), RENDER_CAMERA)
            for scene in left:
                localizer = localizers[scene]
                localizer.matcher = once
                localizer.config = change_config(localizer.config, pose={"min_inliers": LEAST_INLIERS})
                rows.write(json.dumps({"map": scene, **ask(localizer, question, gray, camera)}) + "\n")
                rows.flush()
            asked_times += len(question.scenes)
            bar.update(len(question.scenes))
            if asked_times >= count:
                break


def open_map(asked: AskedMap, output: Path, matcher: Matcher) -> Localizer:
    """Open a scene's map; it is built unless it is there."""
    path = output / f"{asked.scene}.map"
    if not path.is_dir():
        MapBuilder(Networks(Config(), matcher), Serial(quiet=True)).build(Source(asked.images, []), path)
    return Localizer(Map.open(path), matcher=matcher)


def read_rows(output: Path) -> list[dict[str, Any]]:
    """Return the answers written so far."""
    path = output / ROWS
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def summarize_threshold(rows: Sequence[dict[str, Any]], least_inliers: int) -> dict[str, Any]:
    """Return wrong fixes and recall if poses with fewer inliers than this are refused."""
    given = [row for row in rows if row["localized"] and row["inliers"] >= least_inliers]
    unknown, inside = ([row for row in rows if row["inside"] is side] for side in (False, True))
    as_they_are = [row for row in inside if row["change"] == "as it is"]
    wrong = sum(row["wrong"] for row in given if not row["inside"])
    right = [row for row in given if row["inside"] and not row["wrong"]]
    return {
        "least_inliers": least_inliers,
        "unknown": len(unknown),
        "wrong": wrong,
        "wrong_per_thousand": 1000 * wrong / max(len(unknown), 1),
        "inside": len(inside),
        "inside_wrong": sum(row["wrong"] for row in given if row["inside"]),
        "recall": len(right) / max(len(inside), 1),
        "recall_as_they_are": sum(row["change"] == "as it is" for row in right) / max(len(as_they_are), 1),
    }


def follow_wrong_fixes(
    data: Path, output: Path, photographs: Sequence[Path], least_inliers: int
) -> list[dict[str, Any]]:
    """Let a robot see each wrong fix: the picture for a second, then others of its scene; return what it published.

    The robot stands, and odometry says so: fixes of one picture that stay where they are would confirm each other.
    """
    pictures = load_pictures(data, photographs)
    by_name = {picture.name: picture for picture in pictures}
    wrong = [row for row in read_rows(output) if row["localized"] and row["wrong"] and row["inliers"] >= least_inliers]
    matcher, said = create_matcher(Config().matcher), []
    for asked in load_maps(data):
        for row in (row for row in wrong if row["map"] == asked.scene):
            follower = Follower(open_map(asked, output, matcher), TrackingConfig())
            around = pictures_around(by_name[row["picture"]], pictures)
            published = 0
            for number, picture in enumerate(around):
                gray, camera = show(Question(picture, row["change"], (asked.scene,), row["inside"]), pictures)
                stamp_ns = 1_000_000_000 + number * RATE_NS
                image = StampedImage(stamp_ns, gray, camera, pycolmap.Rigid3d())
                step = follower.follow([image], lambda *_: Odometry(pycolmap.Rigid3d()), stamp_ns)
                published += step.fix is not None
            said.append({**row, "images": len(around), "published": published})
    return said


def pictures_around(picture: AskedPicture, pictures: Sequence[AskedPicture]) -> list[AskedPicture]:
    """Return the pictures of a scene around one of them, in their order."""
    scene = [other for other in pictures if other.scene == picture.scene]
    middle = next(number for number, other in enumerate(scene) if other.name == picture.name)
    return scene[max(middle - FRAMES_AROUND, 0) : middle + FRAMES_AROUND + 1]


def render_tables(rows: Sequence[dict[str, Any]], followed: Sequence[dict[str, Any]]) -> str:
    """Return the curve over the threshold, what kinds of pictures were asked, and each wrong fix."""
    curve = [
        [
            str(one["least_inliers"]),
            f"{one['wrong']} / {one['unknown']}",
            f"{one['wrong_per_thousand']:.2f}",
            f"{one['inside_wrong']} / {one['inside']}",
            f"{one['recall']:.3f}",
            f"{one['recall_as_they_are']:.3f}",
        ]
        for one in (summarize_threshold(rows, threshold) for threshold in THRESHOLDS)
    ]
    head = ["inliers at least", "wrong of unknown", "per thousand", "wrong inside", "recall, all inside", "as they are"]
    kinds = []
    for change in (*CHANGES, "poster"):
        some = [row for row in rows if row["change"] == change and not row["inside"]]
        given = [row for row in some if row["wrong"] and row["inliers"] >= 30]
        kinds.append([change, str(len(some)), str(len(given)), str(max((row["inliers"] for row in some), default=0))])
    each = [
        [row["map"], row["picture"], row["change"], str(row["inliers"]), f"{row['published']} / {row['images']}"]
        for row in followed
    ]
    return "\n\n".join(
        [
            align_table(head, curve),
            align_table(["unknown pictures", "queries", "wrong", "most inliers"], kinds),
            align_table(["map", "wrong fix", "change", "inliers", "published behind the tracker"], each),
        ]
    )


def main() -> None:
    """Ask, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of 7scenes, strecha and kitti")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="maps and answers are kept there")
    parser.add_argument("--queries", type=int, default=11_000, metavar="N", help="default: %(default)s")
    parser.add_argument("--photographs", type=Path, nargs="*", default=[], metavar="FOLDER", help="of other places")
    options = parser.parse_args()
    run_questions(options.data, options.output, options.queries, options.photographs)
    followed = follow_wrong_fixes(options.data, options.output, options.photographs, least_inliers=30)
    print(render_tables(read_rows(options.output), followed))


if __name__ == "__main__":
    main()
