"""`padless train`: a dataset directory to a run directory."""

from __future__ import annotations

import argparse

from padless.cli.arguments import add_budget_arguments, options_checked


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("dataset", metavar="DATASET", help="dataset directory")
    parser.add_argument(
        "--run", dest="run_directory", required=True, metavar="RUN", help="directory to make"
    )
    parser.add_argument("--epochs", type=int, default=50, metavar="N", help="most epochs")
    parser.add_argument(
        "--replicas",
        type=int,
        metavar="N",
        help="GPUs, or logical CPU devices without GPUs (by default all GPUs, or 1)",
    )
    add_budget_arguments(parser)
    parser.add_argument("--latent-size", type=int, default=32, metavar="N", help="of an embedding")
    parser.add_argument("--units", type=int, default=64, metavar="N", help="of each layer")
    parser.add_argument(
        "--layers", type=int, default=1, metavar="N", help="in the encoder, and in the decoder"
    )
    parser.add_argument("--cell", choices=("lstm", "gru"), default="lstm", help="kind of layer")
    parser.add_argument(
        "--bidirectional", action="store_true", help="encode each sequence from both ends"
    )
    parser.add_argument("--learning-rate", type=float, default=3e-3, metavar="X", help="of Adam")
    parser.add_argument(
        "--clip-norm", type=float, default=1.0, metavar="X", help="most of the gradient's norm"
    )
    parser.add_argument(
        "--weighting",
        choices=("sequence", "timestep"),
        default="sequence",
        help="what weighs the same in the loss",
    )
    parser.add_argument(
        "--patience",
        type=int,
        metavar="N",
        help="stop after so many epochs without a better loss (by default never)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the weights and of the order"
    )
    parser.add_argument(
        "--verbose",
        type=int,
        choices=(0, 1, 2),
        metavar="N",
        help="0 silent, 1 a bar, 2 a line per epoch (by default what fits the output)",
    )


def run(args: argparse.Namespace) -> None:
    """Trains and prints the report."""
    from padless.model import Architecture, TrainingOptions, train

    with options_checked(args.parser):
        architecture = Architecture(
            latent_size=args.latent_size,
            units=args.units,
            layers=args.layers,
            cell=args.cell,
            bidirectional=args.bidirectional,
        )
        options = TrainingOptions(
            epochs=args.epochs,
            batch_size=args.batch_size,
            batch_timesteps=args.batch_timesteps,
            replicas=args.replicas,
            learning_rate=args.learning_rate,
            clip_norm=args.clip_norm,
            weighting=args.weighting,
            patience=args.patience,
            seed=args.seed,
            verbose=args.verbose,
        )
    print(train(args.dataset, args.run_directory, architecture=architecture, options=options))
    print(f"run directory: {args.run_directory}")
