"""Define which flags belong to which source of images, and refuse flags that the given source would ignore."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

LAYOUTS = ("colmap", "sevenscenes", "kitti", "tum", "nerfstudio", "kapture", "bag")
ALONE, CONTRIBUTED = "images alone", "contributed"  # images without poses, and contributions of robots
POSED_FOLDER = "images with poses"  # of one file
FILES = (*(layout for layout in LAYOUTS if layout != "bag"), POSED_FOLDER)
POSED = (*LAYOUTS, POSED_FOLDER)
OF_RECORDINGS = (
    "image_topic",
    "camera_info_topic",
    "pose_topic",
    "odom_topic",
    "tf",
    "poses",
    "base_frame",
    "camera_frame",
    "extrinsic",
    "time_offset",
    "rectified",
    "camera_info_frame",
    "pose_frame",
    "keyframe_m",
    "keyframe_deg",
    "keyframes",
    "start",
    "end",
    "depth_topic",
    "depth_camera_info_topic",
)
READ_BY: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(OF_RECORDINGS, ("bag",)),
    "images": ("colmap", POSED_FOLDER, ALONE),
    "poses": ("bag", POSED_FOLDER),
    "extrinsic": ("bag", POSED_FOLDER),
    "axes": ("nerfstudio",),
    "sequences": ("sevenscenes",),
    "camera": ("tum", "bag", POSED_FOLDER, ALONE),
    **dict.fromkeys(("depth", "depth_scale"), FILES),
    **dict.fromkeys(("depth_camera", "depth_to_color"), POSED),
    **dict.fromkeys(("camera_per", "positions", "known_distance"), (ALONE,)),
    **dict.fromkeys(("only", "every", "mask"), (*POSED, ALONE)),
    "same_unit": POSED,
    "of_any_map": (CONTRIBUTED,),
}
OF_POSED = "see `map align` for a map that is there"
INSTEAD = {  # by flag and source
    **{(flag, source): OF_POSED for flag in ("positions", "known_distance") for source in POSED},
    ("depth", "bag"): "for a recording there is --depth-topic",
    ("depth_scale", "bag"): "for a recording there is --depth-topic",
    **{("depth_topic", source): "for files there is --depth" for source in FILES},
}


def find_source(options: argparse.Namespace) -> str | None:
    """Return the given source, None without one.

    Raises:
        ValueError: posed images and contributions are given.
    """
    layout = next((layout for layout in LAYOUTS if getattr(options, layout)), None)
    if getattr(options, CONTRIBUTED, None):
        if layout:
            raise ValueError(f"--{layout} does not go with --{CONTRIBUTED}: give one of them")
        return CONTRIBUTED
    if layout is None and options.images and options.poses:
        return POSED_FOLDER
    return layout or (ALONE if options.images and ALONE in options.takes else None)


def check_flags(options: argparse.Namespace) -> None:
    """Raise ValueError naming a flag that the source does not use, and the sources that do.

    Args:
        options: with `takes`, the sources of the command, and `default_of`, which returns the default of a flag.
    """
    source = find_source(options)
    if source is None:
        return
    for flag in list_given(options):
        if source not in READ_BY[flag]:
            readers = name_sources([one for one in READ_BY[flag] if one in options.takes])
            instead = f"; {INSTEAD[flag, source]}" if (flag, source) in INSTEAD else ""
            raise ValueError(f"{name_flag(flag)} goes with {readers}, not with {name_sources([source])}{instead}")


def list_given(options: argparse.Namespace) -> Iterator[str]:
    """Yield the given flags that only some sources use."""
    for flag in READ_BY:
        if getattr(options, flag, None) != options.default_of(flag):
            yield flag


def name_flag(flag: str) -> str:
    """Return the name of a flag on the command line."""
    return f"--{flag.replace('_', '-')}"


def name_sources(sources: Sequence[str]) -> str:
    """Return the flags of sources as text."""
    named = {ALONE: "--images alone", POSED_FOLDER: "--images with --poses"}
    *others, last = (named.get(source) or name_flag(source) for source in sources)
    return f"{', '.join(others)} and {last}" if others else last
