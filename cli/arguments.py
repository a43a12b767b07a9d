"""Arguments that several subcommands share, and their types."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from typing import Any

import padless
from padless.beam_jobs.columns import Columns
from padless.beam_jobs.options import FORMS, MISSING, TIME_ORDERS, TOO_LONG, Rules
from padless.beam_jobs.text_format import TextFormat
from padless.cli.json_output import add_json_argument
from padless.cli.parser import Parser, add_option, defaults_of
from padless.pipeline.planning.plan import DEFAULT_GROUP_SIZE

AS_TRAINED = " (default: as in the dataset that the run is trained on)"

COLUMNS, RULES, TEXT = map(defaults_of, (Columns, Rules, TextFormat))

# What `Columns` calls by a shorter name.
COLUMN_OPTIONS = {
    "key": "--key-column",
    "time": "--time-column",
    "sequence": "--sequence-column",
    "length": "--length-column",
    "label": "--label-column",
    "split": "--split-column",
    "group": "--hold-out-by",
    "features": "--feature-columns",
    "drop": "--drop-columns",
    "meta": "--meta-columns",
    "static": "--static-columns",
    "center": "--center",
}


class ShowVersion(argparse.Action):
    """Prints the installed version; looked up only when asked for."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Prints and exits."""
        print(f"padless {padless.__version__}")
        parser.exit()


def add_budget_arguments(group: argparse._ActionsContainer, *, is_optional: bool = False) -> None:
    """Adds how large a step is, in one of two units, and how many of one length it takes."""
    budget = group.add_mutually_exclusive_group()
    shared: dict[str, Any] = {"type": int, "metavar": "N", "is_optional": is_optional}
    sequences = "mean number of sequences per step"
    default = " (default: 16 to 64, by the number of sequences, if no --batch-timesteps is given)"
    add_option(budget, "--batch-size", sequences + default, **shared)
    timesteps = "mean number of timesteps per step, instead"
    add_option(budget, "--batch-timesteps", timesteps, **shared)
    groups = (
        "maximum sequences of one length that come into a step together: with fewer, a step has "
        "more lengths, learns more and takes longer "
        f"(default: {DEFAULT_GROUP_SIZE}, or --batch-size if that is less)"
    )
    add_option(group, "--group-size", groups, **shared)


def add_picture_argument(
    group: argparse._ActionsContainer, help: str = "draw a picture into this file"
) -> None:
    """Adds the file of a picture."""
    group.add_argument(
        "--picture", metavar="FILE.png", help=f"{help}; needs `pip install 'padless[plot]'`"
    )


def add_raw_arguments(parser: Parser, *, of_run: bool = False) -> argparse._ActionsContainer:
    """Adds how raw files are read: their form, their columns, and what missing values become.

    Args:
        parser: of the subcommand.
        of_run: whether rules that are not given are those of the dataset that a run is trained on.

    Returns:
        The group of the columns, for further ones.
    """
    names = ("key", "time", "sequence", "length", "features", "drop", "label", "meta", "static")
    parser.names |= {name: COLUMN_OPTIONS[name] for name in names}
    form = parser.add_argument_group("form and columns of raw files")
    add_option(
        form,
        "--format",
        "form of the input files (default: by their extension)",
        dest="input_format",
        choices=FORMS,
    )
    _add_column_arguments(form)
    _add_text_arguments(parser.add_argument_group("text of raw files"))
    values = parser.add_argument_group("values of raw files")
    add_option(
        values,
        "--missing",
        "what to do about missing values: reject the sequence, take the last value of the feature, "
        "drop the timestep, or mask the values: models are told, and no error counts them"
        f"{AS_TRAINED if of_run else ''}",
        choices=MISSING,
        default=None if of_run else RULES["missing"],
    )
    add_option(
        values,
        "--time-order",
        "sort timesteps by time, reject sequences that are not sorted, or keep the order of the "
        f"file and read no times{AS_TRAINED if of_run else ''}",
        choices=TIME_ORDERS,
        default=None if of_run else RULES["time_order"],
    )
    return form


def _add_text_arguments(group: argparse._ActionsContainer) -> None:
    delimiter = "what parts the cells of a row: a character, tab or blanks (default: by the header)"
    add_option(group, "--delimiter", delimiter, metavar="X")
    add_option(group, "--decimal", "decimal mark, '.' or ','", default=TEXT["decimal"], metavar="X")
    encoding = "encoding of the text, such as utf-16 or cp1252 (default: utf-8)"
    add_option(group, "--encoding", encoding, metavar="NAME")
    comment = "leave out lines of CSV that begin with this (default: none)"
    add_option(group, "--comment", comment, metavar="X")
    group.add_argument(
        "--no-header",
        dest="has_header",
        action="store_false",
        help="the first row of CSV is data, and the columns are called 1, 2, ...",
    )


def text_of(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the arguments of `TextFormat` that `add_raw_arguments` has parsed."""
    return {name: getattr(args, name) for name in TEXT}


def add_length_arguments(group: argparse._ActionsContainer, *, of_run: bool = False) -> None:
    """Adds the rules for the lengths of sequences; see `add_raw_arguments`."""
    length: dict[str, Any] = {"type": int, "metavar": "N"}
    at_least, too_long = (None, None) if of_run else (RULES["min_length"], RULES["too_long"])
    end = AS_TRAINED if of_run else ""
    add_option(
        group, "--min-length", f"minimum number of timesteps{end}", default=at_least, **length
    )
    add_option(
        group, "--max-length", f"maximum number of timesteps{end or ' (default: any)'}", **length
    )
    what = "what to do about longer sequences; the pieces get the keys KEY[0:N], KEY[N:2N], ..."
    add_option(group, "--too-long", f"{what}{end}", choices=TOO_LONG, default=too_long)
    stride = "timesteps from the beginning of a piece to the next, for pieces that overlap"
    default = end or " (default: that of --max-length)"
    add_option(group, "--stride", f"{stride}{default}", **length)


def _add_column_arguments(group: argparse._ActionsContainer) -> None:
    columns = {
        "key": "column or field with the key of the sequence",
        "time": "column or list that orders the timesteps",
        "sequence": "field with the timesteps, where one record is one sequence",
        "length": "field with the number of timesteps, in TFRecords with flat values",
        "label": "column or field with the label (default: no labels)",
    }
    for name, help in columns.items():
        add_option(group, COLUMN_OPTIONS[name], help, default=COLUMNS[name], metavar="NAME")
    add_option(
        group,
        "--feature-columns",
        "columns with the features, in order (default: all others)",
        type=comma_separated,
        metavar="A,B,...",
    )
    drop = "columns of tables that are no features (default: none)"
    add_option(group, "--drop-columns", drop, type=comma_separated, metavar="A,B,...")
    group.add_argument(
        "--wide",
        action="store_true",
        help="a row of a table is a sequence, and each column without another part is a timestep "
        "of its one feature; missing values at the end are padding",
    )
    meta = (
        "columns or fields, the same in all rows of a key, that are no features, and are carried "
        "into the dataset and into scores (default: none)"
    )
    add_option(group, "--meta-columns", meta, type=comma_separated, metavar="A,B,...")


def columns_of(args: argparse.Namespace, **others: Any) -> dict[str, Any]:
    """Returns the arguments of `Columns` that `add_raw_arguments` has parsed, and others."""
    return {
        "key": args.key_column,
        "time": args.time_column,
        "sequence": args.sequence_column,
        "length": args.length_column,
        "label": args.label_column,
        "features": args.feature_columns,
        "drop": args.drop_columns,
        "wide": args.wide,
        "meta": args.meta_columns,
    } | others


def add_inference_arguments(parser: Parser, *, in_bulk: bool = False) -> None:
    """Adds a run, its input and the output.

    Args:
        parser: of the subcommand.
        in_bulk: whether the output may be a directory that Beam's workers write.
    """
    parser.add_argument("run_directory", metavar="RUN", help="run directory of `padless train`")
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="a dataset directory, or raw files in any form that `padless preprocess` reads",
    )
    files = parser.add_argument_group("input and output")
    output: argparse._ActionsContainer = files
    if in_bulk:
        output = files.add_mutually_exclusive_group(required=True)
    of_output: dict[str, Any] = {"metavar": "FILE.parquet", "help": "file to write"}
    output.add_argument("--output", required=not in_bulk, **of_output)
    if in_bulk:
        output.add_argument(
            "--output-directory",
            metavar="DIR",
            help="directory to make, of Parquet files that workers of Apache Beam write, instead",
        )
    files.add_argument(
        "--split",
        action="append",
        metavar="NAME",
        help="split of the dataset directory, may be repeated (default: all)",
    )
    add_json_argument(files)
    first = len(parser._actions)
    files.add_argument(
        "--skip-rejects",
        action="store_true",
        help="where raw files hold sequences that must be rejected, write the others",
    )
    add_raw_arguments(parser, of_run=True)
    add_length_arguments(parser.add_argument_group("lengths of raw files"), of_run=True)
    parser.raw_actions = parser._actions[first:]


def comma_separated(text: str) -> tuple[str, ...]:
    """Parses `a,b,c`; a name that holds a comma is written in double quotes."""
    try:
        return tuple(next(csv.reader([text], strict=True)))
    except csv.Error as error:
        raise argparse.ArgumentTypeError(
            f"must be names with commas between them, got {text!r}: {error}"
        ) from error


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


def label_choice(text: str) -> tuple[str, tuple[str, ...]]:
    """Parses `label=a,b` as a name and its values."""
    name, equals, labels = text.partition("=")
    if not name or not equals or not labels:
        raise argparse.ArgumentTypeError(f"must be label=A,B,..., got {text!r}")
    return name, comma_separated(labels)


def offsets(text: str) -> dict[str, float | None]:
    """Parses `x,y=500000` as names with numbers, None where there is no number."""
    pairs = [part.partition("=") for part in text.split(",")]
    if len({name for name, _, _ in pairs}) < len(pairs):
        raise argparse.ArgumentTypeError(f"each feature must be named once, got {text!r}")
    try:
        return {name: float(number) if equals else None for name, equals, number in pairs}
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be NAME[=NUMBER],..., got {text!r}") from None


def shares(text: str) -> dict[str, float]:
    """Parses `train=0.8,test=0.2`."""
    pairs = [part.partition("=") for part in text.split(",")]
    if len({name for name, _, _ in pairs}) < len(pairs):
        raise argparse.ArgumentTypeError(f"each split must be named once, got {text!r}")
    try:
        return {name: float(share) for name, _, share in pairs}
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be NAME=SHARE,..., got {text!r}") from None
