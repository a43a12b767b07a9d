"""`padless embed`: one embedding per sequence."""

from __future__ import annotations

import argparse

from padless.cli.arguments import add_inference_arguments as add_arguments
from padless.cli.inference import infer

__all__ = ["EXAMPLES", "USAGE", "add_arguments", "run"]

USAGE = "RUN INPUT ... --output FILE.parquet [options]"
EXAMPLES = (
    "padless embed run data --split test --output embeddings.parquet",
    "padless embed run new_runs.csv --label-column machine --output new.parquet",
)


def run(args: argparse.Namespace) -> None:
    """Writes the embeddings; the decoder does not run."""
    infer(args, scores=False)
