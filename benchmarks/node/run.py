"""Start the node with a map of the kitchen and let a live robot drive, stand and be carried away: `bench node`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rclpy

from benchmarks.node.live_robot import LiveRobot
from benchmarks.node.measures import (
    bench_drive,
    bench_idle,
    bench_kidnapping,
    bench_unknown_places,
    load_unknown_shots,
    make_drive,
    make_kidnapped_drive,
)
from benchmarks.node.page import PageTable, make_page
from deviloc_ros.config import Config
from deviloc_ros.demo import find_shipped, read_tail
from deviloc_ros.demo.processes import run_module, treat_sigterm_as_interrupt
from deviloc_ros.demo.worlds import BASE_FROM_CAM, World, load_kitchen
from deviloc_ros.mapping.build import build_map
from deviloc_ros.parameters.node_config import NodeConfig

FAST_HZ = 30.0  # as fast as cameras send; the robot drives so much faster, too


def run_benchmark(data: Path, unknown_s: float, map_folder: Path | None, config: Config) -> str:
    """Build the map unless there is one, run the node, measure.

    Returns:
        The page docs/research/node.md.

    Raises:
        ValueError: the data is not there, or the node fails.
    """
    world, load = load_kitchen(data), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        if map_folder is None:
            map_folder = Path(name, "map")
            build_map(world.map_images, map_folder, config)
        with run_node(map_folder) as (robot, pid):
            tables = run_all(robot, world, data, pid, unknown_s)
            return make_page(tables, robot.notes.status["device"], load)


@contextmanager
def run_node(map_folder: Path) -> Iterator[tuple[LiveRobot, int]]:
    """Run the node with a map; yield what plays its robot, and the number of its process.

    Raises:
        ValueError: the node fails.
    """
    with treat_sigterm_as_interrupt(), tempfile.TemporaryDirectory() as name:
        os.environ |= {
            "ROS_DOMAIN_ID": str(20 + os.getpid() % 80),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "FASTDDS_DEFAULT_PROFILES_FILE": str(find_shipped("config/fastdds.xml")),
        }
        parameters = {"map_path": str(map_folder.resolve()), "image_transport": "compressed"}
        arguments = ["--ros-args", *(word for item in parameters.items() for word in ("-p", ":=".join(item)))]
        log = Path(name, "node.log")
        rclpy.init()
        try:
            with (
                run_module("deviloc_ros.ros", *arguments, env=dict(os.environ), log=log) as node,
                LiveRobot(BASE_FROM_CAM) as robot,
            ):
                yield robot, node.pid
        except TimeoutError as error:
            raise ValueError(f"{error}; the end of the node's log:\n{read_tail(log)}") from error
        finally:
            rclpy.try_shutdown()


def run_all(robot: LiveRobot, world: World, data: Path, pid: int, unknown_s: float) -> list[PageTable]:
    """Run all benchmarks, one after the other; each begins with a node that knows of no pose."""
    robot.wait_for_status("active")
    tables = []
    for rate_hz in (world.rate_hz, FAST_HZ):
        shots = make_drive(world.frames, world.camera, rate_hz)
        tables.append(bench_drive(robot, shots, rate_hz, 1 / NodeConfig().tf_publish_rate_hz))
        print(tables[-1], flush=True)
    tables.append(bench_idle(robot, pid))
    print(tables[-1], flush=True)
    carried, jumps = make_kidnapped_drive(world.frames, world.camera, world.rate_hz)
    tables.append(bench_kidnapping(robot, carried, jumps, world.rate_hz))
    print(tables[-1], flush=True)
    tables.append(bench_unknown_places(robot, load_unknown_shots(data), world.rate_hz, unknown_s))
    print(tables[-1], flush=True)
    return tables
