"""`padless score`: embedding, anomaly score, its p-value and errors of sequences."""

from __future__ import annotations

import argparse

from padless.cli.arguments import add_inference_arguments
from padless.cli.beam_arguments import add_beam_group
from padless.cli.bulk_scoring import score_in_bulk
from padless.cli.inference import infer
from padless.cli.parser import Parser, add_option

USAGE = (
    "RUN INPUT ... --output FILE.parquet [options]\n"
    "       padless score RUN INPUT ... --output-directory DIR [options]\n"
    "                     [options of Apache Beam]"
)
EXAMPLES = (
    "padless score run data --split test --output scores.parquet",
    "padless score run new_runs.csv --timesteps --output new_scores.parquet",
)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments."""
    add_inference_arguments(parser, in_bulk=True)
    group = parser.add_argument_group("columns of the output")
    level = "add the column is_anomaly: whether the p-value is at most X (default: none)"
    add_option(group, "--level", level, type=float, metavar="X")
    timesteps = "add the column timestep_error: the error of each feature at each timestep"
    add_option(group, "--timesteps", timesteps, action="store_true", default=None)
    merge = "merge the pieces of each sequence into one row, with scores and errors by timestep"
    add_option(group, "--merge", merge, action="store_true", default=None)
    add_beam_group(parser, "With --output-directory, unknown options are passed to Beam")


def run(args: argparse.Namespace) -> None:
    """Writes everything that the model says of a sequence."""
    if args.output_directory is not None:
        score_in_bulk(args)
        return
    infer(
        args, scores=True, level=args.level, timesteps=bool(args.timesteps), merge=bool(args.merge)
    )
