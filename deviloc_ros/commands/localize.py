"""Localize images in a map, one line each: `localize`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deviloc_ros.commands.flags.common import (
    add_config,
    add_every,
    add_preset,
    parse_camera,
    read_config_for_map,
    step_of,
)
from deviloc_ros.commands.flags.images_alone import format_camera

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deviloc_ros.camera import Camera
    from deviloc_ros.maps.store import Map
    from deviloc_ros.types import Result


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("map", type=Path, metavar="MAP")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="images, folders of them, videos")
    parser.epilog = "Exit status: 0; 1: an image has no pose; 2: an error."
    camera = parser.add_mutually_exclusive_group()
    camera.add_argument(
        "--camera",
        metavar="MODEL,W,H,PARAMS",
        help="as PINHOLE,640,480,525,525,319.5,239.5: COLMAP's model names, pixel centres at integers; "
        "default: the map's first camera",
    )
    camera.add_argument(
        "--uncalibrated", action="store_true", help="estimate the focal length of each image; no lens distortion"
    )
    add_every(parser, "frame of a video")
    parser.add_argument("--json", metavar="FILE", help="write the results there too; - prints them, a line an image")
    parser.add_argument(
        "--pictures",
        type=Path,
        metavar="DIR",
        help="draw what each pose rests on: matches with the best reference, depths, the map from above",
    )
    add_config(parser)
    add_preset(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print a line for each image; return 1 if one has no pose."""
    from deviloc_ros.config import change_config
    from deviloc_ros.localizer import Localizer
    from deviloc_ros.maps.store import Map
    from deviloc_ros.sfm.structure import guess_camera
    from deviloc_ros.sources.pictures import read_pictures
    from deviloc_ros.status import Status
    from deviloc_ros.types import Lost

    reference_map = Map.open(options.map)
    config = read_config_for_map(options, reference_map.config, reference_map.config)
    if options.uncalibrated:
        config = change_config(config, pose={"estimate_focal": True})
    localizer = Localizer(reference_map, config)
    camera = parse_camera(options.camera) if options.camera else reference_map.records[0].camera
    if not options.camera and not options.uncalibrated:
        print(f"camera: {format_camera(camera)}, of the map's first view; others with --camera", file=sys.stderr)
    check_writable(options)
    records = []
    for picture in read_pictures(options.images, step_of(options)):
        if picture.gray is None:
            result: Result = Lost(Status.BAD_IMAGE, picture.problem)
        else:
            if options.uncalibrated:
                camera = guess_camera(picture.path, (picture.gray.shape[1], picture.gray.shape[0]))
            result = localizer.localize(picture.gray, camera)
        record = {"image": picture.name, **result_to_dict(result, camera)}
        records.append(record)
        print(json.dumps(record) if options.json == "-" else format_result(picture.name, result))
        if options.pictures and picture.gray is not None:
            draw_result(options.pictures, picture.name, picture.gray, result, reference_map)
    if options.json and options.json != "-":
        Path(options.json).write_text(json.dumps(records, indent=1))
    return 0 if all(record["localized"] for record in records) else 1


def check_writable(options: argparse.Namespace) -> None:
    """Make the folder of pictures, and say before the work what cannot be written. Raises OSError."""
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
    if options.json and options.json != "-":
        Path(options.json).open("a").close()


def format_result(name: str, result: Result) -> str:
    """Return a line for people: where the camera is, how sure that is, or why there is no pose."""
    from deviloc_ros.tracking.fix import largest_stds
    from deviloc_ros.types import Localized

    if not isinstance(result, Localized):
        return f"{name}: no pose: {result}"
    world_from_cam, evidence = result.cam_from_world.inverse(), result.evidence
    place = ", ".join(f"{value:.3f}" for value in world_from_cam.translation)
    turn = ", ".join(f"{value:.4f}" for value in world_from_cam.rotation.quat)
    std_m, std_deg = largest_stds(result.covariance)
    return (
        f"{name}: at ({place}) m, quaternion xyzw ({turn}), +- {100 * std_m:.1f} cm {std_deg:.2f} deg, "
        f"{evidence.inliers} inliers ({evidence.inlier_ratio:.0%})"
    )


def draw_result(folder: Path, name: str, gray: NDArray, result: Result, reference_map: Map) -> None:
    """Write the picture of one image, named like it. Raises OSError."""
    import cv2

    from deviloc_ros.io.localization_pictures import draw_depths, draw_from_above, stack_panels
    from deviloc_ros.io.match_pictures import best_reference, draw_matches
    from deviloc_ros.types import Localized

    evidence = result.evidence
    upper = cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)
    if evidence.references:
        best = best_reference(evidence)
        (view,) = reference_map.views_named([evidence.references[best]], 1)
        upper = draw_matches(gray, view, evidence, best)
    depths = draw_depths(gray, result)
    views = [record.cam_from_world.inverse() for record in reference_map.records]
    pose = result.cam_from_world.inverse() if isinstance(result, Localized) else None
    plan = draw_from_above(reference_map.landmarks(), views, pose, (depths.shape[1], depths.shape[0]))
    path = folder / f"{name.strip('/').replace('/', '_').replace('#', '_')}.jpg"
    if not cv2.imwrite(str(path), stack_panels(upper, depths, plan)):
        raise OSError(f"{path}: cannot be written")


def result_to_dict(result: Result, camera: Camera) -> dict[str, object]:
    """Return a result as plain values; `focal_px` is the focal length that fits."""
    from deviloc_ros.types import Localized

    evidence = result.evidence
    numbers = {
        "inliers": evidence.inliers,
        "inlier_ratio": round(evidence.inlier_ratio, 4),
        "coverage": evidence.coverage,
    }
    if focal := evidence.focal:
        focal_px, std_px = camera.focal_px * focal.scale, camera.focal_px * focal.std
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
        **numbers,
    }
