"""Arguments that several subcommands share, and their types."""

from __future__ import annotations

import argparse
import contextlib
import csv
from collections.abc import Iterator

import padless


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, but not those that only mean "not given"."""

    def _get_help_string(self, action):
        if action.required or action.default in (None, False, True, argparse.SUPPRESS):
            return action.help
        return super()._get_help_string(action)


class ShowVersion(argparse.Action):
    """Prints the installed version; looked up only when asked for."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Prints and exits."""
        print(f"padless {padless.__version__}")
        parser.exit()


@contextlib.contextmanager
def options_checked(parser: argparse.ArgumentParser) -> Iterator[None]:
    """Answers an option out of its range as bad usage."""
    try:
        yield
    except ValueError as error:
        parser.error(str(error))


def add_budget_arguments(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Adds what a batch may hold, in one of two units."""
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        default=default,
        help="most sequences per batch, and the mean per step (64 if no budget is given)",
    )
    budget.add_argument(
        "--batch-timesteps",
        type=int,
        metavar="N",
        default=default,
        help="most timesteps per batch, and the mean per step",
    )


def add_tail_arguments(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Adds what becomes of rare lengths: steps of their own, or batches with their neighbours."""
    parser.add_argument(
        "--no-accumulate",
        dest="accumulate",
        action="store_false",
        default=default or True,
        help="make each batch a step of its own, the small ones of rare lengths too",
    )
    parser.add_argument(
        "--max-padding",
        type=float,
        default=default or 0.0,
        metavar="P",
        help="most padded timesteps, as a share of the sequences' own: above 0, neighbouring "
        "lengths share batches where that is predicted to save time",
    )
    parser.add_argument(
        "--batch-cost",
        type=seconds_of_a_batch,
        default=default,
        metavar="A,B,C",
        help="seconds per batch, per timestep in a row and per computed timestep; `padless train` "
        "measures and prints them, `padless plan` takes those of a small LSTM on a CPU",
    )


def add_picture_argument(parser: argparse.ArgumentParser, help: str = "picture to write") -> None:
    """Adds the file of a picture."""
    parser.add_argument("--picture", metavar="FILE.png", help=f"{help}; needs the extra `plot`")


def add_raw_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds how raw files are read: their form, their columns, and what missing values become."""
    parser.add_argument(
        "--format",
        dest="input_format",
        metavar="FORM",
        help="form of the inputs (by default told by their names)",
    )
    parser.add_argument(
        "--key-column", default="key", metavar="K", help="column or field with the key"
    )
    parser.add_argument(
        "--time-column", default="time", metavar="T", help="column that orders the timesteps"
    )
    parser.add_argument(
        "--sequence-column",
        default="sequence",
        metavar="S",
        help="field with the timesteps, where one record is one sequence",
    )
    parser.add_argument(
        "--length-column",
        default="length",
        metavar="N",
        help="feature of a TFRecord with the number of timesteps, where values stand flat",
    )
    parser.add_argument(
        "--label-column",
        metavar="L",
        help="column or field with the label (without it there are no labels)",
    )
    parser.add_argument(
        "--feature-columns",
        type=comma_separated,
        metavar="A,B,...",
        help="columns with the features, in order (by default all others)",
    )
    parser.add_argument(
        "--missing",
        choices=("reject", "forward_fill", "drop_timestep"),
        default="reject",
        help="what becomes of missing values: the sequence is rejected, the feature's last value "
        "is taken, or the timestep is dropped",
    )
    parser.add_argument(
        "--time-order",
        choices=("sort", "reject"),
        default="sort",
        help="whether timesteps are sorted by time, or sequences rejected that are not",
    )


def columns_of(args: argparse.Namespace, **others) -> dict:
    """Gives the arguments of `Columns` that `add_raw_arguments` has parsed, and others."""
    return {
        "key": args.key_column,
        "time": args.time_column,
        "sequence": args.sequence_column,
        "length": args.length_column,
        "label": args.label_column,
        "features": args.feature_columns,
    } | others


def add_inference_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds a run, its input and the output file."""
    parser.add_argument("run_directory", metavar="RUN", help="run directory of `padless train`")
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="a dataset directory, or raw files of any form that `padless preprocess` reads",
    )
    parser.add_argument("--output", required=True, metavar="FILE.parquet", help="file to write")
    parser.add_argument(
        "--split",
        action="append",
        metavar="NAME",
        help="split of the dataset directory, may be repeated (by default all)",
    )
    parser.add_argument(
        "--skip-rejects",
        action="store_true",
        help="write the other sequences where raw input holds some that must be rejected",
    )
    add_raw_arguments(parser)


def comma_separated(text: str) -> tuple[str, ...]:
    """Parses `a,b,c`; a name that holds a comma stands in double quotes."""
    return tuple(next(csv.reader([text], strict=True)))


def seconds_of_a_batch(text: str) -> tuple[float, float, float]:
    """Parses `4e-3,6e-5,4e-6`."""
    try:
        per_batch, in_a_row, computed = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be three numbers A,B,C, got {text!r}") from None
    return per_batch, in_a_row, computed


def count_or_share(text: str) -> int | float:
    """Parses `10`, or `0.01` or `1%` as a share."""
    try:
        if text.endswith("%"):
            return float(text[:-1]) / 100
        return float(text) if "." in text else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be a count such as 10 or a share such as 1%, got {text!r}"
        ) from None


def shares(text: str) -> dict[str, float]:
    """Parses `train=0.8,test=0.2`."""
    pairs = [part.partition("=") for part in text.split(",")]
    if len({name for name, _, _ in pairs}) < len(pairs):
        raise argparse.ArgumentTypeError(f"each split must be named once, got {text!r}")
    try:
        return {name: float(share) for name, _, share in pairs}
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be NAME=SHARE,..., got {text!r}") from None
