"""Convert a network of a torch-hub folder to a file for global descriptors: `import-descriptor`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from deviloc_ros.commands.flags.common import set_results
from deviloc_ros.io.plain_files import parse_yaml


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("folder", type=Path, help="the folder of hubconf.py")
    parser.add_argument("--entry", default="get_trained_model", metavar="NAME", help="default: %(default)s")
    parser.add_argument(
        "--argument", action="append", default=[], metavar="NAME=VALUE", help="what the entry is called with"
    )
    parser.add_argument("--side-px", type=int, default=322, metavar="PX", help="images are scaled to it (%(default)s)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the TorchScript file to write")
    parser.add_argument("--trust-code", action="store_true", help="run the folder's code")
    set_results(parser, files=["output"])
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the folder's code, if the user trusts it, and write the network."""
    if not options.trust_code:
        raise ValueError(f"{options.folder}: its code would be run; give --trust-code if you trust it")
    from deviloc_ros.maps.retrieval.torch_hub import import_hub_model

    arguments = dict(parse_argument(text) for text in options.argument)
    size = import_hub_model(options.folder, options.entry, arguments, options.side_px, options.output)
    print(f"{options.output}: descriptors of {size} numbers; build maps with")
    print(f"  --set retrieval.descriptor_file={options.output}")
    return 0


def parse_argument(text: str) -> tuple[str, Any]:
    """Return `size=5` as ("size", 5); raise ValueError if there is no `=`."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--argument {text!r}: expected NAME=VALUE")
    return name, parse_yaml(value)
