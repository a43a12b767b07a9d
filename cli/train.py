"""`padless train`: a dataset directory to a run directory."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, TypeVar

from padless.cli.arguments import add_budget_arguments
from padless.cli.json_output import add_json_argument, as_json, print_json
from padless.cli.messages import show, tell
from padless.cli.parser import Parser, add_option, defaults_of, name_options, options_checked
from padless.model.network.alignment import ALIGNMENTS
from padless.model.network.architecture import CELLS, EMBEDDINGS, POOLINGS, PRECISIONS, Architecture
from padless.model.run_directory.training_options import SCHEDULES, WEIGHTINGS, TrainingOptions

_Options = TypeVar("_Options", Architecture, TrainingOptions)
# Shown in the help; where a run is resumed, its own options are the defaults.
DEFAULTS = defaults_of(Architecture, TrainingOptions)

USAGE = "DATASET --run RUN [options]"
EXAMPLES = (
    "padless train data --run run --epochs 20 --batch-size 16 --replicas 2",
    "padless train data --run small --units 16 --latent-size 8 --epochs 5 --resume",
)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments."""
    parser.names["run"] = "--run"
    parser.add_argument("dataset", metavar="DATASET", help="dataset directory")
    run = parser.add_argument_group("run directory")
    run.add_argument(
        "--run", dest="run_directory", required=True, metavar="RUN", help="directory to make"
    )
    run.add_argument(
        "--resume",
        action="store_true",
        help="resume an interrupted run with its options, or start it if there is none; with "
        "--schedule constant and more --epochs, continue a finished run",
    )
    _add(run, "--checkpoint-steps", "write a checkpoint every N steps (default: never)", type=int)
    _add(run, "--checkpoint-minutes", "write a checkpoint every X minutes", type=float)
    add_json_argument(run)
    model = add_model_arguments(parser)
    packed, *padding = ALIGNMENTS
    alignment = (
        f"how sequences share a step: {packed} packs them, the others pad: {', '.join(padding)}"
    )
    _add(model, "--alignment", alignment, choices=(packed, *padding), metavar="NAME")
    add_training_arguments(parser)


def _add(group: argparse._ActionsContainer, flag: str, help: str, **options: Any) -> None:
    """Adds an option that the parsed arguments hold only where it is given."""
    name = flag.strip("-").replace("-", "_")
    if "choices" not in options and "type" in options:
        options.setdefault("metavar", "X" if options["type"] is float else "N")
    add_option(group, flag, help, default=DEFAULTS[name], is_optional=True, **options)


def add_model_arguments(parser: Parser) -> argparse._ArgumentGroup:
    """Adds what the autoencoder is built of, as a group, and returns it."""
    group = parser.add_argument_group("model")
    embedding = "what an embedding is: the pooled outputs of the encoder, or the smaller code"
    _add(group, "--embedding", embedding, choices=EMBEDDINGS)
    latent = "values that the decoder rebuilds the shape of a sequence from"
    _add(group, "--latent-size", latent, type=int)
    _add(group, "--own-scale", "also read each sequence on its own scale, and reconstruct that")
    _add(group, "--position", "tell the decoder where in the sequence it is")
    patch = "timesteps that a recurrent layer reads at once (default: 1 to 8, by the median length)"
    _add(group, "--patch-length", patch, type=int)
    _add(group, "--units", "units of each recurrent layer", type=int)
    _add(group, "--layers", "recurrent layers in the encoder, and in the decoder", type=int)
    _add(group, "--cell", "kind of recurrent layer", choices=CELLS)
    _add(group, "--bidirectional", "encode each sequence from both ends")
    _add(group, "--pooling", "how encoder outputs are pooled", choices=POOLINGS)
    _add(group, "--initial-state", "start the decoder's state from the latent vector")
    head = "add a linear layer after the decoder; without it outputs lie between -1 and 1"
    _add(group, "--linear-head", head)
    _add(group, "--dropout", "share of a layer's inputs to drop in training", type=float)
    return group


def add_training_arguments(parser: Parser) -> None:
    """Adds how it is trained."""
    batches = parser.add_argument_group("steps")
    replicas = "GPUs, or logical CPU devices without GPUs (default: all GPUs, or 1)"
    _add(batches, "--replicas", replicas, type=int)
    add_budget_arguments(batches, is_optional=True)
    group = parser.add_argument_group("training")
    epochs = "maximum number of epochs (default: 5 to 60, by the number of steps)"
    _add(group, "--epochs", epochs, type=int)
    _add(group, "--learning-rate", "of Adam, the highest of the schedule", type=float)
    _add(group, "--schedule", "how the learning rate changes over all epochs", choices=SCHEDULES)
    _add(group, "--clip-norm", "maximum gradient norm", type=float)
    _add(group, "--weighting", "what has the same weight in the loss", choices=WEIGHTINGS)
    _add(group, "--precision", "of the model's arithmetic", choices=PRECISIONS)
    patience = "stop after N epochs without a better loss (default: never)"
    _add(group, "--patience", patience, type=int)
    _add(group, "--seed", "seed of the initial weights and of the order", type=int)


def run(args: argparse.Namespace) -> int:
    """Trains and prints the report; the exit code of a stopped run is that of its signal."""
    from padless.cli.progress import progress_shown
    from padless.model import TrainingStopped, open_run, train
    from padless.model.run_directory.config import CONFIG_FILE

    run_directory, architecture, options = args.run_directory, Architecture(), TrainingOptions()
    if args.resume and (pathlib.Path(run_directory) / CONFIG_FILE).exists():
        run_directory = open_run(run_directory)
        architecture, options = run_directory.architecture, run_directory.options
    with options_checked(args.parser):
        architecture, options = replace_given(architecture, args), replace_given(options, args)
    try:
        with progress_shown(quiet=args.quiet) as progress:
            report = train(
                args.dataset,
                run_directory,
                architecture=architecture,
                options=options,
                resume=args.resume,
                progress=progress,
            )
    except TrainingStopped as stopped:
        tell(f"padless train: {stopped}; resume it with --resume")
        return 128 + stopped.signal
    if args.json:
        found = {"run": args.run_directory, "warnings": report.summary.warnings()}
        print_json(as_json(report) | found)
    else:
        show(name_options(args.parser, f"{report}\n"))
        show(f"run directory: {args.run_directory}")
    return 0


def replace_given(options: _Options, args: argparse.Namespace) -> _Options:
    """Replaces the options that were given; of the two budgets, one replaces the other."""
    given: Mapping[str, Any] = vars(args)
    budgets = {"batch_size", "batch_timesteps"}
    replaced: dict[str, Any] = dict.fromkeys(budgets) if budgets & given.keys() else {}
    replaced |= given
    names = {field.name for field in dataclasses.fields(options)}
    return dataclasses.replace(options, **{n: v for n, v in replaced.items() if n in names})
