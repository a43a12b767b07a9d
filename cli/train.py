"""`padless train`: a dataset directory to a run directory."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys
from collections.abc import Mapping

from padless.cli.arguments import add_budget_arguments, add_tail_arguments, options_checked

# Shown as help; what is not given is left to the dataclasses, or to the run that is resumed.
DEFAULTS = {
    "epochs": 50,
    "latent_size": 32,
    "units": 64,
    "layers": 1,
    "cell": "lstm",
    "bidirectional": True,
    "pooling": "last_and_mean",
    "initial_state": True,
    "linear_head": True,
    "dropout": 0.0,
    "alignment": "dynamic_repeat",
    "learning_rate": 5e-3,
    "schedule": "one_cycle",
    "clip_norm": 1.0,
    "weighting": "sequence",
    "precision": "float32",
    "seed": 0,
    "checkpoint_minutes": 10.0,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("dataset", metavar="DATASET", help="dataset directory")
    parser.add_argument(
        "--run", dest="run_directory", required=True, metavar="RUN", help="directory to make"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on where the run was interrupted, with its options, or begin it if there is none; "
        "with --schedule constant and more --epochs, go on with a finished run",
    )
    add_model_arguments(parser)
    alignments = (
        "dynamic_repeat",
        "masked_repeat",
        "cropped_output",
        "propagated_mask",
        "padded",
    )
    alignment = "how lengths share a batch: equal (the first), or padded in one of four other ways"
    _add(parser, "--alignment", alignment, choices=alignments)
    add_training_arguments(parser)
    _add_keeping(parser)


def _add(parser, flag: str, help: str, **options) -> None:
    """Adds an argument that is not there if it is not given; its default is in the help."""
    name = flag.strip("-").replace("-", "_")
    if options.get("action") is argparse.BooleanOptionalAction:
        help = f"{help} (by default {'so' if DEFAULTS[name] else 'not'})"
    elif name in DEFAULTS:
        help = f"{help} (default: {DEFAULTS[name]})"
    if "action" not in options and "choices" not in options:
        options.setdefault("metavar", "X" if options["type"] is float else "N")
    parser.add_argument(flag, help=help, default=argparse.SUPPRESS, **options)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the autoencoder is built of."""
    _add(parser, "--latent-size", "of an embedding", type=int)
    _add(parser, "--units", "of each layer", type=int)
    _add(parser, "--layers", "in the encoder, and in the decoder", type=int)
    _add(parser, "--cell", "kind of layer", choices=("lstm", "gru"))
    both = {"action": argparse.BooleanOptionalAction}
    _add(parser, "--bidirectional", "encode each sequence from both ends", **both)
    poolings = ("last", "mean", "last_and_mean")
    _add(parser, "--pooling", "what of the encoder's outputs is embedded", choices=poolings)
    _add(parser, "--initial-state", "begin the decoder's state with the embedding", **both)
    head = "a linear layer behind the decoder; without it values lie between -1 and 1"
    _add(parser, "--linear-head", head, **both)
    _add(parser, "--dropout", "share of a layer's inputs to drop when training", type=float)


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds how it is trained."""
    _add(parser, "--epochs", "most epochs", type=int)
    replicas = "GPUs, or logical CPU devices without GPUs (by default all GPUs, or 1)"
    _add(parser, "--replicas", replicas, type=int)
    add_budget_arguments(parser, default=argparse.SUPPRESS)
    add_tail_arguments(parser, default=argparse.SUPPRESS)
    _add(parser, "--learning-rate", "of Adam, the highest of the schedule", type=float)
    schedules = ("constant", "cosine", "one_cycle")
    _add(parser, "--schedule", "how the learning rate goes over all epochs", choices=schedules)
    _add(parser, "--clip-norm", "most of the gradient's norm", type=float)
    weightings = ("sequence", "timestep")
    _add(parser, "--weighting", "what weighs the same in the loss", choices=weightings)
    precisions = ("float32", "mixed_float16", "mixed_bfloat16")
    _add(parser, "--precision", "of the model's arithmetic", choices=precisions)
    patience = "stop after so many epochs without a better loss (by default never)"
    _add(parser, "--patience", patience, type=int)
    _add(parser, "--seed", "of the weights and of the order", type=int)
    verbose = "0 silent, 1 a bar, 2 a line per epoch and minute (by default what fits the output)"
    _add(parser, "--verbose", verbose, type=int, choices=(0, 1, 2), metavar="N")


def _add_keeping(parser: argparse.ArgumentParser) -> None:
    _add(parser, "--checkpoint-steps", "write a checkpoint every so many steps", type=int)
    _add(parser, "--checkpoint-minutes", "write one every so many minutes", type=float)


def run(args: argparse.Namespace) -> int:
    """Trains and prints the report; the exit code of a stopped run is that of its signal."""
    from padless.model import Architecture, TrainingOptions, TrainingStopped, read_options, train
    from padless.model.run_directory.layout import CONFIG_FILE
    from padless.pipeline import BatchCost

    architecture, options = Architecture(), TrainingOptions()
    if args.resume and (pathlib.Path(args.run_directory) / CONFIG_FILE).exists():
        architecture, options = read_options(args.run_directory)
    with options_checked(args.parser):
        cost = BatchCost(*args.batch_cost) if "batch_cost" in args else None
        architecture, options = replace_given(architecture, args), replace_given(options, args)
    try:
        report = train(
            args.dataset,
            args.run_directory,
            architecture=architecture,
            options=options,
            cost=cost,
            resume=args.resume,
        )
    except TrainingStopped as stopped:
        print(f"padless train: {stopped}; go on with --resume", file=sys.stderr)
        return 128 + stopped.signal
    print(f"{report}\n")
    print(f"run directory: {args.run_directory}")
    return 0


def replace_given(options, args: argparse.Namespace):
    """Puts in the options that were given; of the two budgets, one takes the other's place."""
    given: Mapping = vars(args)
    budgets = {"batch_size", "batch_timesteps"}
    replaced = dict.fromkeys(budgets) if budgets & given.keys() else {}
    replaced |= given
    names = {field.name for field in dataclasses.fields(options)}
    return dataclasses.replace(options, **{n: v for n, v in replaced.items() if n in names})
