"""`update-map`: more posed images for a map that is there."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from deviloc_ros.commands.sources import add_source, posed_images, print_report


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("update-map", help="add images, posed in the map's frame, to a map")
    parser.add_argument("map", type=Path, help="the map folder")
    add_source(parser)
    parser.add_argument(
        "--descriptor", default="", metavar="FILE", help="the network that described the map's views, if one did"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from deviloc_ros.maps.update import update_map

    with posed_images(options) as source:
        start = time.monotonic()
        report = update_map(source, options.map, descriptor_file=options.descriptor)
    print_report(report, f"{options.map}: added", time.monotonic() - start)
    return 0
