"""`padless verify`: every record of a dataset against its CRCs, its contract and the metadata."""

from __future__ import annotations

import argparse

from padless.cli.json_output import add_json_argument, as_json, print_json
from padless.cli.messages import show
from padless.cli.parser import Parser

USAGE = "DATASET [options]"
EXAMPLES = ("padless verify data", "padless verify data --all")


def add_arguments(parser: Parser) -> None:
    """Adds the arguments."""
    parser.add_argument("dataset", metavar="DATASET", help="dataset directory")
    report = parser.add_argument_group("report")
    report.add_argument(
        "--all",
        action="store_true",
        help="name every fault (default: the first five of each file, 20 in all; all are counted)",
    )
    add_json_argument(report)


def run(args: argparse.Namespace) -> int:
    """Prints the report; returns 1 if there is a fault."""
    from padless.cli.progress import progress_shown
    from padless.pipeline import verify_dataset

    limit = {"faults_per_file": None} if args.all else {}
    with progress_shown(quiet=args.quiet) as progress:
        report = verify_dataset(args.dataset, progress=progress, **limit)
    if args.json:
        found = {"ok": report.ok, "num_faults": report.num_faults}
        print_json(found | as_json(report))
    else:
        show(report.describe() if args.all else report)
    return 0 if report.ok else 1
