"""`build-map`: posed images -> a map folder."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from deviloc_ros.commands.options import add_config, add_preset, config_of


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("build-map", help="make a map from posed images")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--colmap", type=Path, metavar="MODEL", help="COLMAP model folder, text or binary; needs --images"
    )
    source.add_argument("--sevenscenes", type=Path, metavar="SCENE", help="a 7-Scenes scene folder")
    source.add_argument("--kitti", type=Path, metavar="SEQUENCE", help="a KITTI odometry sequence folder")
    parser.add_argument("--images", type=Path, metavar="DIR", help="where the COLMAP model's image names start")
    parser.add_argument(
        "--sequences", nargs="+", default=[], metavar="SEQ", help="7-Scenes: default those of TrainSplit.txt"
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="keep every N-th image")
    parser.add_argument("--output", type=Path, required=True, metavar="MAP", help="the map folder to make")
    parser.add_argument("--overwrite", action="store_true", help="replace a map that is there")
    add_config(parser)
    add_preset(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from deviloc_ros.maps.build import build_map
    from deviloc_ros.maps.sources import Source

    config = config_of(options)
    source = read_source(options)
    start = time.monotonic()
    source = Source(source.images[:: options.every], source.skipped)
    report = build_map(source, options.output, config, overwrite=options.overwrite)
    seconds = time.monotonic() - start
    print(
        f"{options.output}: {report.views} views, "
        f"{report.landmarks} landmarks ({report.landmarks_per_view:.0f} a view), "
        f"{report.lifted_share:.0%} of keypoints lifted, {seconds:.1f} s ({seconds / report.views:.2f} s a view)"
    )
    if report.skipped:
        print(f"{len(report.skipped)} images skipped:")
        for skipped in report.skipped:
            print(f"  {skipped.name}: {skipped.why}")
    return 0


def read_source(options: argparse.Namespace):
    from deviloc_ros.maps import colmap, sources

    if options.every < 1:
        raise ValueError(f"--every {options.every}: must be at least 1")
    if options.colmap:
        if options.images is None:
            raise ValueError("--colmap needs --images, the folder where the model's image names start")
        return colmap.read_model(options.colmap, options.images)
    if options.sevenscenes:
        return sources.read_seven_scenes(options.sevenscenes, tuple(options.sequences))
    return sources.read_kitti(options.kitti)
