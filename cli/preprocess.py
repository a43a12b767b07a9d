"""`padless preprocess`: raw sequences to a dataset directory."""

from __future__ import annotations

import argparse
import logging

from padless.cli.arguments import add_column_arguments, options_checked, shares


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="long CSV, one row per timestep; JSON lines (.jsonl); .npz, one array per key",
    )
    parser.add_argument("--output", required=True, metavar="DATASET", help="directory to make")
    add_column_arguments(parser)
    parser.add_argument(
        "--splits",
        type=shares,
        default="train=0.8,validation=0.1,test=0.1",
        metavar="NAME=SHARE,...",
        help="shares of the sequences, drawn by a stable hash of the key",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of that hash")
    parser.add_argument(
        "--shard-bytes",
        type=int,
        default=128 * 1024 * 1024,
        metavar="N",
        help="target size of a shard",
    )
    parser.epilog = (
        "Any other --name=value goes to Apache Beam, for example --runner=FlinkRunner or "
        "--direct_num_workers=2."
    )


def run(args: argparse.Namespace) -> None:
    """Runs the job and prints its report."""
    from padless.beam_jobs import PreprocessOptions, preprocess

    beam_options = parse_beam_arguments(args.beam_arguments, args.parser)
    with options_checked(args.parser):
        options = PreprocessOptions(
            inputs=args.inputs,
            output=args.output,
            key_column=args.key_column,
            time_column=args.time_column,
            sequence_column=args.sequence_column,
            label_column=args.label_column,
            feature_columns=args.feature_columns,
            splits=args.splits,
            seed=args.seed,
            shard_bytes=args.shard_bytes,
        )
    print(preprocess(options, beam_options))


def parse_beam_arguments(arguments: list[str], parser: argparse.ArgumentParser):
    """Makes Beam's `PipelineOptions`; an option that Beam does not know either is bad usage.

    Beam itself only logs a warning of those and goes on without them.
    """
    from apache_beam.options import pipeline_options

    warnings = logging.Handler()
    unknown = []
    warnings.emit = lambda record: unknown.append(record.getMessage())
    logger = logging.getLogger(pipeline_options.__name__)
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(warnings)
    try:
        options = pipeline_options.PipelineOptions(arguments)
        options.get_all_options()
    finally:
        logger.removeHandler(warnings)
        logger.propagate = propagate
    if unknown:
        parser.error(
            f"unrecognized arguments, by padless and by Beam: {' '.join(arguments)} "
            f"({'; '.join(unknown)})"
        )
    return options
