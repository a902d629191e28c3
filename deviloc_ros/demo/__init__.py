"""Demonstrate everything.

Make a map and a bag, start the node, replay the bag to it over DDS, compare with the truth.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deviloc_ros.config import Config
from deviloc_ros.demo.processes import run_module, treat_sigterm_as_interrupt, wait_for_exit
from deviloc_ros.demo.recording import IMAGE_TOPIC, INFO_TOPIC, write_bag
from deviloc_ros.demo.report import compare_poses
from deviloc_ros.demo.worlds import World, load_kitchen, render_room
from deviloc_ros.evaluation.trajectory_picture import draw_trajectory
from deviloc_ros.io.tum_trajectory import Stamped, read_tum, write_tum
from deviloc_ros.mapping.build import build_map
from deviloc_ros.messages import COMPRESSED_SUFFIX

MARKER = ".deviloc-demo"  # only a folder with this file in it is emptied
LOG_LINES_SHOWN = 15


def run_demo(data: Path | None, output: Path) -> int:
    """Run the demo; return 0 if poses came and none is wrong, 130 if it was interrupted.

    Args:
        data: holds 7scenes/redkitchen; None renders a room.

    Raises:
        ValueError: `output` holds something else, or the data is not there.
    """
    with treat_sigterm_as_interrupt():
        try:
            return run_steps(data, output)
        except KeyboardInterrupt:
            print("\ninterrupted")
            return 130


def run_steps(data: Path | None, output: Path) -> int:
    """Run the five steps, each with its headline and time."""
    prepare_folder(output)
    with print_step(1, "the world"):
        world = load_kitchen(data) if data else render_room(output)
        print(f"{world.title}: {len(world.map_images)} images for the map, {len(world.frames)} for the drive")
    with print_step(2, "the map"):
        report = build_map(world.map_images, output / "map", Config())
        print(f"{report.views} views, {report.landmarks} landmarks, {report.lifted_share:.0%} of keypoints lifted")
    with print_step(3, "the recording"):
        truth = write_bag(world, output / "bag")
        write_tum(output / "truth.tum", truth)
    with print_step(4, "the node, and the recording replayed to it over DDS"):
        estimated = localize_bag(world, output)
    with print_step(5, "the result"):
        return print_result(world, truth, estimated, output)


def prepare_folder(output: Path) -> None:
    """Make an empty folder, known to be the demo's; raise ValueError if it holds anything but an earlier demo."""
    if output.exists() and any(output.iterdir()) and not (output / MARKER).exists():
        raise ValueError(f"{output} is not empty and not of an earlier demo; choose another --output")
    if output.exists():
        shutil.rmtree(output)
    output.mkdir(parents=True)
    (output / MARKER).touch()


@contextmanager
def print_step(number: int, what: str) -> Iterator[None]:
    """Print a headline before, and the time it took after."""
    print(f"\n[{number}/5] {what}", flush=True)
    started_s = time.monotonic()
    yield
    print(f"      {time.monotonic() - started_s:.1f} s", flush=True)


def find_shipped(name: str) -> Path:
    """Find a file of the package's share folder, in a source tree, a ROS workspace or a virtual environment.

    Raises:
        FileNotFoundError: it is in none of them.
    """
    prefixes = [*filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)), sys.prefix]
    places = [Path(__file__).parents[2], *(Path(prefix) / "share" / "deviloc_ros" for prefix in prefixes)]
    for place in places:
        if (place / name).is_file():
            return place / name
    raise FileNotFoundError(f"{name} is in none of {', '.join(map(str, places))}")


def localize_bag(world: World, output: Path) -> list[Stamped]:
    """Run the node and the replay, two processes in a ROS domain of their own; return (time [ns], map_from_base)."""
    env = os.environ | {
        "ROS_DOMAIN_ID": str(20 + os.getpid() % 80),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "FASTDDS_DEFAULT_PROFILES_FILE": str(find_shipped("config/fastdds.xml")),
    }
    log, poses = output / "node.log", output / "estimated.tum"
    image_topic = IMAGE_TOPIC + (COMPRESSED_SUFFIX if world.compressed else "")
    replay_arguments = [str(output / "bag"), "--image", image_topic, "--poses", str(poses), "--bar"]
    try:
        with (
            run_module("deviloc_ros.ros", *node_arguments(world, output), env=env, log=log) as node,
            run_module("deviloc_ros.ros.tools.replay", *replay_arguments, env=env) as replay,
        ):
            status = wait_for_exit(replay, needed=node)
    except RuntimeError as error:
        raise ValueError(f"the node failed: {error}\n{read_tail(log)}") from error
    if status or not poses.exists():
        raise ValueError(f"the replay failed with status {status}; the end of the node's log:\n{read_tail(log)}")
    return read_tum(poses)


def node_arguments(world: World, output: Path) -> list[str]:
    """Return the node's parameters: the shipped file, and what is the demo's own."""
    values = {
        "use_sim_time": "true",  # the replay keeps the bag's time
        "map_path": str((output / "map").resolve()),
        "image_topic": IMAGE_TOPIC,
        "camera_info_topic": INFO_TOPIC,
        "image_transport": "compressed" if world.compressed else "raw",
    }
    arguments = ["--ros-args", "--params-file", str(find_shipped("config/deviloc.yaml"))]
    for name, value in values.items():
        arguments += ["-p", f"{name}:={value}"]
    return arguments


def read_tail(log: Path) -> str:
    """Return the last lines of a log."""
    return "\n".join(f"    {line}" for line in log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])


def print_result(world: World, truth: list[Stamped], estimated: list[Stamped], output: Path) -> int:
    """Print errors, draw the picture; return 0 if there are poses and none is wrong."""
    comparison = compare_poses(truth, estimated)
    print(comparison)
    picture = output / "trajectory.png"
    keyframes = [image.cam_from_world.inverse() for image in world.map_images]
    draw_trajectory(picture, truth, estimated, keyframes, f"{world.title}: {comparison.headline()}")
    print(f"picture: {picture}")
    print("next: docs/tutorial.md, which does the same step by step")
    return 0 if comparison.localized and not comparison.wrong_fixes else 1
