"""Check the file of --config and the changes of --set before work begins."""

from __future__ import annotations

import argparse
import logging
from typing import Any

from deviloc_ros.config import Config
from deviloc_ros.config_fields import flatten_names
from deviloc_ros.parameters.layouts import read_parameters
from deviloc_ros.parameters.node_config import NodeConfig
from deviloc_ros.parameters.parameter_file import BESIDE, FLAGS, find_node_parameters, load_config, refuse_unknown

log = logging.getLogger(__name__)
ABSENT = object()  # of a flag that a command does not have


def refuse_beside(changes: dict[str, Any]) -> None:
    """Raise ValueError naming the first of nested changes that is unknown, or only used while tracking."""
    for name in flatten_names(changes):
        if name.partition(".")[0] in BESIDE:
            raise ValueError(f"{name} has no effect here: only the node and evaluate-bag use it")
    refuse_unknown(changes)


def check_config(options: argparse.Namespace) -> None:
    """Check the file of --config before work begins, and warn of parameters that count for the node alone.

    Only of those that this command takes by a flag which was not given. Raises as `load_config`.
    """
    path = getattr(options, "config", None)
    if path is None:
        return
    load_config(path, Config())
    file, defaults = read_parameters(path), NodeConfig()
    missed = []
    for name, value in find_node_parameters(file.values).items():
        flag = FLAGS.get(name, "")
        said = getattr(options, flag[2:].replace("-", "_"), ABSENT)
        default = getattr(defaults, name, None)
        if flag and value not in (default, []) and said in (None, "", [], default):
            missed.append(f"{name} ({flag})")
    if missed:
        log.warning("%s: only the node reads these, here give the flags: %s", path, ", ".join(missed))
