"""Move a map into another frame, or give it a scale, by what is known of its views: `map align`."""

from __future__ import annotations

import argparse
import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from deviloc_ros.commands.flags.common import add_overwrite, parse_above_zero, set_results
from deviloc_ros.commands.flags.images_alone import add_known_distance, check_named, fit_distance, parse_distance
from deviloc_ros.io.atomic import write_whole

if TYPE_CHECKING:
    import pycolmap

    from deviloc_ros.maps.alignment.floor_plan import FloorAlignment
    from deviloc_ros.maps.georeference import Georeference
    from deviloc_ros.maps.store import Map

log = logging.getLogger(__name__)
UPSIDE_DOWN = -0.7  # the mean of how far along z the upper sides of images point
ODD_SCALE = 0.1  # logarithm of a suspicious scale: odometry is not so wrong, but units or swapped coordinates are


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `map align`."""
    parser.add_argument("map", type=Path, metavar="MAP", help="the map folder")
    known = parser.add_mutually_exclusive_group(required=True)
    known.add_argument(
        "--positions",
        type=Path,
        metavar="FILE",
        help="lines `NAME X Y Z` [m] with the camera positions of three views or more",
    )
    add_known_distance(known)
    known.add_argument("--colmap", type=Path, metavar="MODEL", help="COLMAP model with images named like the views")
    known.add_argument(
        "--poses",
        type=Path,
        metavar="FILE",
        help="poses of the camera: lines `NAME QW QX QY QZ TX TY TZ` (cam_from_world, as hloc's), or over time "
        "(TUM, EuRoC) for views of a recording",
    )
    known.add_argument("--to", type=Path, metavar="MAP", help="another map of the place; views are localized in it")
    known.add_argument(
        "--tags", type=Path, metavar="FILE.yaml", help="surveyed AprilTag or ArUco markers, detected in --images"
    )
    known.add_argument(
        "--occupancy", type=Path, metavar="FLOOR.yaml", help="a floor plan as Nav2's map server reads it; see below"
    )
    floor = parser.add_argument_group("on a floor plan (--occupancy)")
    floor.add_argument(
        "--page",
        type=Path,
        metavar="FILE.html",
        help="write the page for clicking pairs of points; alone, nothing else is done",
    )
    floor.add_argument("--pairs", type=Path, metavar="FILE.json", help="align by these pairs, saved by the page")
    floor.add_argument(
        "--walls", action="store_true", help="align vertical structure with the walls, near --pairs if given"
    )
    floor.add_argument(
        "--camera-height",
        type=parse_above_zero,
        metavar="M",
        help="height of the cameras; default: from landmarks on the floor",
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="--tags: the folder that view names are relative to")
    parser.add_argument(
        "--geographic",
        action="store_true",
        help="--positions are lines `NAME LATITUDE LONGITUDE [ALTITUDE]` [deg, m]: x east, y north, z up from the "
        "first; stores the position on Earth in the map",
    )
    parser.add_argument("--rigid", action="store_true", help="keep the scale")
    parser.add_argument("--output", type=Path, metavar="MAP", help="the map folder to write; default: replace MAP")
    add_overwrite(parser, folders=["output"])
    set_results(parser, files=["page"])
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Align the map and print how well that fits."""
    from deviloc_ros.maps.edit import align_map
    from deviloc_ros.maps.georeference import GEOREFERENCE
    from deviloc_ros.maps.provenance import SCALE
    from deviloc_ros.maps.store import Map

    check_align_flags(options)
    if options.page and not (options.pairs or options.walls):
        return write_floor_page(options)
    reference_map, output = Map.open(options.map), options.output or options.map
    found = estimate_alignment(options, reference_map)
    notes: dict[str, Any] = {} if options.known_distance else {"frame": found.note}
    notes |= {SCALE: found.scale} if found.scale else {}
    notes |= {GEOREFERENCE: found.on_earth.to_note()} if found.on_earth else {}
    overwrite = options.overwrite or options.output is None
    identity = reference_map.identity
    align_map(options.map, found.wanted_from_world, output, notes, overwrite=overwrite, identity=identity)
    warn_of_scale(reference_map, found)
    if options.positions or options.tags:
        warn_if_upside_down(reference_map, found)
    print(f"{output}: {found.note}")
    if reference_map.georeference and not Map.open(output).georeference:
        print(f"{output}: its scale has changed, so it is no longer known where on Earth it lies")
    return 0


def warn_of_scale(reference_map: Map, found: MapAlignment) -> None:
    """Log a warning if the size of a map that was in metres changes a lot."""
    factor = found.wanted_from_world.scale
    if reference_map.manifest.provenance.is_metric and abs(math.log(factor)) > ODD_SCALE:
        log.warning(
            "the map was in metres, and is %.4g times as large now: are lengths given in metres, and the numbers of a "
            "line in their order? --rigid keeps the scale",
            factor,
        )


def warn_if_upside_down(reference_map: Map, found: MapAlignment) -> None:
    """Log a warning if cameras come to stand on their heads: points in a plane fit from below as well as from above."""
    turn = found.wanted_from_world.rotation.matrix()
    ups = [(turn @ record.cam_from_world.rotation.inverse().matrix())[2, 1] for record in reference_map.records]
    if -sum(ups) / len(ups) < UPSIDE_DOWN:
        log.warning(
            "if z is up, the cameras are upside down now: are two numbers of a place swapped (as latitude and "
            "longitude), or has one the other sign?"
        )


class MapAlignment(NamedTuple):
    """Hold the transform of a map, how well it fits in words, and the notes on scale and georeference."""

    wanted_from_world: pycolmap.Sim3d
    note: str
    scale: str  # empty: as it was
    on_earth: Georeference | None = None


def estimate_alignment(options: argparse.Namespace, reference_map: Map) -> MapAlignment:
    """Estimate the alignment by the given flag. Raises ValueError."""
    from deviloc_ros.bags.truth import read_truth_file
    from deviloc_ros.evaluation.maps.shared_views import align_to_map
    from deviloc_ros.io.named_poses import has_named_poses, read_named_poses
    from deviloc_ros.maps.alignment.fiducial_markers import fit_markers, read_survey
    from deviloc_ros.maps.alignment.known_positions import (
        fit_poses,
        fit_positions,
        read_geographic_positions,
        read_positions,
    )
    from deviloc_ros.maps.provenance import ARBITRARY_SCALE
    from deviloc_ros.maps.store import Map
    from deviloc_ros.sources.colmap import read_model

    poses = {record.name: record.cam_from_world for record in reference_map.records}
    rigid, scale, on_earth = options.rigid, "" if options.rigid else "metres, by `map align`", None
    if options.known_distance:
        return scale_by_distance(options, reference_map)
    if options.tags:
        fit = fit_markers(reference_map, options.images, read_survey(options.tags), rigid=rigid)
    elif options.to:
        other = Map.open(options.to)
        fit = align_to_map(reference_map, other, rigid=rigid)
        if scale and not other.manifest.provenance.is_metric:
            scale = ARBITRARY_SCALE
    elif options.geographic:
        positions, on_earth = read_geographic_positions(options.positions)
        fit = fit_positions(poses, positions, rigid=rigid)
    elif options.positions:
        fit = fit_positions(poses, read_positions(options.positions), rigid=rigid)
    elif options.occupancy:
        found = fit_floor(options, reference_map)
        fit = found.grid_from_map, found.note
    elif options.colmap:
        known = {image.name: image.cam_from_world for image in read_model(options.colmap, Path()).images}
        fit = fit_poses(poses, known, rigid=rigid)
    elif options.poses.is_file() and has_named_poses(options.poses):
        fit = fit_poses(poses, read_named_poses(options.poses), rigid=rigid)
    else:
        truth = read_truth_file(options.poses)
        stamped = {name: truth.at(int(Path(name).stem)) for name in poses if Path(name).stem.isdecimal()}
        known = {name: world_from_cam.inverse() for name, world_from_cam in stamped.items() if world_from_cam}
        fit = fit_poses(poses, known, rigid=rigid)
    return MapAlignment(*fit, scale, on_earth)


def scale_by_distance(options: argparse.Namespace, reference_map: Map) -> MapAlignment:
    """Return the alignment that makes two cameras --known-distance apart. Raises ValueError."""
    from deviloc_ros.sfm.structure import median_depth

    known = parse_distance(*options.known_distance)
    poses = {record.name: record.cam_from_world for record in reference_map.records}
    check_named(known, poses, "views of the map")
    views = enumerate(poses.values())
    depth = median_depth((pose, reference_map.landmarks_of(number).points_in_world) for number, pose in views)
    metric_from_world, note = fit_distance(poses, known, depth)
    return MapAlignment(metric_from_world, f"scale {metric_from_world.scale:.4f}; {note}", note)


def check_align_flags(options: argparse.Namespace) -> None:
    """Raise ValueError naming a flag that is missing, or is given without the flag that uses it."""
    check_floor(options)
    if options.geographic and not options.positions:
        raise ValueError("--geographic says how to read --positions: give --positions")
    if options.tags and not options.images:
        raise ValueError("--tags needs --images, the folder that the names of views are relative to")
    if options.images and not options.tags:
        raise ValueError("--images goes with --tags, which are detected in them")
    if options.rigid and options.known_distance:
        raise ValueError("--rigid keeps the scale, which --known-distance is to change")


def check_floor(options: argparse.Namespace) -> None:
    """Raise ValueError naming a flag if flags of a floor plan are given without one, or the other way round."""
    flags = {name: getattr(options, name) for name in ("page", "pairs", "walls", "camera_height")}
    if given := [f"--{name.replace('_', '-')}" for name, value in flags.items() if value]:
        if not options.occupancy:
            raise ValueError(f"{given[0]} goes with --occupancy, a floor plan")
    elif options.occupancy:
        raise ValueError(
            "--occupancy: choose how: --page FILE.html to click pairs of points, --pairs FILE.json, --walls"
        )


def write_floor_page(options: argparse.Namespace) -> int:
    """Write the page for clicking pairs; the map is not changed."""
    from deviloc_ros.maps.alignment.occupancy import read_occupancy
    from deviloc_ros.maps.store import Map
    from deviloc_ros.view.floor import make_floor_page

    if not options.page.parent.is_dir():
        raise ValueError(f"--page {options.page}: there is no folder {options.page.parent}")
    command = pairs_command(options)
    page = make_floor_page(Map.open(options.map), read_occupancy(options.occupancy), command)
    write_whole(options.page, page)
    print(f"{options.page}: open it, click pairs of points, and save them; then")
    print(command)
    return 0


def pairs_command(options: argparse.Namespace) -> str:
    """Return the command that reads the page's pairs."""
    return f"deviloc map align {options.map} --occupancy {options.occupancy} --pairs pairs.json --walls"


def fit_floor(options: argparse.Namespace, reference_map: Map) -> FloorAlignment:
    """Estimate the alignment with the floor plan, and show it on --page."""
    from deviloc_ros.maps.alignment.floor_plan import align_to_grid, read_pairs
    from deviloc_ros.maps.alignment.occupancy import read_occupancy
    from deviloc_ros.view.floor import make_floor_page

    grid, pairs = read_occupancy(options.occupancy), read_pairs(options.pairs) if options.pairs else None
    height_m, by_walls = options.camera_height, options.walls
    found = align_to_grid(reference_map, grid, pairs, by_walls=by_walls, rigid=options.rigid, camera_height_m=height_m)
    if options.page:
        write_whole(options.page, make_floor_page(reference_map, grid, pairs_command(options), pairs, found))
        print(f"{options.page}: shows the map on the floor plan")
    return found
