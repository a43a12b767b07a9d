"""`padless compare`: the answers to one question side by side, on the user's own data."""

from __future__ import annotations

import argparse
import dataclasses

from padless.cli.arguments import add_picture_argument, comma_separated, options_checked
from padless.cli.train import add_model_arguments, add_training_arguments, replace_given


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("dataset", metavar="DATASET", help="dataset directory")
    parser.add_argument(
        "--runs", metavar="RUNS", help="directory to make, for a run each (by default none is kept)"
    )
    add_picture_argument(parser)
    parser.add_argument(
        "--alignments",
        type=comma_separated,
        metavar="A,B,...",
        help="what to compare (by default all that `padless train --alignment` knows)",
    )
    parser.add_argument(
        "--split",
        metavar="NAME",
        help="what to measure on (by default test, or validation, or else train)",
    )
    add_model_arguments(parser)
    add_training_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Trains each, prints the table, and draws the picture."""
    from padless.model import ALIGNMENTS, Architecture, TrainingOptions, compare_alignments

    alignments = args.alignments or tuple(ALIGNMENTS)
    with options_checked(args.parser):
        architecture = replace_given(Architecture(), args)
        options = replace_given(TrainingOptions(), args)
        for name in alignments:
            dataclasses.replace(architecture, alignment=name)
    comparison = compare_alignments(
        args.dataset,
        architecture=architecture,
        options=options,
        alignments=alignments,
        split=args.split,
        runs=args.runs,
        progress=lambda alignment: print(f"\n{alignment}", flush=True),
    )
    print(f"\n{comparison}")
    if args.picture:
        from padless.model.comparison.compare_picture import draw_comparison

        draw_comparison(comparison, args.picture)
        print(f"picture: {args.picture}")
