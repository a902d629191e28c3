"""Download the released weights: `fetch-weights`."""

from __future__ import annotations

import argparse
from pathlib import Path

from deviloc_ros.upstream.releases import RELEASES, weights_folder


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("release", choices=tuple(RELEASES), help="deviloc has both networks, topicfm the matcher alone")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--from", dest="file", type=Path, metavar="FILE", help="take a file downloaded before")
    source.add_argument("--url", default="", help="download it from there")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="default: $DEVILOC_WEIGHTS, else ~/.cache/deviloc_ros"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Fetch a release, check its hash, and say where it is."""
    from deviloc_ros.upstream.download import fetch_release

    release = RELEASES[options.release]
    path = fetch_release(release, options.output or weights_folder(), options.url, options.file)
    print(f"{path}: {release.origin}; checked against its git blob id {release.blob}")
    return 0
