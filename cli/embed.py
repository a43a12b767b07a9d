"""`padless embed`: one embedding per sequence."""

from __future__ import annotations

import argparse

from padless.cli.arguments import add_inference_arguments as add_arguments
from padless.cli.inference import infer

__all__ = ["add_arguments", "run"]


def run(args: argparse.Namespace) -> None:
    """Writes the embeddings; the decoder does not run."""
    from padless.model.scoring.inference import EMBEDDING

    infer(args, EMBEDDING)
