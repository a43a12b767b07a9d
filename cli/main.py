"""The `padless` command.

Exit codes: 0 done, 1 the work failed, 2 bad usage, 128 + the number of a signal that ended it. Each
subcommand is a module of this package with `add_arguments(parser)` and `run(args)`; what it needs
is imported when it runs, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys

from padless.cli.arguments import HelpFormatter, ShowVersion

COMMANDS = {
    "preprocess": "turn raw sequences into a dataset directory (a Beam job)",
    "verify": "read every byte of a dataset directory and compare it with its metadata",
    "plan": "show the equal-length batches and steps of an epoch, and what padding would cost",
    "train": "train an autoencoder on a dataset directory, on one or several replicas",
    "embed": "write one embedding per sequence into a Parquet file",
    "score": "write embedding, anomaly score, p-value and errors into a Parquet file",
    "compare": "train with each way to align lengths, and compare time, memory, loss and labels",
    "report": "check a run against its data, compare its loss with baselines, draw a picture",
}
NEED_TENSORFLOW = ("train", "embed", "score", "compare", "report")


def main(argv: list[str] | None = None) -> int:
    """Runs one subcommand and returns the exit code.

    `PADLESS_TRACEBACK=1` in the environment shows where an error came from.
    """
    parser = _make_parser()
    args, unknown = parser.parse_known_args(argv)
    if unknown and args.command != "preprocess":
        args.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    args.beam_arguments = unknown
    try:
        if args.command in NEED_TENSORFLOW:
            from padless.pipeline.tensorflow_start import start_tensorflow

            start_tensorflow()
        return args.run(args) or 0
    except KeyboardInterrupt:
        print(f"padless {args.command}: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if not _is_answer(error) or os.environ.get("PADLESS_TRACEBACK"):
            raise
        print(f"padless {args.command}: error: {_explain(error)}", file=sys.stderr)
        return 1


def _is_answer(error: Exception) -> bool:
    """Tells an error whose message answers the user from one that only a traceback explains."""
    answers = (ValueError, OSError, ArithmeticError, ImportError, RuntimeError, MemoryError)
    return isinstance(error, answers) or _is_tensorflow_error(error)


def _is_tensorflow_error(error: Exception) -> bool:
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(error, tensorflow.errors.OpError)


def _explain(error: Exception) -> str:
    if not _is_tensorflow_error(error):
        return str(error) or type(error).__name__
    text = f"TensorFlow: {error.message}"
    if type(error).__name__ == "ResourceExhaustedError":
        text += (
            "\nOut of memory: try a smaller --batch-size or --batch-timesteps, or fewer --units."
        )
    return text


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="padless",
        description="Variable-length sequences to embeddings and anomaly scores, nothing padded.",
    )
    parser.add_argument("--version", action=ShowVersion, nargs=0, help="show the version and exit")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        module = importlib.import_module(f"padless.cli.{name}")
        subparser = subparsers.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            allow_abbrev=False,
            formatter_class=HelpFormatter,
        )
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run, parser=subparser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
