"""Flags that several commands share, and the config they make. Defaults live in `config.py` alone."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import yaml

from deviloc_ros.config import LANDMARK_SOURCES, LIFTS, MATCHERS, Config, from_dict, load


def add_data(parser: argparse.ArgumentParser) -> None:
    """--data DIR, or DEVILOC_DATA from the environment."""
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("DEVILOC_DATA", "../shared/data")),
        metavar="DIR",
        help="folder of 7scenes, strecha and kitti; default: $DEVILOC_DATA or ../shared/data",
    )


def add_config(parser: argparse.ArgumentParser) -> None:
    """--config FILE, --set key=value and shorthands for what is changed most."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="YAML file of parameters, nested as in docs/parameters.md"
    )
    parser.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="one parameter, as pose.min_inliers=40",
    )
    parser.add_argument("--matcher", choices=MATCHERS, help=f"default: {Config().matcher.name}")
    parser.add_argument("--lift", choices=LIFTS, help=f"default: {Config().lift.method}")
    parser.add_argument("--landmark-source", choices=LANDMARK_SOURCES, help=f"default: {Config().lift.landmark_source}")


def config_of(options: argparse.Namespace, base: Config | None = None) -> Config:
    """The config that the flags describe. Raises ValueError naming the parameter."""
    config = base or Config()
    if options.config:
        config = load(options.config, config)
    for change in options.changes:
        config = from_dict(config, nested(change))
    if options.matcher:
        config = replace(config, matcher=replace(config.matcher, name=options.matcher))
    if options.lift:
        config = replace(config, lift=replace(config.lift, method=options.lift))
    if options.landmark_source:
        config = replace(config, lift=replace(config.lift, landmark_source=options.landmark_source))
    return config


def nested(change: str) -> dict[str, object]:
    """`pose.min_inliers=40` -> {"pose": {"min_inliers": 40}}. Raises ValueError if there is no `=`."""
    key, equals, text = change.partition("=")
    if not equals:
        raise ValueError(f"--set {change!r}: expected KEY=VALUE")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"--set {change!r}: {' '.join(str(error).split())}") from error
    for part in reversed(key.strip().split(".")):
        value = {part: value}
    return value
