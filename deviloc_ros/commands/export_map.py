"""Write a map as a COLMAP model or a PLY cloud: `export-map`."""

from __future__ import annotations

import argparse
from pathlib import Path

from deviloc_ros.commands.flags.common import set_results


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("map", type=Path, metavar="MAP", help="the map folder")
    parser.add_argument("--colmap", type=Path, metavar="DIR", help="folder for cameras, images and points3D")
    parser.add_argument("--text", action="store_true", help="COLMAP's text files instead of binary ones")
    parser.add_argument("--ply", type=Path, metavar="FILE", help="point cloud of the landmarks")
    set_results(parser, files=["ply"], folders=["colmap"])
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the requested files and print their sizes."""
    from deviloc_ros.maps.export import export_colmap, export_ply
    from deviloc_ros.maps.store import Map

    if not (options.colmap or options.ply):
        raise ValueError("export-map needs --colmap DIR or --ply FILE")
    reference_map = Map.open(options.map)
    if options.colmap:
        model = export_colmap(reference_map, options.colmap, text=options.text)
        print(f"{options.colmap}: {model.num_images()} images, {model.num_points3D()} points")
    if options.ply:
        print(f"{options.ply}: {export_ply(reference_map, options.ply).num_points3D()} points")
    return 0
