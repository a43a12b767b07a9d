"""`padless preprocess`: raw sequences to a dataset directory."""

from __future__ import annotations

import argparse
import logging

from padless.cli.arguments import (
    add_raw_arguments,
    columns_of,
    comma_separated,
    count_or_share,
    options_checked,
    shares,
)
from padless.cli.progress import JobProgressLine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="files or globs: CSV or Parquet, long; JSON lines (.jsonl); Parquet, one row per "
        "sequence; .npz; .ts; TFRecords; the texts also compressed by gzip; tfds:NAME or tfds:DIR",
    )
    parser.add_argument("--output", required=True, metavar="DATASET", help="directory to make")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the dataset that is there"
    )
    add_raw_arguments(parser)
    _add_rule_arguments(parser)
    _add_split_arguments(parser)
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
    from padless.beam_jobs import preprocess
    from padless.beam_jobs.engine.quiet_servers import quiet_job_servers

    quiet_job_servers()
    beam_options = parse_beam_arguments(args.beam_arguments, args.parser)
    with options_checked(args.parser):
        options = _make_options(args)
    with JobProgressLine() as progress:
        report = preprocess(options, beam_options, show=progress.show)
    print(report)


def _add_rule_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--min-length", type=int, default=1, metavar="N", help="least number of timesteps"
    )
    parser.add_argument("--max-length", type=int, metavar="N", help="greatest number of timesteps")
    parser.add_argument(
        "--too-long",
        choices=("reject", "truncate", "split"),
        default="reject",
        help="what becomes of longer sequences; pieces get the keys KEY[0:N], KEY[N:2N], ...",
    )
    parser.add_argument(
        "--labels", type=comma_separated, metavar="A,B,...", help="the labels that are known"
    )
    parser.add_argument(
        "--max-rejects",
        type=count_or_share,
        metavar="LIMIT",
        help="fail, and write nothing, if more are rejected: a count, or a share such as 1%% (by "
        "default any number may be)",
    )


def _add_split_arguments(parser: argparse.ArgumentParser) -> None:
    splits = parser.add_mutually_exclusive_group()
    splits.add_argument(
        "--splits",
        type=shares,
        default="train=0.8,validation=0.1,test=0.1",
        metavar="NAME=SHARE,...",
        help="shares of the sequences, drawn by a stable hash of the key",
    )
    splits.add_argument("--split-column", metavar="C", help="column or field that names the split")
    splits.add_argument(
        "--keep-splits",
        action="store_true",
        help="take the split from the file: the name of its directory, X_TRAIN.ts or X_TEST.ts, or "
        "the split of a TFDS builder",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the hash of the key")


def _make_options(args: argparse.Namespace):
    from padless.beam_jobs import Columns, Output, PreprocessOptions, Rules

    return PreprocessOptions(
        inputs=args.inputs,
        output=Output(
            args.output,
            splits=args.splits,
            seed=args.seed,
            shard_bytes=args.shard_bytes,
            overwrite=args.overwrite,
        ),
        columns=Columns(**columns_of(args, split=args.split_column)),
        rules=Rules(
            missing=args.missing,
            time_order=args.time_order,
            min_length=args.min_length,
            max_length=args.max_length,
            too_long=args.too_long,
            labels=args.labels,
            max_rejects=args.max_rejects,
        ),
        input_format=args.input_format,
        keep_splits=args.keep_splits,
    )


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
