"""`padless doctor`: the traps of an input pipeline that padless did not make."""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import TYPE_CHECKING

from padless.cli.json_output import add_json_argument, as_json, print_json
from padless.cli.messages import show
from padless.cli.parser import Parser, add_option
from padless.pipeline.diagnosis.report import DEFAULT_BATCH_SIZE, DEFAULT_REPLICAS

if TYPE_CHECKING:
    from padless.pipeline import Diagnosis, ShowProgress

USAGE = "(TFRECORDS... | --python MODULE:NAME) [options]"
EXAMPLES = (
    "padless doctor 'shards/*.tfrecord'",
    "padless doctor --python input_pipeline.py:make_dataset --replicas 2",
)
_OF_RECORDS = ("key", "batch_size")
_OF_PYTHON = ("replicas", "max_batches")


def add_arguments(parser: Parser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "files", nargs="*", metavar="TFRECORDS", help="TFRecord files, or patterns of such"
    )
    python = (
        "a tf.data.Dataset of yours, or a function without arguments that returns one; the module "
        "is imported, so its code runs"
    )
    parts = parser.add_argument_group("what is looked at")
    add_option(parts, "--python", python, metavar="MODULE:NAME|FILE.py:NAME")
    sequence = "component or feature with the timesteps (default: the first that has some)"
    add_option(parts, "--sequence", sequence, metavar="NAME")
    length = "component or feature with the number of timesteps (default: by its name or values)"
    add_option(parts, "--length", length, metavar="NAME")
    records = parser.add_argument_group("TFRecords")
    key = "feature that tells sequences apart (default: by its name)"
    add_option(records, "--key", key, metavar="NAME")
    size = "sequences of a batch, for what batches would cost"
    _add_of(records, "--batch-size", size, default=DEFAULT_BATCH_SIZE)
    dataset = parser.add_argument_group("tf.data.Dataset")
    replicas = "number of replicas that batches are cut for"
    _add_of(dataset, "--replicas", replicas, default=DEFAULT_REPLICAS)
    most = "read that many batches, where an epoch is long or endless (default: an epoch)"
    _add_of(dataset, "--max-batches", most, default=None)
    add_json_argument(parser.add_argument_group("report"))


def _add_of(
    group: argparse._ActionsContainer, flag: str, help: str, *, default: int | None
) -> None:
    """Adds a number that only one of the inputs uses, None where it is not given."""
    text = help if default is None else f"{help} (default: {default})"
    add_option(group, flag, text, type=int, metavar="N")


def run(args: argparse.Namespace) -> int:
    """Prints the report; returns 1 if there is a trap."""
    from padless.cli.progress import progress_shown

    _check_options(args)
    # What code of the user's prints is no part of the result.
    with progress_shown(quiet=args.quiet) as progress, contextlib.redirect_stdout(sys.stderr):
        diagnosis = _diagnose(args, progress)
    if args.json:
        found = {"ok": diagnosis.ok, "num_traps": diagnosis.num_traps}
        print_json(found | as_json(diagnosis))
    else:
        show(args.python or " ".join(args.files))
        print(diagnosis)
    return 0 if diagnosis.ok else 1


def _check_options(args: argparse.Namespace) -> None:
    """Answers options that the input does not use as bad usage."""
    if bool(args.files) == (args.python is not None):
        args.parser.error("give either TFRECORDS or --python MODULE:NAME")
    unused, used = (_OF_RECORDS, "TFRECORDS") if args.python else (_OF_PYTHON, "--python")
    options = args.parser.options()
    for name in unused:
        if (value := getattr(args, name)) is not None:
            args.parser.error(f"{options[name]} goes with {used}, got {value!r} without it")
    for name in ("batch_size", "replicas", "max_batches"):
        if (value := getattr(args, name)) is not None and value < 1:
            args.parser.error(f"{options[name]} must be at least 1, got {value}")


def _diagnose(args: argparse.Namespace, progress: ShowProgress) -> Diagnosis:
    from padless.pipeline import diagnose_records

    given = {
        name: value
        for name in ("sequence", "length", *(_OF_RECORDS if args.files else _OF_PYTHON))
        if (value := getattr(args, name)) is not None
    }
    if args.files:
        return diagnose_records(args.files, progress=progress, **given)
    from padless.pipeline import diagnose_dataset
    from padless.pipeline.diagnosis.user_dataset import load_dataset

    return diagnose_dataset(load_dataset(args.python), progress=progress, **given)
