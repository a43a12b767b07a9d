"""`padless export`: the model of a run in a form that other programs run."""

from __future__ import annotations

import argparse

from padless.cli.messages import show
from padless.cli.parser import Parser

USAGE = "RUN --onnx FILE.onnx"
EXAMPLES = (
    "padless export run --onnx model.onnx",
    "padless export run --onnx model.onnx --quiet",
)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments."""
    parser.names["path"] = "--onnx"
    parser.add_argument("run_directory", metavar="RUN", help="run directory of `padless train`")
    export = parser.add_argument_group("export")
    onnx = "write the model, with scores and p-values, into this file; needs "
    export.add_argument(
        "--onnx", required=True, metavar="FILE.onnx", help=f"{onnx}`pip install 'padless[onnx]'`"
    )


def run(args: argparse.Namespace) -> None:
    """Writes the file."""
    from padless.model import export_onnx

    export_onnx(args.run_directory, args.onnx)
    show(f"onnx: {args.onnx}")
