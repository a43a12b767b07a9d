"""`padless report`: what a run has come to, in words, in a picture and as a page."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from padless.cli.arguments import add_picture_argument
from padless.cli.json_output import add_json_argument, as_json, print_json
from padless.cli.messages import show
from padless.cli.parser import Parser, add_option, name_options
from padless.pipeline.wording import list_names

if TYPE_CHECKING:
    from padless.model import RunReport, Summary
    from padless.pipeline import ShowProgress

USAGE = "RUN [options]"
EXAMPLES = (
    "padless report run --dataset data --picture report.png",
    "padless report run --html report.html",
)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments."""
    parser.names |= {"directory": "--dataset", "patch_length": "--patch-length"}
    parser.add_argument("run_directory", metavar="RUN", help="run directory of `padless train`")
    report = parser.add_argument_group("report")
    dataset = "dataset directory to check the run on (default: the one that it was trained on)"
    add_option(report, "--dataset", dataset, metavar="DATASET")
    add_json_argument(report)
    add_picture_argument(report)
    html = "write a page with charts, explained anomalies and a table into this file; needs "
    report.add_argument("--html", metavar="FILE.html", help=f"{html}`pip install 'padless[html]'`")
    normal = "label that is normal, may be repeated: --html then shows how well scores find the "
    add_option(
        report,
        "--normal",
        f"{normal}others (default: the labels of --train-where)",
        action="append",
        metavar="LABEL",
    )


def run(args: argparse.Namespace) -> None:
    """Prints the report, draws the picture and writes the page."""
    from padless.cli.progress import progress_shown
    from padless.model import report_run

    _check_outputs(args)
    with progress_shown(quiet=args.quiet) as progress:
        report = report_run(
            args.run_directory, args.dataset, details=bool(args.html), progress=progress
        )
    # Before the files, which may fail.
    if args.json:
        print_json(_as_dict(report) | {"picture": args.picture, "html": args.html})
    else:
        show(name_options(args.parser, str(report)))
    with progress_shown(quiet=args.quiet) as progress:
        _write_files(report, args, progress)
    for name in ("picture", "html"):
        if (file := getattr(args, name)) and not args.json:
            show(f"{name}: {file}")


def _check_outputs(args: argparse.Namespace) -> None:
    """Checks that the files can be written, before the work begins."""
    if args.normal and not args.html:
        args.parser.error(f"--normal goes with --html, got {list_names(args.normal)} alone")
    if args.picture:
        from padless.pipeline.figures import check_picture

        check_picture(args.picture)
    if args.html:
        from padless.model.html_report.check import check_html

        check_html(args.html)


def _write_files(report: RunReport, args: argparse.Namespace, progress: ShowProgress) -> None:
    if args.picture:
        from padless.model import draw_report

        draw_report(report, args.picture)
    if args.html:
        from padless.model import write_html

        write_html(report, args.html, normal=args.normal, progress=progress)


def _as_dict(report: RunReport) -> dict[str, Any]:
    splits = report.dataset.splits
    return {
        "run": report.run,
        "dataset": report.dataset.name,
        "sequences": {name: split.num_sequences for name, split in splits.items()},
        "rejected": report.rejected,
        "training_sequences": None if report.plan is None else report.plan.num_sequences,
        "epoch": report.epoch,
        "splits": {name: _split_as_dict(summary) for name, summary in report.summaries.items()},
        "example_split": report.example_split,
        "length_bias": report.length_bias,
        "history": report.history,
    }


def _split_as_dict(summary: Summary) -> dict[str, Any]:
    """Returns what a split's summary holds, but for its name, which is the key."""
    found = as_json(summary) | {"warnings": summary.warnings()}
    del found["split"], found["is_trained_on"]
    return found
