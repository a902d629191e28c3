"""Localize images in a map, one line each: `localize`."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deviloc_ros.commands.flags.common import (
    CAMERA,
    CAMERA_FORMS,
    STANDARD_OUTPUT,
    add_config,
    add_every,
    add_preset,
    parse_camera,
    read_config_for_map,
    set_results,
    step_of,
)
from deviloc_ros.commands.flags.masks import add_mask, find_masks
from deviloc_ros.io.atomic import write_whole
from deviloc_ros.status import Status

if TYPE_CHECKING:
    from deviloc_ros.camera import Camera
    from deviloc_ros.io.units import Unit
    from deviloc_ros.localizer import Localizer
    from deviloc_ros.maps.store import Map
    from deviloc_ros.masks import Masks
    from deviloc_ros.sources.pictures import QueryPicture
    from deviloc_ros.types import CameraReport, Result


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("map", type=Path, metavar="MAP", help="a map, or a folder of several: all are searched")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="files, folders, or videos")
    camera = parser.add_mutually_exclusive_group()
    camera.add_argument(
        "--camera",
        metavar=CAMERA,
        help=f"{CAMERA_FORMS}; default: the map's first camera",
    )
    camera.add_argument(
        "--uncalibrated", action="store_true", help="estimate the focal length of each image; no lens distortion"
    )
    camera.add_argument(
        "--rig",
        type=Path,
        metavar="FILE.json",
        help="IMAGEs are from the cameras of this rig, in its order, time after time: one pose for each time",
    )
    parser.add_argument(
        "--queries",
        type=Path,
        metavar="LIST",
        help="localize the images that this file names, below the folder IMAGE: a line `NAME`, or "
        "`NAME MODEL W H PARAMS` with a camera of its own, as hloc's queries_with_intrinsics.txt (COLMAP's pixels)",
    )
    parser.add_argument(
        "--pairs",
        type=Path,
        metavar="FILE",
        help="which views to match an image with, best first: lines `QUERY VIEW`, as hloc's pairs, of which the first "
        "retrieval.references (5) that the map has are taken; default: the map's own retrieval",
    )
    add_mask(parser)
    add_every(parser, "image of a folder, or frame of a video")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the results there; -: print one JSON line per image"
    )
    parser.add_argument(
        "--save-poses",
        type=Path,
        metavar="FILE",
        help="write a line `NAME QW QX QY QZ TX TY TZ` (cam_from_world) for each image that has a pose, as hloc does; "
        "see compare-poses",
    )
    parser.add_argument(
        "--pictures",
        type=Path,
        metavar="DIR",
        help="write pictures there: matches with the best reference, points in the image by depth, the map from above",
    )
    add_config(parser, of_map=True)
    add_preset(parser)
    set_results(parser, files=["json", "save_poses"], folders=["pictures"])
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print a JSON line for each image; return 1 if one has no pose."""
    from deviloc_ros.config_fields import change_config
    from deviloc_ros.io.named_poses import write_named_poses
    from deviloc_ros.localizer import create_localizers
    from deviloc_ros.maps.manifest import find_maps
    from deviloc_ros.maps.store import Map
    from deviloc_ros.sources.pictures import check_paths
    from deviloc_ros.sources.query_lists import read_pairs
    from deviloc_ros.types import Localized

    maps = [Map.open(folder) for folder in find_maps(options.map)]
    check_paths(options.images)
    configs = [read_config_for_map(options, one.config, one.config) for one in maps]
    if options.uncalibrated:
        configs = [change_config(config, pose={"estimate_focal": True}) for config in configs]
    if options.rig:
        return run_rig(options, create_localizers(maps, configs))
    listed = read_listed(options)
    if options.save_poses:
        check_names(options, listed)
    localizers = create_localizers(maps, configs)
    camera = parse_camera(options.camera) if options.camera else maps[0].records[0].camera
    if listed is None or None in listed.values():
        print(f"camera: {describe_choice(options, camera)}", file=sys.stderr)
    candidates = read_pairs(options.pairs) if options.pairs else {}
    album = create_album(options.pictures, localizers)
    masks = find_masks(options)
    records, units, results, poses = [], units_by_map(maps), [], {}
    for picture, own in read_queries(options, listed):
        image = name_image(picture.name, options.images)
        used, name, result = localize_picture(
            localizers,
            picture,
            own or camera,
            masks,
            candidates=candidates.get(image, []) if options.pairs else None,
            guess=options.uncalibrated,
            assumed=not (options.camera or own),
        )
        unit = units[name]
        record = {"image": picture.name, **({"map": name} if name else {}), **result_to_dict(result, used, unit)}
        records.append(record)
        results.append(result)
        if options.save_poses and isinstance(result, Localized):
            poses[image] = result.cam_from_world
        line = describe_record(record, result, unit, focal=options.uncalibrated)
        print(json.dumps(record) if options.json == STANDARD_OUTPUT else line, flush=True)
        if album is not None and picture.gray is not None:
            album.add(picture.name, picture.gray, result)
    if options.save_poses:
        write_named_poses(options.save_poses, poses)
        print(f"{options.save_poses}: {len(poses)} poses of {len(records)} images", file=sys.stderr)
    if album is not None:
        print(f"{options.pictures}: {album.finish()} pictures", file=sys.stderr)
    return report_records(records, results, options)


def read_listed(options: argparse.Namespace) -> dict[str, Camera | None] | None:
    """Return the images that --queries names, with the cameras that it has; None without it. Raises ValueError."""
    from deviloc_ros.sources.pictures import check_paths
    from deviloc_ros.sources.query_lists import read_query_list

    if options.queries is None:
        return None
    if len(options.images) != 1 or not options.images[0].is_dir():
        raise ValueError("--queries: give one IMAGE, the folder that the names in the list are relative to")
    if options.uncalibrated:
        raise ValueError("--uncalibrated guesses the cameras that --queries may name: give one of them")
    listed = read_query_list(options.queries)
    if not any((options.images[0] / name).exists() for name in listed):
        check_paths([options.images[0] / name for name in listed])  # a typo must not count as an unlocalized image
    return listed


def check_names(options: argparse.Namespace, listed: Iterable[str] | None) -> None:
    """Raise ValueError if --save-poses would name two images alike."""
    from deviloc_ros.sources.pictures import list_files

    given: list[Path] = options.images
    files = list_files(given, step_of(options)) if listed is None else [given[0] / name for name in listed]
    for name, count in Counter(name_image(str(file), given) for file in files).items():
        if count > 1:
            raise ValueError(f"--save-poses: {count} images are named {name!r}: give the folder that they are below")


def read_queries(
    options: argparse.Namespace, listed: dict[str, Camera | None] | None
) -> Iterator[tuple[QueryPicture, Camera | None]]:
    """Yield the images to localize, each with its camera from --queries, if any."""
    from deviloc_ros.sources.pictures import read_picture, read_pictures

    if listed is None:
        yield from ((picture, None) for picture in read_pictures(options.images, step_of(options)))
        return
    for name, camera in list(listed.items())[:: step_of(options)]:
        yield read_picture(options.images[0] / name), camera


def name_image(path: str, given: Sequence[Path]) -> str:
    """Return an image's name in files of poses and pairs: relative to the given folder, else the file's name."""
    below = [Path(path).relative_to(folder) for folder in given if Path(path).is_relative_to(folder)]
    longest = max(below, key=lambda one: len(one.parts), default=Path())
    return longest.as_posix() if longest.parts else Path(path).name


def report_records(records: list[dict[str, Any]], results: Sequence[Result], options: argparse.Namespace) -> int:
    """Print advice for images without a pose, write --json, and return the status: 1 if there are such images."""
    from deviloc_ros.types import Lost

    for reason, count in Counter(result.reason for result in results if isinstance(result, Lost)).most_common():
        print(f"{count} x {reason.sentence}: {reason.advice}", file=sys.stderr)
    if options.json and options.json != STANDARD_OUTPUT:
        write_whole(options.json, json.dumps(records, indent=1))
    return 0 if records and all(record["localized"] for record in records) else 1


def units_by_map(maps: Sequence[Map]) -> dict[str, Unit]:
    """Return the unit of each map by its name; the empty name stands for a single map."""
    units = {one.name: one.unit for one in maps}
    return {**units, "": next(iter(units.values()))}


def run_rig(options: argparse.Namespace, localizers: list[Localizer]) -> int:
    """Print a line for each time that the rig took its images, and one for each of its cameras. Raises ValueError."""
    from deviloc_ros.imaging import ImageError, read_gray
    from deviloc_ros.localizer import Localizer
    from deviloc_ros.sources.rigs import read_rig
    from deviloc_ros.types import CameraReport, RigImage

    cameras = read_rig(options.rig)
    if options.pictures or options.mask or step_of(options) > 1:
        raise ValueError("--rig takes no --pictures, --every or --mask: a rig's file names a mask for each camera")
    beside = {"--queries": options.queries, "--pairs": options.pairs, "--save-poses": options.save_poses}
    if given := [flag for flag, value in beside.items() if value]:
        raise ValueError(
            f"--rig takes no {given[0]}: its images are named on the command line, and --json has the poses"
        )
    if len(options.images) % len(cameras):
        raise ValueError(f"--rig {options.rig}: {len(options.images)} images are not of {len(cameras)} cameras each")
    records, units, results = [], units_by_map([localizer.map for localizer in localizers]), []
    for first in range(0, len(options.images), len(cameras)):
        paths = options.images[first : first + len(cameras)]
        images, damaged = [], []
        for own, path in zip(cameras, paths, strict=True):
            try:
                images.append(RigImage(own.name, read_gray(path), own.camera, own.rig_from_cam, own.mask))
            except ImageError as error:
                damaged.append(CameraReport(own.name, Status.BAD_IMAGE, False, 0, str(error)))
        name, result = "", lost_by_images(damaged)
        if images:
            name, result = ask_maps(localizers, partial(Localizer.localize_rig, images=images))
        results.append(result)
        named = {"map": name} if name else {}
        record = {"image": " ".join(map(str, paths)), **named, **result_to_dict(result, cameras[0].camera, units[name])}
        if "world_from_cam" in record:
            record["world_from_rig"] = record.pop("world_from_cam")
        record["cameras"] = [
            {"name": c.name, "status": c.status.word, "used": c.used, "inliers": c.inliers, "detail": c.detail}
            for c in (*result.evidence.cameras, *damaged)
        ]
        records.append(record)
        if options.json == STANDARD_OUTPUT:
            print(json.dumps(record), flush=True)
            continue
        print(describe_record(record, result, units[name]), flush=True)
        for c in (*result.evidence.cameras, *damaged):
            print(f"  {c.name}: {c.inliers} inliers{'' if c.used else ', not used'}; {c.detail}")
    return report_records(records, results, options)


def lost_by_images(damaged: Sequence[CameraReport]) -> Result:
    """Return the result for a time at which no image of a rig can be read."""
    from deviloc_ros.types import Lost

    return Lost(Status.BAD_IMAGE, "; ".join(one.detail for one in damaged))


def describe_choice(options: argparse.Namespace, camera: Camera) -> str:
    """Say which camera is assumed, and why."""
    if options.uncalibrated:
        return "guessed for each image, its focal length estimated with the pose (--uncalibrated)"
    numbers = ",".join(f"{value:g}" for value in (camera.width, camera.height, *camera.params))
    return (
        f"{camera.model},{numbers} ({'--camera' if options.camera else 'the first of the map; --camera gives another'})"
    )


def ask_maps(localizers: list[Localizer], ask: Callable[[Localizer], Result]) -> tuple[str, Result]:
    """Localize in each map; return the result of the best one, with its name if there are several."""
    from deviloc_ros.tracking.several_maps import choose_map

    results = {localizer.map.name: ask(localizer) for localizer in localizers}
    return choose_map(results) if len(results) > 1 else ("", next(iter(results.values())))


def create_album(folder: Path | None, localizers: list[Localizer]) -> Any:
    """Return the album for --pictures, None without it. Raises ValueError for several maps."""
    if folder is None:
        return None
    if len(localizers) > 1:
        raise ValueError("--pictures draws one map: name one map of the folder")
    from deviloc_ros.evaluation.report.album import Album

    return Album(folder, localizers[0].map)


def localize_picture(
    localizers: list[Localizer],
    picture: QueryPicture,
    camera: Camera,
    masks: Masks | None,
    *,
    candidates: Sequence[str] | None = None,
    guess: bool,
    assumed: bool,
) -> tuple[Camera, str, Result]:
    """Localize an image; return the camera that was used, the name of the map (of several), and the result.

    Args:
        candidates: names of the views to match with; None: the map finds them.
        guess: guess a camera for the image.
        assumed: the camera is an assumption, not given for this image.

    Raises:
        ImageError: a mask is unusable; the message names it.
    """
    from deviloc_ros.localizer import Localizer
    from deviloc_ros.sfm.structure import guess_camera
    from deviloc_ros.types import Lost

    if picture.gray is None:
        return camera, "", Lost(Status.BAD_IMAGE, picture.problem)
    height, width = picture.gray.shape
    if guess:
        camera = guess_camera(picture.path, (width, height))
    elif assumed and (width, height) != (camera.width, camera.height):
        why = (
            f"image is {width} x {height} px, the map's first camera, which was assumed, has {camera.width} x "
            f"{camera.height}; give --camera or --uncalibrated"
        )
        return camera, "", Lost(Status.BAD_IMAGE, why)
    mask = masks.check(Path(picture.name).name, (camera.width, camera.height)) if masks else None
    ask = partial(Localizer.localize, image=picture.gray, camera=camera, candidates=candidates, mask=mask)
    return camera, *ask_maps(localizers, ask)


def describe_record(record: dict[str, Any], result: Result, unit: Unit, *, focal: bool = False) -> str:
    """Return a readable line; unit: of the map; focal: whether to add the estimated focal length."""
    from deviloc_ros.tracking.fix import largest_stds
    from deviloc_ros.types import Localized

    if not isinstance(result, Localized):
        return f"{record['image']}: lost, {result}"
    x, y, z = result.cam_from_world.inverse().translation
    std_m, std_deg = largest_stds(result.covariance)
    looks = ", ".join(f"{value:.2f}" for value in result.cam_from_world.inverse().rotation.matrix()[:, 2])
    inside = f"in {record['map']} " if "map" in record else ""
    where = f"{inside}at {x:.3f}, {y:.3f}, {z:.3f} {unit.symbol}, looking along {looks}"
    line = (
        f"{record['image']}: {where}; +- {unit.format_error(std_m, 1)}, {std_deg:.2f} deg; {record['inliers']} inliers"
    )
    if focal and "focal_px" in record:
        line += f"; focal length {record['focal_px']:.0f} +- {record['focal_std_px']:.0f} px"
    return line


def result_to_dict(result: Result, camera: Camera, unit: Unit) -> dict[str, object]:
    """Return a result as plain values; `focal_px` is the focal length that fits.

    Args:
        unit: of the translation and the covariance, even if their keys say metres.
    """
    from deviloc_ros.types import Localized

    evidence = result.evidence
    numbers = {
        "inliers": evidence.inliers,
        "inlier_ratio": round(evidence.inlier_ratio, 4),
        "coverage": evidence.coverage,
    }
    if fit := evidence.intrinsics:
        focal_px, std_px = camera.focal_px * fit.focal_scale, camera.focal_px * fit.focal_std
        numbers |= {"focal_px": round(focal_px, 2), "focal_std_px": round(std_px, 2)}
    if not isinstance(result, Localized):
        return {"localized": False, "reason": result.reason.word, "detail": result.detail, **numbers}
    world_from_cam = result.cam_from_world.inverse()
    return {
        "localized": True,
        "world_from_cam": {
            "translation_m": world_from_cam.translation.tolist(),
            "rotation_xyzw": world_from_cam.rotation.quat.tolist(),
        },
        "covariance": result.covariance.tolist(),
        "unit": unit.value,
        **numbers,
    }
