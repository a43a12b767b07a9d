"""What `padless embed` and `padless score` share: open the input, run the model, show progress."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator

RAW_SPLIT = "raw"


def infer(args: argparse.Namespace, outputs: tuple[str, ...]) -> None:
    """Writes `outputs` for all sequences of the input and prints a line."""
    from padless.model import Inference, load_model, write_parquet
    from padless.model.run_directory import check_features

    started = time.monotonic()
    model = load_model(args.run_directory)
    with _opened(args) as (dataset, is_raw):
        check_features(args.run_directory, dataset)
        count = write_parquet(
            Inference(model, outputs),
            dataset,
            args.output,
            splits=tuple(args.split) if args.split else None,
            name_splits=not is_raw,
            progress=_show_progress,
        )
    print(f"{count:,} sequences in {time.monotonic() - started:.1f} s: {args.output}")


@contextlib.contextmanager
def _opened(args: argparse.Namespace) -> Iterator[tuple[object, bool]]:
    """Opens a dataset directory, or raw files as a dataset of one split in their own order."""
    from padless.pipeline import open_dataset

    directories = [path for path in args.inputs if os.path.isdir(path)]
    if directories and len(args.inputs) > 1:
        args.parser.error(f"INPUT must be one dataset directory or raw files, got {args.inputs}")
    if directories:
        yield open_dataset(directories[0]), False
        return
    if args.split:
        args.parser.error(f"--split must not be given with raw files, got {args.split}")
    with tempfile.TemporaryDirectory(prefix="padless-") as scratch:
        yield open_dataset(_preprocess(args, os.path.join(scratch, RAW_SPLIT))), True


def _preprocess(args: argparse.Namespace, output: str) -> str:
    from padless.beam_jobs import PreprocessOptions, preprocess
    from padless.model.run_directory import read_config

    features = args.feature_columns
    if features is None and any(path.lower().endswith(".csv") for path in args.inputs):
        # Columns by the names that the run was trained on, whatever else stands in the file.
        features = read_config(args.run_directory)["feature_names"]
    options = PreprocessOptions(
        inputs=args.inputs,
        output=output,
        key_column=args.key_column,
        time_column=args.time_column,
        sequence_column=args.sequence_column,
        label_column=args.label_column,
        feature_columns=features,
        splits={RAW_SPLIT: 1.0},
        order="input",
    )
    report = preprocess(options)
    if report.rejected and not args.skip_rejects:
        raise ValueError(f"Every sequence must be accepted, or --skip-rejects be given.\n{report}")
    if report.rejected:
        print(report, file=sys.stderr)
    return output


def _show_progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\r{done:,} of {total:,} sequences", end=end, file=sys.stderr, flush=True)
