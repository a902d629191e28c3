"""Flags that say where posed images come from, for the commands that put them into a map."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from deviloc_ros.commands.options import parse_camera

if TYPE_CHECKING:
    from deviloc_ros.maps.build import BuildReport
    from deviloc_ros.maps.sources import Source


def add_source(parser: argparse.ArgumentParser) -> None:
    """One flag for each layout, and what belongs to them."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--colmap", type=Path, metavar="MODEL", help="COLMAP model folder, text or binary; needs --images"
    )
    source.add_argument("--sevenscenes", type=Path, metavar="SCENE", help="a 7-Scenes scene folder")
    source.add_argument("--kitti", type=Path, metavar="SEQUENCE", help="a KITTI odometry sequence folder")
    source.add_argument("--tum", type=Path, metavar="SEQUENCE", help="a TUM RGB-D sequence folder")
    source.add_argument(
        "--nerfstudio", type=Path, metavar="FILE", help="transforms.json of nerfstudio or instant-ngp, or its folder"
    )
    source.add_argument("--kapture", type=Path, metavar="DIR", help="a kapture folder")
    parser.add_argument("--images", type=Path, metavar="DIR", help="where the COLMAP model's image names start")
    parser.add_argument(
        "--sequences", nargs="+", default=[], metavar="SEQ", help="7-Scenes: default those of TrainSplit.txt"
    )
    parser.add_argument(
        "--camera", metavar="MODEL,W,H,PARAMS", help="--tum: calibration; default: that of the data set"
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="keep every N-th image")


def read_source(options: argparse.Namespace) -> Source:
    """The posed images that the flags name. Raises ValueError naming flag or file."""
    from deviloc_ros.maps.sources import Source

    if options.every < 1:
        raise ValueError(f"--every {options.every}: must be at least 1")
    source = read_layout(options)
    return Source(source.images[:: options.every], source.skipped)


def read_layout(options: argparse.Namespace) -> Source:
    """By the layout that was named."""
    from deviloc_ros.evaluation.truth import truth_of_file
    from deviloc_ros.maps import colmap, kapture, nerfstudio, sources, tum

    if options.colmap:
        if options.images is None:
            raise ValueError("--colmap needs --images, the folder where the model's image names start")
        return colmap.read_model(options.colmap, options.images)
    if options.sevenscenes:
        return sources.read_seven_scenes(options.sevenscenes, tuple(options.sequences))
    if options.tum:
        camera = parse_camera(options.camera) if options.camera else None
        return tum.read_tum_sequence(options.tum, truth_of_file(options.tum / "groundtruth.txt").at, camera)
    if options.nerfstudio:
        return nerfstudio.read_transforms(options.nerfstudio)
    if options.kapture:
        return kapture.read_kapture(options.kapture)
    return sources.read_kitti(options.kitti)


def print_report(report: BuildReport, what: str, seconds: float) -> None:
    """What became of the images."""
    print(
        f"{what}: {report.views} views, "
        f"{report.landmarks} landmarks ({report.landmarks_per_view:.0f} a view), "
        f"{report.lifted_share:.0%} of keypoints lifted, {seconds:.1f} s ({seconds / report.views:.2f} s a view)"
    )
    if report.skipped:
        print(f"{len(report.skipped)} images skipped:")
        for skipped in report.skipped:
            print(f"  {skipped.name}: {skipped.why}")
