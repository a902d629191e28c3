"""Write the recording that a robot with drifting odometry would have made of posed images: `simulate-bag`."""

from __future__ import annotations

import argparse
from pathlib import Path

from deviloc_ros.commands.flags.common import add_overwrite, parse_above_zero, parse_zero_or_more, set_results
from deviloc_ros.commands.flags.sources import add_source, open_posed_images


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    add_source(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="BAG", help="the bag to make, a folder")
    parser.add_argument(
        "--rate-hz", type=parse_above_zero, default=10.0, metavar="HZ", help="images a second (%(default)s)"
    )
    parser.add_argument(
        "--drift", type=parse_zero_or_more, default=0.01, metavar="SHARE", help="of way and turn (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the drift (%(default)s)")
    parser.add_argument("--truth", type=Path, metavar="FILE.tum", help="write the camera's true poses there")
    add_overwrite(parser, folders=["output", "keyframes"])
    set_results(parser, files=["truth"])
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the bag, and the truth if it is asked for."""
    import numpy as np

    from deviloc_ros.demo.recording import interpolate_poses, list_true_poses, simulate_odometry, write_bag
    from deviloc_ros.demo.worlds import world_from_images
    from deviloc_ros.io.tum_trajectory import write_tum

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
    return 0
