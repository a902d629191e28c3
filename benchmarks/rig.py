"""Measure a rig of four cameras in rendered rooms, and what a rig of two costs against one camera.

python -m benchmarks.rig [--folder DIR] [--data DATA]: a robot drives through each room; its cameras look ahead, left,
back and right. The same drive is recorded with images of one time, with images up to 60 ms apart, and with one camera
that dies in the middle; each recording is evaluated as `evaluate-bag` does. With --data, images of the kitchen are
localized one by one and by two.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pycolmap

from deviloc_ros.bags.bag_plan import TruthSource, index_bag
from deviloc_ros.bags.reader import Recording
from deviloc_ros.bags.writer import BagWriter
from deviloc_ros.camera import Camera
from deviloc_ros.config import Config, TrackingConfig
from deviloc_ros.config_fields import change_config
from deviloc_ros.demo.recording import START_NS, simulate_odometry
from deviloc_ros.demo.worlds import BASE_FROM_CAM
from deviloc_ros.evaluation.protocols.run import Evaluation, as_rig_image
from deviloc_ros.evaluation.protocols.scenes import load_protocol
from deviloc_ros.evaluation.recordings.bag_run import EvaluationPlan, read_truth, run_offline, summarize_run
from deviloc_ros.evaluation.recordings.run_folder import Run
from deviloc_ros.geometry import perturb_pose
from deviloc_ros.io.tum_trajectory import Stamped
from deviloc_ros.localizer import Localizer
from deviloc_ros.mapping.build import build_map
from deviloc_ros.maps.store import Map
from deviloc_ros.pose.rig_consensus import move_prior_to_camera
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.synthetic.render import render_color
from deviloc_ros.synthetic.room import make_room
from deviloc_ros.synthetic.scene import Scene
from deviloc_ros.synthetic.trajectory import make_smooth_path
from deviloc_ros.types import Prior

CAMERA = Camera("PINHOLE", 320, 240, (262.0, 262.0, 159.5, 119.5))
TURNS_DEG = {"front": 0.0, "left": 90.0, "back": 180.0, "right": 270.0}  # of each camera about the robot's z
EARLIER_NS = {"front": 60_000_000, "left": 40_000_000, "back": 20_000_000, "right": 0}  # where they are not of one time
PERIOD_NS, ODOMETRY_NS = 100_000_000, 20_000_000
ROOMS = 3
PLACES, IMAGES, SPAN = 16, 30, 0.15  # of the map, of the drive, and its share of a closed path: as fast as in the demo
DEAD = "left"
LATENCY_EVERY = 3  # of the kitchen's rigs of two


def mount_of(name: str) -> pycolmap.Rigid3d:
    """Return base_from_cam of a camera."""
    turn = pycolmap.Rotation3d(np.array([0.0, 0.0, np.deg2rad(TURNS_DEG[name])]))
    return pycolmap.Rigid3d(turn, np.zeros(3)) * BASE_FROM_CAM


class RigDrive:
    """Hold the room, and where the robot is in it at any time of its drive."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.scene: Scene = make_room(self.rng)
        self.scene.free_low[2] = self.scene.free_high[2] = 1.1  # the robot stays on the floor
        target = (self.scene.free_low + self.scene.free_high) / 2 + [0, 0.6 * self.scene.free_high[1], 0]
        self.places = make_smooth_path(self.scene, self.rng, PLACES, target)
        self.path = make_smooth_path(self.scene, self.rng, IMAGES + 2, target, span=SPAN)

    def map_from_base(self, time_ns: int) -> pycolmap.Rigid3d:
        """Return where the robot is; one pose of the path a period, and it moves evenly between them."""
        number, part_ns = divmod(time_ns - START_NS, PERIOD_NS)
        before, after = (pose.inverse() * BASE_FROM_CAM.inverse() for pose in self.path[number : number + 2])
        return pycolmap.Rigid3d.interpolate(before, after, part_ns / PERIOD_NS)

    def map_images(self, folder: Path) -> list[PosedImage]:
        """Render what all cameras see from the places of the map."""
        images = []
        for number, pose in enumerate(self.places):
            for name in TURNS_DEG:
                cam_from_map = mount_of(name).inverse() * BASE_FROM_CAM * pose
                path = folder / f"{number:02d}-{name}.png"
                cv2.imwrite(str(path), render_color(self.scene, CAMERA, cam_from_map))
                images.append(PosedImage(path.name, path, CAMERA, cam_from_map))
        return images

    def record(
        self, path: Path, earlier_ns: Mapping[str, int], *, dead: str = "", turned: Mapping[str, float] | None = None
    ) -> None:
        """Write the drive as a bag. dead: a camera that sends nothing from the middle on.

        earlier_ns: how long before the newest image each camera takes its own. turned: by how many degrees about its y
        a camera is off what the recording says of it.
        """
        first_ns = START_NS + PERIOD_NS
        stamps_ns = [first_ns + number * PERIOD_NS for number in range(IMAGES)]
        events: list[tuple[int, str]] = [(t - earlier_ns[name], name) for t in stamps_ns for name in TURNS_DEG]
        moments_ns = range(START_NS, stamps_ns[-1] + 1, ODOMETRY_NS)
        true: list[Stamped] = [(time_ns, self.map_from_base(time_ns)) for time_ns in moments_ns]
        odometry = simulate_odometry(true, np.random.default_rng(1))
        with BagWriter(path) as bag:
            for name in TURNS_DEG:
                off = np.array([0.0, 0.0, 0.0, 0.0, np.deg2rad((turned or {}).get(name, 0.0)), 0.0])
                bag.write_transform(START_NS, "base_link", f"{name}_optical", perturb_pose(off, mount_of(name)), True)
            for time_ns, name in sorted(events):
                while odometry and odometry[0][0] <= time_ns:
                    bag.write_transform(odometry[0][0], "odom", "base_link", odometry.pop(0)[1])
                if name == dead and time_ns > stamps_ns[IMAGES // 2]:
                    continue
                map_from_base = self.map_from_base(time_ns)
                bag.write_pose("/ground_truth", time_ns, "map", map_from_base)
                bag.write_camera_info(f"/{name}/camera_info", time_ns, f"{name}_optical", CAMERA)
                pixels = render_color(self.scene, CAMERA, mount_of(name).inverse() * map_from_base.inverse())
                bag.write_image(f"/{name}/image", time_ns, f"{name}_optical", pixels)


def evaluate(bag: Path, localizer: Localizer, names: tuple[str, ...] = tuple(TURNS_DEG)) -> Run:
    """Return what becomes of a recording, localized by the cameras of these names."""
    first, *beside = (f"/{name}/image" for name in names)
    plan = EvaluationPlan(image_topic=first, beside=tuple(beside), truth=TruthSource(topic="/ground_truth"))
    with Recording(bag) as recording:
        indexed = index_bag(recording, plan)
        truth = read_truth(indexed, plan)
        estimates, about = run_offline(indexed, plan, localizer, TrackingConfig())
        return summarize_run(indexed, plan, truth, estimates, about)


RECORDINGS: dict[str, dict[str, Any]] = {
    "synchronized": {"earlier_ns": dict.fromkeys(TURNS_DEG, 0)},
    "apart": {"earlier_ns": EARLIER_NS},
    "apart, one dies": {"earlier_ns": EARLIER_NS, "dead": DEAD},
    "apart, one turned by 3 deg": {"earlier_ns": EARLIER_NS, "turned": {DEAD: 3.0}},
}


def measure_drives(folder: Path, rooms: int) -> Iterator[tuple[str, list[Run]]]:
    """Yield the name of each recording, and what becomes of it in each room. folder: maps and recordings are kept."""
    folders = [folder / f"room-{seed}" for seed in range(rooms)]
    localizers = [Localizer(open_map(path, RigDrive(seed))) for seed, path in enumerate(folders)]
    for name, options in RECORDINGS.items():
        bags = [path / name.replace(" ", "-").replace(",", "") for path in folders]
        for seed, bag in enumerate(bags):
            if not bag.exists():
                RigDrive(seed).record(bag, **options)
        yield name, [evaluate(bag, localizer) for bag, localizer in zip(bags, localizers, strict=True)]
    alone = [
        evaluate(path / "synchronized", localizer, ("front",))
        for path, localizer in zip(folders, localizers, strict=True)
    ]
    yield "front alone", alone


def open_map(folder: Path, drive: RigDrive) -> Map:
    """Return the map of a room, made unless it is there."""
    path = folder / "room.map"
    if not path.exists():
        (folder / "images").mkdir(parents=True, exist_ok=True)
        config = change_config(Config(), matcher={"max_keypoints": 1024})
        build_map(drive.map_images(folder / "images"), path, config, quiet=True)
    return Map.open(path)


def measure_latency(data: Path) -> dict[str, float]:
    """Return the median milliseconds of one camera and of a rig of two, by turns on the same images, and their ratio.

    The images are those of kitchen-72-rig2, with true priors, as a robot that is followed has them.
    """
    protocol = load_protocol("kitchen-72-rig2", data, every=LATENCY_EVERY)
    one_ms, two_ms = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Evaluation(protocol, Config()).build_fold(
            protocol.folds[0].map_images, Path(folder) / "kitchen.map", Config(), None
        )
        localizer = Localizer(Map.open(path))
        for query in protocol.folds[0].queries:
            images = [as_rig_image(image, query) for image in (query, *protocol.beside[query.name])]
            prior = Prior(query.cam_from_world)
            start_s = time.perf_counter()
            for image in images:
                localizer.localize(image.pixels, image.camera, move_prior_to_camera(image, prior), name=image.name)
            middle_s = time.perf_counter()
            localizer.localize_rig(images, prior)
            one_ms.append(1e3 * (middle_s - start_s) / len(images))
            two_ms.append(1e3 * (time.perf_counter() - middle_s))
    one, two = float(np.median(one_ms[1:])), float(np.median(two_ms[1:]))  # the first reads the map
    return {"one_ms": one, "two_ms": two, "ratio": two / one}


def describe(name: str, runs: Sequence[Run]) -> str:
    """Return a line of the table, of all rooms together."""
    frames = [frame for run in runs for frame in run.frames if frame.estimate.tried]
    errors_m = [frame.translation_m for frame in frames if frame.localized]
    used: Counter[str] = Counter()
    for report in (report for frame in frames for report in frame.estimate.cameras):
        used[report.name] += report.used
    wrong, shares = sum(frame.is_wrong_fix for frame in frames), ", ".join(f"{n} {count}" for n, count in used.items())
    line = f"| {name} | {len(errors_m)} / {len(frames)} | {wrong} | {100 * np.median(errors_m):.2f} cm | {shares} |"
    said = [f"{c}: {text}" for run in runs for c, text in run.summary.get("camera_complaints", {}).items()]
    return "\n  ".join([line, *said])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rig", description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="keep map and recordings there")
    parser.add_argument("--rooms", type=int, default=ROOMS, help="default: %(default)s")
    parser.add_argument("--data", type=Path, help="folder of the data sets; then latency is measured")
    options = parser.parse_args()
    if options.data:
        print(
            "one camera {one_ms:.0f} ms, a rig of two {two_ms:.0f} ms, {ratio:.2f} times".format(
                **measure_latency(options.data)
            )
        )
        return
    print("| recording | localized | wrong | median | cameras used |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        for name, runs in measure_drives(options.folder or Path(temporary), options.rooms):
            print(describe(name, runs), flush=True)


if __name__ == "__main__":
    main()
