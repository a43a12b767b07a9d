"""`padless report`: what a run has come to, in words and in a picture."""

from __future__ import annotations

import argparse

from padless.cli.arguments import add_picture_argument
from padless.cli.parser import Parser, add_option

USAGE = "RUN [options]"
EXAMPLES = ("padless report run", "padless report run --dataset data --picture report.png")


def add_arguments(parser: Parser) -> None:
    """Adds the arguments."""
    parser.names["directory"] = "--dataset"
    parser.add_argument("run_directory", metavar="RUN", help="run directory of `padless train`")
    report = parser.add_argument_group("report")
    dataset = "dataset directory to check the run on (default: the one that it was trained on)"
    add_option(report, "--dataset", dataset, metavar="DATASET")
    add_picture_argument(report)


def run(args: argparse.Namespace) -> None:
    """Prints the report and draws the picture."""
    from padless.model.reporting.report import report_run

    report = report_run(args.run_directory, args.dataset)
    print(report)
    if args.picture:
        from padless.model.reporting.picture import draw_report

        draw_report(report, args.picture)
        print(f"picture: {args.picture}")
