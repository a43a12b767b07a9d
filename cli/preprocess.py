"""`padless preprocess`: raw sequences to a dataset directory."""

from __future__ import annotations

import argparse
import logging

from padless.beam_jobs.columns import Columns
from padless.beam_jobs.options import Output, PreprocessOptions, Rules
from padless.beam_jobs.text_format import TextFormat
from padless.cli.arguments import (
    COLUMN_OPTIONS,
    add_length_arguments,
    add_raw_arguments,
    columns_of,
    comma_separated,
    count_or_share,
    label_choice,
    offsets,
    shares,
    text_of,
)
from padless.cli.beam_arguments import add_beam_group, parse_beam_arguments
from padless.cli.json_output import add_json_argument, as_json, print_json
from padless.cli.messages import show
from padless.cli.parser import Parser, add_option, defaults_of, options_checked

OUTPUT = defaults_of(Output)
USAGE = "INPUT ... --output DATASET [options]\n                          [options of Apache Beam]"
EXAMPLES = (
    "padless preprocess runs.csv --output data --label-column machine",
    "padless preprocess runs.csv --output all --feature-columns x,y --seed 1",
)
_LOGGER = logging.getLogger(__name__)
_WITHOUT_VALIDATION = (
    "no split 'validation': p-values will compare with what the model was trained\n"
    "  on; --hold-out validation=0.2 takes a part of the split 'train' for them"
)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="files or globs: CSV, Parquet or Arrow with a row per timestep, or per sequence "
        "(--wide); Parquet or Arrow with lists; JSON lines (.jsonl); .npy; .npz; .ts; TFRecords; "
        "text files may be gzipped; tfds:NAME or tfds:DIRECTORY",
    )
    output = parser.add_argument_group("output")
    output.add_argument("--output", required=True, metavar="DATASET", help="directory to make")
    output.add_argument(
        "--overwrite", action="store_true", help="replace the dataset that is already there"
    )
    shard_bytes = "target size of a shard"
    add_option(
        output, "--shard-bytes", shard_bytes, type=int, default=OUTPUT["shard_bytes"], metavar="N"
    )
    add_json_argument(output)
    _add_split_arguments(parser.add_argument_group("splits"))
    columns = add_raw_arguments(parser)
    center = (
        "features to subtract an offset from before they become float32, such as coordinates in "
        "metres: the number, or the first value in the input; models are told (default: none)"
    )
    add_option(columns, "--center", center, type=offsets, metavar="NAME[=NUMBER],...")
    static = (
        "columns or fields, the same in all rows of a key, that hold a number, such as an age: "
        "they are carried as well, and join the embedding (default: none)"
    )
    add_option(columns, "--static-columns", static, type=comma_separated, metavar="A,B,...")
    parser.names |= {name: COLUMN_OPTIONS[name] for name in ("split", "group", "center")}
    parser.names["train_labels"] = "--train-where"
    _add_rule_arguments(parser.add_argument_group("rules for a sequence"))
    add_beam_group(parser, "Unknown options are passed to Beam")


def run(args: argparse.Namespace) -> None:
    """Runs the job and prints its report."""
    from padless.beam_jobs import preprocess
    from padless.beam_jobs.engine.quiet import beam_quieted
    from padless.beam_jobs.readers.feature_columns import describe_features
    from padless.cli.progress import progress_shown
    from padless.pipeline.dataset.names import REJECTS_FILE, TRAINING_SPLIT, VALIDATION_SPLIT

    beam_options = parse_beam_arguments(args.beam_arguments, args.parser)
    with options_checked(args.parser, COLUMN_OPTIONS):
        options = _make_options(args)
    with beam_quieted(for_good=True), progress_shown(quiet=args.quiet) as progress:
        report = preprocess(options, beam_options, progress=progress)
    if TRAINING_SPLIT in report.splits and VALIDATION_SPLIT not in (
        *report.splits,
        *report.empty_splits,
    ):
        _LOGGER.info(_WITHOUT_VALIDATION)
    if args.json:
        counts = {"dataset": args.output, "num_rejected": report.num_rejected}
        print_json(counts | as_json(report))
        return
    show(report)
    if report.num_rejected:
        show(f"  all of them: {args.output}/{REJECTS_FILE}")
    if not args.quiet:
        show(describe_features(report.num_features, report.features, report.unused_columns))


def _add_rule_arguments(group: argparse._ActionsContainer) -> None:
    add_length_arguments(group)
    labels = "the known labels; sequences with others are rejected (default: any label)"
    add_option(group, "--labels", labels, type=comma_separated, metavar="A,B,...")
    add_option(
        group,
        "--max-rejects",
        "fail, and write nothing, if more sequences are rejected: a count, or a share such as 1%% "
        "(default: any number)",
        type=count_or_share,
        metavar="LIMIT",
    )


def _add_split_arguments(group: argparse._ActionsContainer) -> None:
    splits = group.add_mutually_exclusive_group()
    add_option(
        splits,
        "--splits",
        "shares of the sequences, drawn by a stable hash of the key",
        type=shares,
        default=OUTPUT["splits"],
        metavar="NAME=SHARE,...",
    )
    column = "column or field that names the split of each sequence"
    add_option(splits, "--split-column", column, metavar="NAME")
    splits.add_argument(
        "--keep-splits",
        action="store_true",
        help="take the split from the file: the name of its directory, X_TRAIN.ts or X_TEST.ts "
        "(.tsv with --wide), or the split of a TFDS builder",
    )
    hold_out = (
        "shares of the split train to take from it as splits of these names, which no sequence "
        "may have already: where splits are drawn, --splits train=0.9,test=0.1 --hold-out "
        "validation=0.1 (default: none)"
    )
    add_option(group, "--hold-out", hold_out, type=shares, metavar="NAME=SHARE,...")
    by = (
        "column or field, such as a person or a machine, that --hold-out draws by instead of the "
        "key, so that all sequences of one value go together"
    )
    add_option(group, "--hold-out-by", by, metavar="NAME")
    labels = (
        "labels that the split train, and what is held out of it, is made of; its sequences with "
        "other labels are left out, without being rejects (default: all)"
    )
    add_option(group, "--train-where", labels, type=label_choice, metavar="label=A,B,...")
    seed = "seed of the hash that draws splits and order"
    add_option(group, "--seed", seed, type=int, default=OUTPUT["seed"], metavar="N")


def _make_options(args: argparse.Namespace) -> PreprocessOptions:
    return PreprocessOptions(
        inputs=args.inputs,
        output=Output(
            args.output,
            splits=args.splits,
            hold_out=args.hold_out or (),
            seed=args.seed,
            shard_bytes=args.shard_bytes,
            overwrite=args.overwrite,
        ),
        columns=Columns(
            **columns_of(args, split=args.split_column, group=args.hold_out_by),
            static=args.static_columns,
            center=args.center,
        ),
        rules=Rules(
            missing=args.missing,
            time_order=args.time_order,
            min_length=args.min_length,
            max_length=args.max_length,
            too_long=args.too_long,
            stride=args.stride,
            labels=args.labels,
            train_labels=_train_labels(args),
            max_rejects=args.max_rejects,
        ),
        input_format=args.input_format,
        text=TextFormat(**text_of(args)),
        keep_splits=args.keep_splits,
    )


def _train_labels(args: argparse.Namespace) -> tuple[str, ...] | None:
    """Returns the labels of `--train-where`, which begins with `label` or the column's name."""
    if args.train_where is None:
        return None
    name, labels = args.train_where
    if name not in ("label", args.label_column):
        raise ValueError(f"`train_where` must choose by the label, as in label=A,B, got {name}=...")
    return labels
