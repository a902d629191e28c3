"""Build a map from images, with or without poses: `build-map`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from deviloc_ros.commands.flags.common import (
    add_config,
    add_overwrite,
    add_preset,
    add_ray,
    add_session,
    create_workers,
    read_config,
)
from deviloc_ros.commands.flags.images_alone import add_images_alone, open_images
from deviloc_ros.commands.flags.masks import add_mask, mask_beside, show_body
from deviloc_ros.commands.flags.source_flags import ALONE
from deviloc_ros.commands.flags.sources import add_source, print_report
from deviloc_ros.io.outputs import refuse_file


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    add_source(parser, ALONE)
    add_images_alone(parser)
    add_mask(parser)
    add_session(parser)
    parser.add_argument(
        "--auto-mask",
        action="store_true",
        help="if parts of the robot are detected in view, write a mask of them next to the map, MAP-mask.png",
    )
    parser.add_argument(
        "--refine-poses",
        action=argparse.BooleanOptionalAction,
        help="refine the poses by the images; on by default only with --odom-topic. "
        "The images must be in driving order",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="MAP", help="the map folder to write")
    add_overwrite(parser, folders=["output", "keyframes"])
    add_ray(parser)
    add_config(parser)
    add_preset(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Build the map and print a report on the images."""
    from deviloc_ros.mapping.build import MapBuilder
    from deviloc_ros.maps.writer import check_destination
    from deviloc_ros.sfm.map_networks import Networks

    if options.bag and options.ray not in (None, "local") and not options.keyframes:
        raise ValueError(
            f"--ray {options.ray}: give --keyframes DIR, a folder that all machines of the cluster can reach"
        )
    config = read_config(options)
    refine = bool(options.odom_topic) if options.refine_poses is None else options.refine_poses
    check_destination(options.output, overwrite=options.overwrite)  # before minutes of work
    if options.auto_mask:
        refuse_file(mask_beside(options.output), overwrite=options.overwrite)
    start = time.monotonic()
    with create_workers(options.ray) as workers, open_images(options, config, workers) as source:
        builder = MapBuilder(Networks(config), workers)
        report = builder.build(
            source, options.output, overwrite=options.overwrite, refine=refine, session=options.session
        )
        show_body(report, source.images, options.output, write_mask=options.auto_mask)
    print_report(report, str(options.output), time.monotonic() - start)
    return 0
