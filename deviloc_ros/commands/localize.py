"""Localize images in a map, one line each: `localize`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from deviloc_ros.commands.flags.common import add_config, add_preset, parse_camera, read_config_for_map

if TYPE_CHECKING:
    from deviloc_ros.camera import Camera
    from deviloc_ros.types import Result


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("map", type=Path, metavar="MAP")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
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
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    add_config(parser)
    add_preset(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print a JSON line for each image; return 1 if one has no pose."""
    import logging

    from deviloc_ros.config import change_config
    from deviloc_ros.imaging import ImageError, read_gray
    from deviloc_ros.localizer import Localizer
    from deviloc_ros.maps.store import Map
    from deviloc_ros.sfm.structure import guess_camera
    from deviloc_ros.status import Status
    from deviloc_ros.types import Lost

    reference_map = Map.open(options.map)
    config = read_config_for_map(options, reference_map.config, reference_map.config)
    if options.uncalibrated:
        config = change_config(config, pose={"estimate_focal": True})
    localizer = Localizer(reference_map, config)
    camera = parse_camera(options.camera) if options.camera else reference_map.records[0].camera
    logging.getLogger(__name__).debug("camera %s", camera)
    records = []
    for path in options.images:
        try:
            gray = read_gray(path)
            if options.uncalibrated:
                camera = guess_camera(path, (gray.shape[1], gray.shape[0]))
            result = localizer.localize(gray, camera)
        except ImageError as error:
            result = Lost(Status.BAD_IMAGE, str(error))
        record = {"image": str(path), **result_to_dict(result, camera)}
        records.append(record)
        print(json.dumps(record))
    if options.json:
        options.json.write_text(json.dumps(records, indent=1))
    return 0 if all(record["localized"] for record in records) else 1


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
