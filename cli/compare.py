"""`padless compare`: the answers to one question side by side, on the user's own data."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from padless.cli.arguments import add_picture_argument, comma_separated
from padless.cli.json_output import add_json_argument, as_json, print_json
from padless.cli.messages import show
from padless.cli.parser import Parser, add_option, options_checked
from padless.cli.train import add_model_arguments, add_training_arguments, replace_given
from padless.model.network.architecture import Architecture
from padless.model.run_directory.training_options import TrainingOptions

USAGE = "DATASET [options]"
EXAMPLES = (
    "padless compare data --epochs 5 --picture answers.png",
    "padless compare data --alignments dynamic_repeat,padded --epochs 5 --runs runs",
)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments."""
    parser.names |= {"alignment": "--alignments"}
    parser.add_argument("dataset", metavar="DATASET", help="dataset directory")
    comparison = parser.add_argument_group("comparison")
    alignments = "what to compare (default: all that can be trained on the dataset)"
    options: dict[str, Any] = {"type": comma_separated, "metavar": "A,B,..."}
    add_option(comparison, "--alignments", alignments, **options)
    split = "split to measure on (default: test, else validation, else train)"
    add_option(comparison, "--split", split, metavar="NAME")
    runs = "directory to make, which keeps the run directories (default: none is kept)"
    add_option(comparison, "--runs", runs, metavar="RUNS")
    add_json_argument(comparison)
    add_picture_argument(comparison)
    add_model_arguments(parser)
    add_training_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Trains each, prints the table, and draws the picture."""
    from padless.cli.progress import progress_shown
    from padless.model import compare_alignments
    from padless.pipeline.figures import check_picture

    with options_checked(args.parser):
        architecture = replace_given(Architecture(), args)
        options = replace_given(TrainingOptions(), args)
        for name in args.alignments or ():
            dataclasses.replace(architecture, alignment=name)
    if args.picture:
        check_picture(args.picture)
    with progress_shown(quiet=args.quiet) as progress:
        comparison = compare_alignments(
            args.dataset,
            architecture=architecture,
            options=options,
            alignments=args.alignments,
            split=args.split,
            runs=args.runs,
            progress=progress,
        )
    # Before the picture, which may fail: this took long.
    if args.json:
        found = {"conclusion": comparison.conclusion(), "picture": args.picture}
        print_json(as_json(comparison) | found)
    else:
        show(comparison)
    if args.picture:
        from padless.model import draw_comparison

        draw_comparison(comparison, args.picture)
        if not args.json:
            show(f"picture: {args.picture}")
