"""Define flags that several commands share, and read the config from them. Defaults are only in `config.py`."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from deviloc_ros.commands.flags.config_check import refuse_beside
from deviloc_ros.config import CONTRIBUTE, LANDMARK_SOURCES, LIFTS, MATCHERS, RIG, TRACKING, Config, bind_to_map
from deviloc_ros.config_fields import C, change_config, from_dict
from deviloc_ros.io.outputs import refuse_file, refuse_folder
from deviloc_ros.io.plain_files import parse_yaml
from deviloc_ros.parameters.parameter_file import load_config
from deviloc_ros.upstream.presets import PRESETS, apply_preset

if TYPE_CHECKING:
    import pycolmap

    from deviloc_ros.camera import Camera
    from deviloc_ros.config import ContributeConfig, RigConfig, TrackingConfig
    from deviloc_ros.workers.base import Workers


CAMERA = "MODEL,W,H,PARAMS|FILE"
CAMERA_FORMS = (
    "as PINHOLE,640,480,525,525,319.5,239.5 (COLMAP's models, pixel centres at integers), or a calibration's YAML "
    "file: camera_info, Kalibr's camchain.yaml[:cam0], EuRoC's sensor.yaml, OpenCV's"
)
MOUNT = "'X Y Z QX QY QZ QW'|FILE"
MOUNT_FORMS = "or a 4 x 4 matrix row by row, or a file: EuRoC's sensor.yaml, Kalibr's camchain-imucam.yaml[:cam0]"
T = TypeVar("T")
LARGEST_OFFSET_S = 4e9  # between a clock that starts at zero and one that shows the next century
STANDARD_OUTPUT = Path("-")
LONGEST_SESSION = 80  # characters of a name


def add_overwrite(parser: argparse.ArgumentParser, folders: Sequence[str]) -> None:
    """Add --overwrite; `folders` names the options of folders that are written."""
    parser.add_argument("--overwrite", action="store_true", help="replace existing output")
    parser.set_defaults(folders=folders)


def set_results(parser: argparse.ArgumentParser, files: Sequence[str] = (), folders: Sequence[str] = ()) -> None:
    """Name the options of result files, which may replace those of an earlier run since they can be made again."""
    parser.set_defaults(result_files=files, result_folders=folders)


def check_outputs(options: argparse.Namespace) -> None:
    """Raise OSError if an output of a command exists, unless it is a result or --overwrite is given."""
    given = getattr(options, "overwrite", False)
    for kind, check, overwrite in (
        ("result_files", refuse_file, True),
        ("folders", refuse_folder, given),
        ("result_folders", refuse_folder, True),
    ):
        for path in (getattr(options, name) for name in getattr(options, kind, ())):
            if path not in (None, STANDARD_OUTPUT):
                check(path, overwrite=overwrite)


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add --data DIR; its default is DEVILOC_DATA from the environment."""
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("DEVILOC_DATA", "../shared/data")),
        metavar="DIR",
        help="folder of 7scenes, strecha and kitti; default: $DEVILOC_DATA or ../shared/data",
    )


def add_every(parser: argparse._ActionsContainer, of_what: str) -> None:
    """Add --every N; `step_of` reads it."""
    parser.add_argument("--every", type=int, default=1, metavar="N", help=f"only every N-th {of_what}")


def step_of(options: argparse.Namespace) -> int:
    """Return the step; raise ValueError naming the flag."""
    if options.every < 1:
        raise ValueError(f"--every {options.every}: expected 1 or more")
    return options.every


def parse_above_zero(text: str) -> float:
    """Parse a flag's number above 0."""
    return parse_number(text, 0.0, "a number above 0", strictly=True)


def parse_zero_or_more(text: str) -> float:
    """Parse a flag's number of 0 or more."""
    return parse_number(text, 0.0, "0 or more")


def parse_offset(text: str) -> float:
    """Parse a flag's difference of two clocks [s]."""
    value = parse_finite(text)
    if abs(value) > LARGEST_OFFSET_S:
        raise argparse.ArgumentTypeError(f"{text!r}: expected seconds, at most {LARGEST_OFFSET_S:.0e}")
    return value


def parse_finite(text: str) -> float:
    """Parse a flag's finite number."""
    return parse_number(text, -math.inf, "a number")


def parse_number(text: str, least: float, expected: str, *, strictly: bool = False, most: float = math.inf) -> float:
    """Parse a number. Raises ArgumentTypeError, to which argparse adds the flag's name."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or not least <= value <= most or (strictly and value == least):
        raise argparse.ArgumentTypeError(f"{text!r}: expected {expected}")
    return value


def add_session(parser: argparse._ActionsContainer) -> None:
    """Add --session NAME."""
    parser.add_argument(
        "--session",
        type=parse_session,
        default="",
        metavar="NAME",
        help="when or in which light the images were taken, e.g. night. A query is matched first with the session it "
        "resembles; map report tells how well each is localized from the others",
    )


def parse_session(text: str) -> str:
    """Parse the name of a session, empty for none."""
    if text != text.strip() or not text.isprintable() or len(text) > LONGEST_SESSION:
        what = f"at most {LONGEST_SESSION} printable characters, without spaces around them"
        raise argparse.ArgumentTypeError(f"{text[:LONGEST_SESSION]!r}: expected {what}")
    return text


def add_ray(parser: argparse._ActionsContainer) -> None:
    """Add --ray ADDRESS, for `create_workers`."""
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="distribute the work over the cores of this machine (local), its Ray cluster (auto), "
        "or the Ray cluster at HOST:PORT; needs the extra ray",
    )


def create_workers(ray_address: str | None) -> Workers:
    """Return Ray's workers at an address (`local` starts some here), or for None this process.

    Raises:
        ValueError: Ray is not installed, or does not answer.
    """
    if ray_address is None:
        from deviloc_ros.workers.base import Serial

        return Serial()
    from deviloc_ros.workers.ray_cluster import RayWorkers

    return RayWorkers(ray_address)


def add_config(parser: argparse.ArgumentParser, *, of_map: bool = False) -> None:
    """Add --config FILE, --set key=value and shorthands for common parameters.

    Args:
        of_map: the command localizes in an existing map, which fixes the parameters of the shorthands.
    """
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="YAML file of parameters: `pose.min_inliers: 40`, the same nested, or the node's parameter "
        "file; docs/parameters.md shows each",
    )
    parser.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set one parameter, e.g. pose.min_inliers=40",
    )
    config, settled = Config(), "must be that of the map" if of_map else ""
    for flag, choices, default in (
        ("--matcher", MATCHERS, config.matcher.name),
        ("--lift", LIFTS, config.lift.method),
        ("--landmark-source", LANDMARK_SOURCES, config.lift.landmark_source),
    ):
        parser.add_argument(flag, choices=choices, help=settled or f"default: {default}")


def add_preset(parser: argparse.ArgumentParser) -> None:
    """Add --preset NAME and --weights FILE, for commands that run the published method too."""
    parser.add_argument(
        "--preset",
        metavar="NAME",
        help=f"a named group of settings, which other flags override: {', '.join(PRESETS)}",
    )
    parser.add_argument(
        "--weights",
        default="",
        metavar="FILE",
        help="weights of topicfm and upstream, .ckpt or .safetensors, or of pin; random: untrained",
    )


def read_config(options: argparse.Namespace, base: Config | None = None) -> Config:
    """Return the config that the flags describe. Raises ValueError naming the parameter."""
    config = base or Config()
    if getattr(options, "preset", None):
        config = apply_preset(config, options.preset)
    if options.config:
        config = load_config(options.config, config)
    for change in options.changes:
        values = parse_change(change)
        refuse_beside(values)
        config = from_dict(config, values)
    if options.matcher:
        config = change_config(config, matcher={"name": options.matcher})
    if options.lift:
        config = change_config(config, lift={"method": options.lift})
    if options.landmark_source:
        config = change_config(config, lift={"landmark_source": options.landmark_source})
    return set_weights(config, getattr(options, "weights", ""))


def read_config_for_map(options: argparse.Namespace, map_config: Config, base: Config | None = None) -> Config:
    """Return the config that the flags describe, for localizing in an existing map.

    Raises:
        ValueError: a flag changes what was fixed when the map was built; or as `read_config`.
    """
    wanted = read_config(argparse.Namespace(**{**vars(options), "preset": None}), map_config)
    free = ("weights", "precision") if map_config.lift.method == "upstream" else ()  # it lifts while matching, too
    settled = [("matcher.name", wanted.matcher.name, map_config.matcher.name)]
    settled += [
        (f"lift.{f.name}", getattr(wanted.lift, f.name), getattr(map_config.lift, f.name))
        for f in fields(wanted.lift)
        if f.name not in free
    ]
    for name, given, built in settled:
        if given != built:
            raise ValueError(f"{name} {given!r}: the map was built with {built!r}; build another with that")
    return bind_to_map(read_config(options, base), map_config)


def set_weights(config: Config, weights: str) -> Config:
    """Return `config` with the weights file set where it is used. Raises ValueError if nothing uses it."""
    if not weights:
        return config
    of_matcher, of_lift = config.matcher.name == "topicfm", config.lift.method in ("upstream", "pin")
    if not of_matcher and not of_lift:
        raise ValueError(
            f"--weights {weights}: matcher {config.matcher.name!r} and lift {config.lift.method!r} take none"
        )
    if of_matcher:
        config = change_config(config, matcher={"weights": weights})
    if config.lift.method == "upstream" or (of_lift and not of_matcher):
        config = change_config(config, lift={"weights": weights})
    return config


def parse_change(change: str) -> dict[str, object]:
    """Parse `pose.min_inliers=40` as {"pose": {"min_inliers": 40}}. Raises ValueError if there is no `=`."""
    key, equals, text = change.partition("=")
    if not equals:
        raise ValueError(f"--set {change!r}: expected KEY=VALUE")
    try:
        value = parse_yaml(text)
    except ValueError as error:
        raise ValueError(f"--set {change!r}: {' '.join(str(error).split())}") from error
    for part in reversed(key.strip().split(".")):
        value = {part: value}
    return value


def take_tracking(options: argparse.Namespace) -> TrackingConfig:
    """Return the tracking config of --config and --set, and remove it from the changes for `read_config`."""
    from deviloc_ros.config import TrackingConfig

    return take_section(options, TRACKING, TrackingConfig())


def take_rig(options: argparse.Namespace) -> RigConfig:
    """Return the rig config of --config and --set, as `take_tracking` does."""
    from deviloc_ros.config import RigConfig

    return take_section(options, RIG, RigConfig())


def take_contribute(options: argparse.Namespace) -> ContributeConfig:
    """Return the contribute config of --config and --set, as `take_tracking` does."""
    from deviloc_ros.config import ContributeConfig

    return take_section(options, CONTRIBUTE, ContributeConfig())


def take_section(options: argparse.Namespace, name: str, config: C) -> C:
    """Return the config of a section of --config and --set, and remove it from the changes. Raises ValueError."""
    if options.config:
        config = load_config(options.config, config, name)
    prefix = f"{name}."
    for change in options.changes:
        if change.startswith(prefix):
            config = from_dict(config, parse_change(change.removeprefix(prefix)), prefix)
    options.changes = [change for change in options.changes if not change.startswith(prefix)]
    return config


def parse_camera(text: str, flag: str = "--camera") -> Camera:
    """Parse MODEL,W,H,PARAMS, or read a calibration file. Raises ValueError naming the flag."""
    from deviloc_ros.camera import Camera
    from deviloc_ros.sources.camera_files import is_camera_file, read_camera_file

    if is_camera_file(text):
        return read_file_of_flag(read_camera_file, text, flag)
    try:
        model, width, height, *params = text.split(",")
        numbers = int(width), int(height), tuple(float(p) for p in params)
    except ValueError as error:
        raise ValueError(
            f"{flag} {text!r}: expected MODEL,W,H,PARAMS, e.g. PINHOLE,640,480,525,525,319.5,239.5, or a .yaml file of "
            "ROS's camera_info, of Kalibr, of EuRoC or of OpenCV"
        ) from error
    try:
        return Camera(model, *numbers)
    except ValueError as error:
        raise ValueError(f"{flag} {text!r}: {error}") from error


def parse_mount(text: str) -> pycolmap.Rigid3d:
    """Parse --extrinsic, body_from_cam: `x y z qx qy qz qw`, the rows of a matrix, or a file. Raises ValueError."""
    import numpy as np

    from deviloc_ros.geometry import rigid_from_matrix
    from deviloc_ros.messages.headers import parse_rigid
    from deviloc_ros.sources.camera_files import is_camera_file, read_mount_file

    if is_camera_file(text):
        return read_file_of_flag(read_mount_file, text, "--extrinsic")
    words = text.replace(",", " ").split()
    if len(words) not in (12, 16):
        return parse_rigid(text)
    try:
        return rigid_from_matrix(np.reshape([float(word) for word in words], (-1, 4)))
    except ValueError as error:
        raise ValueError(f"--extrinsic {text!r}: {error}") from error


def read_file_of_flag(read: Callable[[str], T], text: str, flag: str) -> T:
    """Read the file of a flag. Raises ValueError naming the flag."""
    try:
        return read(text)
    except FileNotFoundError as error:
        raise ValueError(f"{flag} {text}: there is no such file") from error
    except ValueError as error:
        raise ValueError(f"{flag} {error}") from error


def format_mount(text: str) -> str:
    """Return what `parse_mount` reads as `x y z qx qy qz qw`, which the node's parameter takes. Raises ValueError."""
    mount = parse_mount(text)
    return " ".join(repr(float(number)) for number in (*mount.translation, *mount.rotation.quat))
