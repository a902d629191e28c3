"""`train pin`: the Point Inference Network, on rendered views."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("train", help="train the Point Inference Network on rendered views")
    parser.add_argument("what", choices=("pin",))
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="made by `-m deviloc_ros.training.data`"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="weights, as safetensors")
    parser.add_argument("--steps", type=int, metavar="N")
    parser.add_argument("--seed", type=int, metavar="S")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from deviloc_ros.training.pin import PinTraining, train_pin, with_options

    settings = with_options(PinTraining(), steps=options.steps, seed=options.seed)
    train_pin(options.data, options.output, settings)
    print(f"{options.output}: trained for {settings.steps} steps, seed {settings.seed}")
    return 0
