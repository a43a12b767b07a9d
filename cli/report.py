"""`padless report`: what a run has come to, in words and in a picture."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from padless.cli.arguments import add_picture_argument
from padless.cli.json_output import add_json_argument, as_json, print_json
from padless.cli.parser import Parser, add_option

if TYPE_CHECKING:
    from padless.model import RunReport, Summary

USAGE = "RUN [options]"
EXAMPLES = ("padless report run", "padless report run --dataset data --picture report.png")


def add_arguments(parser: Parser) -> None:
    """Adds the arguments."""
    parser.names["directory"] = "--dataset"
    parser.add_argument("run_directory", metavar="RUN", help="run directory of `padless train`")
    report = parser.add_argument_group("report")
    dataset = "dataset directory to check the run on (default: the one that it was trained on)"
    add_option(report, "--dataset", dataset, metavar="DATASET")
    add_json_argument(report)
    add_picture_argument(report)


def run(args: argparse.Namespace) -> None:
    """Prints the report and draws the picture."""
    from padless.cli.progress import progress_shown
    from padless.model import report_run
    from padless.pipeline.figures import check_picture

    if args.picture:
        check_picture(args.picture)
    with progress_shown(quiet=args.quiet) as progress:
        report = report_run(args.run_directory, args.dataset, progress=progress)
    if args.picture:
        from padless.model import draw_report

        draw_report(report, args.picture)
    if args.json:
        print_json(_as_dict(report) | {"picture": args.picture})
        return
    print(report)
    if args.picture:
        print(f"picture: {args.picture}")


def _as_dict(report: RunReport) -> dict[str, Any]:
    splits = report.dataset.splits
    return {
        "run": report.run,
        "dataset": report.dataset.name,
        "sequences": {name: split.num_sequences for name, split in splits.items()},
        "rejected": report.rejected,
        "training_sequences": report.plan.num_sequences,
        "epoch": report.epoch,
        "splits": {name: _split_as_dict(summary) for name, summary in report.summaries.items()},
        "example_split": report.example_split,
        "length_bias": report.length_bias,
        "history": report.history,
    }


def _split_as_dict(summary: Summary) -> dict[str, Any]:
    """Returns what a split's summary holds, but for its name, which is the key."""
    found = as_json(summary) | {"warnings": summary.warnings()}
    del found["split"]
    return found
