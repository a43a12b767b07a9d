"""What `padless embed` and `padless score` share: open the input, run the model, show progress."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import logging
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from padless.cli.arguments import columns_of, text_of
from padless.cli.json_output import print_json
from padless.cli.messages import show
from padless.pipeline.wording import list_names, plural

if TYPE_CHECKING:
    from padless.model import Run
    from padless.pipeline import SequenceDataset, ShowProgress

_LOGGER = logging.getLogger(__name__)


def infer(args: argparse.Namespace, *, scores: bool, **columns: Any) -> None:
    """Writes scores or embeddings of all sequences of the input and prints a line.

    Args:
        args: the arguments.
        scores: whether to write scores, or embeddings alone.
        columns: of `Run.write_scores`: which columns it adds.
    """
    is_raw = check_usage(args, args.output)
    from padless.cli.progress import progress_shown
    from padless.model import open_run
    from padless.model.scoring.scores_file import check_output

    started = time.monotonic()
    check_output(args.output)
    run = open_run(args.run_directory)
    run.check_finished(calibrated=scores)
    write = run.write_scores if scores else run.write_embeddings
    with (
        progress_shown(quiet=args.quiet) as progress,
        _opened_files(args, run, progress) if is_raw else _opened_directory(args) as dataset,
    ):
        count = write(
            dataset,
            args.output,
            splits=args.split,
            name_splits=not is_raw,
            progress=progress,
            **columns,
        )
    seconds = time.monotonic() - started
    if args.json:
        print_json({"output": args.output, "sequences": count, "seconds": seconds})
    else:
        show(f"{plural(count, 'sequence')} in {seconds:.1f} s: {args.output}")


def check_usage(args: argparse.Namespace, output: str, option: str = "--output") -> bool:
    """Checks that the options fit the input, and returns whether that is raw files.

    Args:
        args: the arguments.
        output: what is written.
        option: that names it.
    """
    if any(os.path.realpath(output) == os.path.realpath(path) for path in args.inputs):
        args.parser.error(f"{option} must not be an INPUT, got {output}")
    is_raw = not any(os.path.isdir(path) for path in args.inputs)
    if not is_raw and len(args.inputs) > 1:
        args.parser.error(
            f"INPUT must be one dataset directory or raw files, got {list_names(args.inputs)}"
        )
    if is_raw and args.split:
        args.parser.error(
            f"--split goes with a dataset directory, got {list_names(args.split)} and raw files"
        )
    if not is_raw:
        given = [
            action.option_strings[0]
            for action in args.parser.raw_actions
            if getattr(args, action.dest) != action.default
        ]
        if given:
            args.parser.error(
                f"{', '.join(given)} goes with raw files, got the dataset {args.inputs[0]}"
            )
    return is_raw


@contextlib.contextmanager
def _opened_directory(args: argparse.Namespace) -> Iterator[SequenceDataset]:
    """Opens a dataset directory."""
    from padless.pipeline import open_dataset

    yield open_dataset(args.inputs[0])


@contextlib.contextmanager
def _opened_files(
    args: argparse.Namespace, run: Run, progress: ShowProgress
) -> Iterator[SequenceDataset]:
    """Opens raw files as a dataset of one split in their own order; logs what was rejected."""
    from padless.beam_jobs import open_raw
    from padless.beam_jobs.engine.quiet import beam_quieted

    raw = open_raw(args.inputs, **raw_options(args, run), progress=progress)
    with contextlib.ExitStack() as stack:
        with beam_quieted(for_good=True):
            opened = stack.enter_context(raw)
        if opened.report.rejected or opened.report.mended:
            _LOGGER.info(opened.report)
        yield opened.dataset


def raw_options(args: argparse.Namespace, run: Run) -> dict[str, Any]:
    """Returns how raw files are read for a run, as `open_raw` takes it."""
    from padless.beam_jobs import Columns, TextFormat
    from padless.beam_jobs.raw_input import rules_like
    from padless.pipeline.dataset.rules import SequenceRules

    rules = [field.name for field in dataclasses.fields(SequenceRules)]
    static = [scale.name for scale in run.config.static] or None
    return {
        # Columns by the names that the run was trained on, whatever else the file holds.
        "columns": Columns(**columns_of(args, center=run.config.center, static=static)),
        "feature_names": run.config.feature_names,
        "rules": rules_like(run.config.rules, **{name: getattr(args, name) for name in rules}),
        "input_format": args.input_format,
        "text": TextFormat(**text_of(args)),
        "skip_rejects": args.skip_rejects,
    }
