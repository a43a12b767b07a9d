"""`padless score`: embedding, anomaly score, its p-value and errors of sequences."""

from __future__ import annotations

import argparse

from padless.cli.arguments import add_inference_arguments as add_arguments
from padless.cli.inference import infer

__all__ = ["EXAMPLES", "USAGE", "add_arguments", "run"]

USAGE = "RUN INPUT ... --output FILE.parquet [options]"
EXAMPLES = (
    "padless score run data --split test --output scores.parquet",
    "padless score run new_runs.csv --label-column machine --output new_scores.parquet",
)


def run(args: argparse.Namespace) -> None:
    """Writes everything that the model says of a sequence."""
    infer(args, scores=True)
