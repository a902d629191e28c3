"""Write posed images as the recording of a robot with drifting odometry: `simulate-bag`."""

from __future__ import annotations

import argparse
from pathlib import Path

from deviloc_ros.commands.flags.common import add_overwrite, parse_number, set_results
from deviloc_ros.commands.flags.sources import add_source, open_posed_images

SLOWEST_HZ, FASTEST_HZ = 1e-3, 1e3  # a bag's stamps are seconds of 32 bits, and nanoseconds


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    add_source(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="BAG", help="the bag folder to write")
    parser.add_argument(
        "--rate-hz", type=parse_rate, default=10.0, metavar="HZ", help="images per second (%(default)s)"
    )
    parser.add_argument(
        "--drift", type=parse_share, default=0.01, metavar="SHARE", help="share of distance and rotation (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed of the drift (%(default)s)")
    parser.add_argument("--truth", type=Path, metavar="FILE.tum", help="write the camera's true poses there")
    add_overwrite(parser, folders=["output", "keyframes"])
    set_results(parser, files=["truth"])
    parser.set_defaults(run=run)


def parse_rate(text: str) -> float:
    """Parse how many images a second a robot takes."""
    return parse_number(text, SLOWEST_HZ, f"{SLOWEST_HZ:g} to {FASTEST_HZ:g}", most=FASTEST_HZ)


def parse_share(text: str) -> float:
    """Parse a share, of 0 to 1."""
    return parse_number(text, 0.0, "a share of 0 to 1", most=1.0)


def run(options: argparse.Namespace) -> int:
    """Write the bag, and the truth if it is asked for."""
    import numpy as np

    from deviloc_ros.demo.recording import interpolate_poses, list_true_poses, simulate_odometry, write_bag
    from deviloc_ros.demo.worlds import world_from_images
    from deviloc_ros.io.tum_trajectory import write_tum
    from deviloc_ros.sources.base import count_reasons

    with open_posed_images(options) as source:
        world = world_from_images(source.images, options.rate_hz)
        truth = list_true_poses(world)
        rng = np.random.default_rng(options.seed)
        odometry = simulate_odometry(interpolate_poses(truth), rng, options.drift, truth[0][1])
        write_bag(world, options.output, odometry, overwrite=options.overwrite)
    if options.truth:
        cameras = (frame.cam_from_world.inverse() for frame in world.frames)
        write_tum(options.truth, zip((time_ns for time_ns, _ in truth), cameras, strict=True))
    print(f"{options.output}: {len(truth)} images, odometry with {options.drift:.1%} drift")
    if source.skipped:
        print(f"{len(source.skipped)} images left out: {count_reasons(source.skipped)}")
    return 0
