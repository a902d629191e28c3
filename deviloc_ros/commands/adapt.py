"""Fine-tune the Point Inference Network on a map's own landmarks: `adapt`."""

from __future__ import annotations

import argparse
from pathlib import Path

from deviloc_ros.commands.flags.common import set_results


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("map", type=Path, metavar="MAP", help="a map folder; it is not changed")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="weights, as safetensors")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="where to start; default: those in the package")
    parser.add_argument("--steps", type=int, metavar="N")
    parser.add_argument("--seed", type=int, metavar="S")
    set_results(parser, files=["output"])
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Adapt the network and print its errors before and after; return 1 if it got no better."""
    from deviloc_ros.lifting.pin import WEIGHTS, load_pin
    from deviloc_ros.maps.store import Map
    from deviloc_ros.training.adapt import ADAPTATION, adapt_network
    from deviloc_ros.training.pin import apply_options

    settings = apply_options(ADAPTATION, steps=options.steps, seed=options.seed)
    result = adapt_network(Map.open(options.map), load_pin(options.weights or WEIGHTS), options.output, settings)
    for name, (median, right) in (("before", result.before), ("after", result.after)):
        print(
            f"{name}: median relative error {median:.4f}, within 2 %: {right:.3f} (hidden landmarks of views kept out)"
        )
    if not result.is_better:
        print(f"No better on views it has not seen: stay with the weights you started from, not {options.output}.")
        return 1
    print(f"Use them: deviloc build-map … --lift pin --set lift.weights={options.output}")
    return 0
