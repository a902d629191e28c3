"""Define --mask, for which pixels of images are used, and show parts of the robot that were found in view."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from deviloc_ros.mapping.views import BuildReport
    from deviloc_ros.masks import Masks
    from deviloc_ros.sfm.structure import UnposedImage
    from deviloc_ros.sources.base import PosedImage

Masked = TypeVar("Masked", "PosedImage", "UnposedImage")


def add_mask(parser: argparse._ActionsContainer) -> None:
    """Add the flag."""
    parser.add_argument(
        "--mask",
        type=Path,
        metavar="FILE|FOLDER",
        help="use only the white pixels of this image, which has the camera's size; a folder holds one per image, of "
        "the same name",
    )


def find_masks(options: argparse.Namespace) -> Masks | None:
    """Return the masks of --mask. Raises ValueError if the path does not exist."""
    from deviloc_ros.masks import Masks

    if getattr(options, "mask", None) is None:  # not a flag of all that read images
        return None
    if not options.mask.exists():
        raise ValueError(f"--mask {options.mask}: no such file or folder")
    return Masks(options.mask)


def attach_masks(images: Sequence[Masked], options: argparse.Namespace) -> list[Masked]:
    """Return the images with the masks that --mask names for them. Raises ValueError naming a mask that is unusable."""
    masks = find_masks(options)
    if masks is None:
        return list(images)
    return [replace(i, mask=masks.check(i.name, (i.camera.width, i.camera.height))) for i in images]


def mask_beside(output: Path) -> Path:
    """Return where --auto-mask writes the mask of a map."""
    return output.with_name(f"{output.name}-mask.png")


def show_body(report: BuildReport, images: Sequence[PosedImage], output: Path, *, write_mask: bool = False) -> None:
    """Write a picture of the robot in view beside the map, and a mask if requested, and print where they are."""
    from deviloc_ros.io.encoded_images import write_picture
    from deviloc_ros.mapping.body_picture import draw_body, draw_mask

    if report.body is None:
        if write_mask:
            print("body in view: nothing was noticed, so no mask is written")
        return
    picture = output.with_name(f"{output.name}-body.jpg")
    write_picture(picture, draw_body(images, report.body))
    print(f"body in view: {picture} shows what is not used")
    if write_mask:
        mask = mask_beside(output)
        write_picture(mask, draw_mask(images[0].camera, report.body))
        print(f"body in view: {mask} is a mask of it, for --mask")
