"""Write a matcher's networks as ONNX models, for TensorRT and other runtimes: `export-onnx`."""

from __future__ import annotations

import argparse
from pathlib import Path

from deviloc_ros.commands.flags.common import set_results
from deviloc_ros.config import MATCHERS


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("output", type=Path, metavar="FOLDER", help="one .onnx file for each network goes there")
    parser.add_argument("--matcher", choices=MATCHERS, default=MATCHERS[0], help="default: %(default)s")
    set_results(parser, folders=["output"])
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write each network and print its inputs and outputs. Raises ValueError: the matcher has none to export."""
    from deviloc_ros.config import MatcherConfig
    from deviloc_ros.io.atomic import replace_on_success
    from deviloc_ros.matching import create_matcher
    from deviloc_ros.matching.engine import check_exports, export

    check_exports()
    networks = create_matcher(MatcherConfig(name=options.matcher, device="cpu", engine="torch")).describe_networks()
    if not networks:
        raise ValueError(f"matcher {options.matcher!r} runs only in PyTorch: it has no network to export")
    for network in networks:
        path = options.output / f"{network.name}.onnx"
        content = export(network)
        with replace_on_success(path) as partial:
            partial.write_bytes(content)
        shape = [network.varying.get(axis, str(length)) for axis, length in enumerate(network.example.shape)]
        print(f"{path}: {len(content) / 1e6:.1f} MB; input: {' x '.join(shape)}; outputs: {', '.join(network.outputs)}")
    return 0
