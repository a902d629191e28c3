"""Inspect maps, and change them without their images: `map info | check | report | drop | prune | align | merge`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deviloc_ros.commands import map_align
from deviloc_ros.commands.flags.common import add_overwrite, parse_above_zero, parse_session, set_results
from deviloc_ros.io.atomic import write_whole

if TYPE_CHECKING:
    from deviloc_ros.maps.look_alikes import LookAlikes

MOST_PRINTED = 5  # pairs of places that look alike


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    actions = parser.add_subparsers(metavar="ACTION")
    parser.set_defaults(run=lambda _: show_help(parser))
    info = actions.add_parser("info", help="print what is in a map")
    check = actions.add_parser("check", help="verify all data of a map; exit status 1 if something is wrong")
    report = actions.add_parser(
        "report", help="report as a page how good a map is: its coverage, and where localization will be hard"
    )
    drop = actions.add_parser("drop", help="remove views from a map")
    prune = actions.add_parser(
        "prune", help="remove redundant views: each view must still be localized from the others"
    )
    runs = {info: run_info, check: run_check, report: run_report, drop: run_drop, prune: run_prune}
    for action, run in runs.items():
        action.add_argument("map", type=Path, metavar="MAP", help="the map folder")
        action.set_defaults(run=run)
    drop.add_argument("views", nargs="*", metavar="VIEW", help="names of views")
    drop.add_argument("--session", type=parse_session, metavar="NAME", help="all views of a session")
    prune.add_argument("--dry-run", action="store_true", help="print which views, but change nothing")
    for action in (report, prune):
        action.add_argument(
            "--within-m",
            type=parse_above_zero,
            default=0.05,
            metavar="M",
            help="error that counts as localized (%(default)s), in the map's unit",
        )
        action.add_argument(
            "--within-deg",
            type=parse_above_zero,
            default=2.0,
            metavar="DEG",
            help="the same for the rotation (%(default)s)",
        )
    report.add_argument("--output", type=Path, required=True, metavar="FILE", help="the page to write, one HTML file")
    set_results(report, files=["output"])
    map_align.add(
        actions.add_parser(
            "align", help="move a map into another frame by known camera positions, poses or markers, or scale it"
        )
    )
    merge = actions.add_parser("merge", help="merge maps that share a world frame")
    merge.add_argument("maps", type=Path, nargs="+", metavar="MAP", help="the maps to merge")
    merge.add_argument("--output", type=Path, required=True, metavar="MAP", help="the map folder to write")
    add_overwrite(merge, folders=["output"])
    merge.add_argument("--prefix", action="store_true", help="put each map's name in front of its views' names")
    merge.set_defaults(run=run_merge)


def show_help(parser: argparse.ArgumentParser) -> int:
    """Print the subcommands; return the status of a command line without one."""
    parser.print_help()
    return 2


def run_info(options: argparse.Namespace) -> int:
    """Print what is in a map."""
    from deviloc_ros.maps.inspect import describe_map
    from deviloc_ros.maps.store import Map

    for name, value in describe_map(Map.open(options.map)):
        print(f"{name:18} {value}")
    return 0


def run_check(options: argparse.Namespace) -> int:
    """Read all of a map and print its problems; return 1 if there are any."""
    from deviloc_ros.maps.inspect import find_problems

    found = list(find_problems(options.map))
    for problem in found:
        print(problem)
    print(f"{options.map}: {f'{len(found)} problems' if found else 'nothing wrong'}")
    return 1 if found else 0


def run_report(options: argparse.Namespace) -> int:
    """Write the page about a map's quality."""
    from deviloc_ros.evaluation.maps.page import make_map_report, map_verdict
    from deviloc_ros.evaluation.maps.quality import inspect_views
    from deviloc_ros.evaluation.maps.self_localization import Tolerance
    from deviloc_ros.localizer import Localizer
    from deviloc_ros.maps.inspect import find_problems
    from deviloc_ros.maps.look_alikes import find_look_alikes
    from deviloc_ros.maps.store import Map

    if not options.output.parent.is_dir():
        raise ValueError(f"--output {options.output}: there is no folder {options.output.parent}")
    localizer = Localizer(Map.open(options.map))
    quality = inspect_views(localizer, Tolerance(options.within_m, options.within_deg))
    look_alikes = find_look_alikes(localizer.map, localizer.config)
    write_whole(options.output, make_map_report(localizer, quality, list(find_problems(options.map)), look_alikes))
    print(f"{options.map}: {map_verdict(quality)} {options.output}")
    print_look_alikes(look_alikes)
    return 0


def print_look_alikes(look_alikes: Sequence[LookAlikes]) -> None:
    """Print the pairs of places that look most alike."""
    for pair in look_alikes[:MOST_PRINTED]:
        print(f"places that look alike: {pair}")
    if len(look_alikes) > MOST_PRINTED:
        print(f"and {len(look_alikes) - MOST_PRINTED} more pairs of places that look alike")


def run_drop(options: argparse.Namespace) -> int:
    """Drop the named views, and those of a session, from a map."""
    from deviloc_ros.maps.edit import drop_views
    from deviloc_ros.maps.store import Map

    names, reference_map = set(options.views), Map.open(options.map)
    if options.session:
        names.update(reference_map.list_views_of(options.session))
    if not names:
        raise ValueError("name the views to drop, or their session by --session NAME")
    drop_views(options.map, names, reference_map.identity if options.session else "")
    print(f"{options.map}: {len(names)} views dropped")
    return 0


def run_prune(options: argparse.Namespace) -> int:
    """Drop views, or list them, as long as each view is still localized from the others."""
    from deviloc_ros.evaluation.maps.self_localization import Tolerance, find_needless_views
    from deviloc_ros.localizer import Localizer
    from deviloc_ros.maps.edit import drop_views
    from deviloc_ros.maps.store import Map

    reference_map = Map.open(options.map)
    names = find_needless_views(Localizer(reference_map), Tolerance(options.within_m, options.within_deg))
    if names and not options.dry_run:
        drop_views(options.map, names, reference_map.identity)
    for name in names:
        print(name)
    print(
        f"{options.map}: {len(names)} of {len(reference_map)} views {'would be' if options.dry_run else 'were'} dropped"
    )
    return 0


def run_merge(options: argparse.Namespace) -> int:
    """Merge maps that share a world frame, and print whether images confirm that they do."""
    from deviloc_ros.evaluation.maps.shared_views import compare_frames
    from deviloc_ros.maps.edit import merge_maps

    is_replaced = options.output.resolve() in [folder.resolve() for folder in options.maps]
    before = list(compare_frames(options.maps)) if is_replaced else []  # after, it would be found in itself
    views = merge_maps(options.maps, options.output, prefix=options.prefix, overwrite=options.overwrite)
    print(f"{options.output}: {views} views of {len(options.maps)} maps")
    for words in before if is_replaced else compare_frames(options.maps):
        print(words)
    return 0
