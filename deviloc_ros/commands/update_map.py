"""Add posed images to an existing map: `update-map`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from deviloc_ros.commands.flags.common import add_overwrite, add_session
from deviloc_ros.commands.flags.masks import add_mask, show_body
from deviloc_ros.commands.flags.source_flags import CONTRIBUTED, check_flags
from deviloc_ros.commands.flags.sources import add_source, open_posed_images, print_report


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("map", type=Path, metavar="MAP", help="the map folder")
    add_source(parser, CONTRIBUTED)
    parser.add_argument(
        "--contributed",
        type=Path,
        metavar="FOLDER",
        help="add images stored by robots (contribute_path) whose pose the map confirms, instead of a source",
    )
    parser.add_argument(
        "--of-any-map", action="store_true", help="--contributed: also images stored with another map of the same frame"
    )
    add_mask(parser)
    add_session(parser)
    parser.add_argument(
        "--descriptor", default="", metavar="FILE", help="the global descriptor's network, if the map uses one"
    )
    parser.add_argument(
        "--same-unit", action="store_true", help="the poses are in the unit of the map, although its scale is arbitrary"
    )
    add_overwrite(parser, folders=["keyframes"])
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Add the images and print a report on them."""
    from deviloc_ros.mapping.update import update_map

    if options.contributed:
        return run_contributed(options)
    check_frame(options)
    with open_posed_images(options) as source:
        start = time.monotonic()
        report = update_map(source, options.map, descriptor_file=options.descriptor, session=options.session)
        show_body(report, source.images, options.map)
    print_report(report, f"{options.map}: added", time.monotonic() - start)
    return 0


def run_contributed(options: argparse.Namespace) -> int:
    """Add the contributions that the map confirms, and print a report on all."""
    from deviloc_ros.mapping.contributed import add_contributions

    check_flags(options)
    start = time.monotonic()
    report = add_contributions(
        options.map,
        options.contributed,
        of_any_map=options.of_any_map,
        descriptor_file=options.descriptor,
        session=options.session,
    )
    for added in report.rounds:
        print_report(added, f"{options.map}: added", time.monotonic() - start)
    for what, entries in (("refused", report.refused), ("not needed", report.needless)):
        if entries:
            print(f"{len(entries)} contributions {what}:")
        for entry in entries:
            print(f"  {entry.name}: {entry.why}")
    print(f"{options.map}: {report.added} contributions added")
    return 0


def check_frame(options: argparse.Namespace) -> None:
    """Raise ValueError if the poses cannot be in the map's frame, or may be in another unit."""
    from deviloc_ros.maps.store import Map

    if options.odom_topic:
        raise ValueError(
            "--odom-topic: odometry restarts with each drive and drifts, so it is not in the map's frame; give the "
            "robot's poses in the map by --pose-topic, --tf or --poses"
        )
    if not Map.open(options.map).manifest.provenance.is_metric and not options.same_unit:
        raise ValueError(
            f"{options.map}: its scale is arbitrary, so poses in metres do not fit it; `map align` it first, or say by "
            "--same-unit that the poses are in its unit"
        )
