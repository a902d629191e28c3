"""Train our Point Inference Network on rendered views, or the paper's on MegaDepth: `train pin`, `train deviloc`."""

from __future__ import annotations

import argparse
from pathlib import Path

from deviloc_ros.io.outputs import refuse_file


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("what", choices=("pin", "deviloc"), help="ours, or the paper's")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="pin: made by `-m deviloc_ros.training.data`; deviloc: MegaDepth",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="weights, as safetensors")
    parser.add_argument("--overwrite", action="store_true", help="begin anew; without, a training that was cut goes on")
    parser.add_argument("--steps", type=int, metavar="N")
    parser.add_argument("--seed", type=int, metavar="S")
    parser.add_argument("--weights", default="", metavar="FILE", help="deviloc: of TopicFM-fast; random: untrained")
    parser.add_argument("--scenes", nargs="+", default=[], metavar="SCENE", help="deviloc: default all of the metadata")
    parser.add_argument(
        "--validation-scenes",
        nargs="+",
        default=[],
        metavar="SCENE",
        help="deviloc: localize in these after each epoch",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Train the network that was named."""
    prepare_output(options.output, overwrite=options.overwrite)
    return run_deviloc(options) if options.what == "deviloc" else run_pin(options)


def prepare_output(output: Path, *, overwrite: bool) -> None:
    """Raise FileExistsError if weights exist that neither training continues with nor --overwrite replaces."""
    checkpoint = output.with_suffix(".checkpoint")
    if overwrite:
        checkpoint.unlink(missing_ok=True)
    if not checkpoint.is_file():
        refuse_file(output, overwrite=overwrite)


def run_deviloc(options: argparse.Namespace) -> int:
    """Train the paper's networks on MegaDepth."""
    from dataclasses import replace

    from deviloc_ros.upstream.training.loop import DevilocTraining, train_deviloc

    settings = DevilocTraining()
    if options.seed is not None:
        settings = replace(settings, seed=options.seed)
    scenes, held_out = tuple(options.scenes), tuple(options.validation_scenes)
    progress = train_deviloc(
        options.data, options.output, settings, options.weights, scenes, options.steps or 0, held_out
    )
    print(f"{options.output}: {len(progress.losses)} steps, last loss {progress.losses[-1]:.3f}")
    return 0


def run_pin(options: argparse.Namespace) -> int:
    """Train our network on rendered views."""
    from deviloc_ros.training.pin import PinTraining, apply_options, train_pin

    settings = apply_options(PinTraining(), steps=options.steps, seed=options.seed)
    train_pin(options.data, options.output, settings)
    print(f"{options.output}: trained for {settings.steps} steps, seed {settings.seed}")
    return 0
