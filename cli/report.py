"""`padless report`: what a run has come to, in words and in a picture."""

from __future__ import annotations

import argparse

from padless.cli.arguments import add_picture_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("run_directory", metavar="RUN", help="run directory of `padless train`")
    parser.add_argument(
        "--dataset", metavar="DATASET", help="dataset directory (by default the one trained on)"
    )
    add_picture_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Prints the report and draws the picture."""
    from padless.model.reporting.report import report_run

    report = report_run(args.run_directory, args.dataset)
    print(report)
    if args.picture:
        from padless.model.reporting.picture import draw_report

        draw_report(report, args.picture)
        print(f"picture: {args.picture}")
