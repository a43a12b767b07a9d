"""The `padless` command.

Exit codes: 0 done, 1 the work failed, 2 bad usage, 128 + the number of a signal that ended it (of
SIGPIPE where the reader of the output has gone, as in `padless plan data | head -1`). Each
subcommand is a module of this package with `USAGE`, `EXAMPLES`, `add_arguments(parser)` and
`run(args)`; what it needs is imported when it runs, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import select
import signal
import sys
import threading
import types
from collections.abc import Iterator

from padless.cli.arguments import ShowVersion
from padless.cli.messages import fold, messages_shown, tell
from padless.cli.parser import Parser, describe_examples, name_options
from padless.pipeline.full_disk import find_full_disk

_ENDING = (signal.SIGTERM, signal.SIGHUP)
COMMANDS = {
    "preprocess": "turn raw sequences into a dataset directory (a Beam job)",
    "verify": "read every byte of a dataset directory and compare it with its metadata",
    "doctor": "find the traps of an input pipeline of your own: TFRecords or a tf.data.Dataset",
    "plan": "show the packed steps of an epoch, and what padding would cost",
    "train": "train an autoencoder on a dataset directory, on one or several replicas",
    "embed": "write one embedding per sequence into a Parquet file",
    "score": "write embedding, anomaly score, p-value and errors into Parquet",
    "export": "write the model of a run as an ONNX file",
    "compare": "train with each way to align lengths, and compare time, memory, loss and labels",
    "report": "check a run against its data, compare it with baselines, draw a picture or a page",
}


def main(argv: list[str] | None = None) -> int:
    """Runs one subcommand and returns the exit code.

    `PADLESS_TRACEBACK=1` in the environment shows where an error came from.
    """
    args, received = argparse.Namespace(command=None), [signal.SIGINT]
    try:
        args = _parse(sys.argv[1:] if argv is None else argv)
        with (
            messages_shown(args.command, quiet=args.quiet, verbose=args.verbose),
            _interrupted_by(_ENDING, received),
        ):
            code = args.run(args) or 0
        _flush_output()
        return code
    except KeyboardInterrupt:
        word = "interrupted" if received[-1] == signal.SIGINT else "terminated"
        tell(f"{_name(args)}: {word}")
        return 128 + received[-1]
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _is_output_closed():
            return 128 + signal.SIGPIPE
        if not _is_answer(error) or os.environ.get("PADLESS_TRACEBACK"):
            raise
        text = _explain(error)
        if args.command:
            text = name_options(args.parser, text)
        tell(f"{_name(args)}: error: {text}")
        return 1


@contextlib.contextmanager
def _interrupted_by(
    signals: tuple[signal.Signals, ...], received: list[signal.Signals]
) -> Iterator[None]:
    """Lets signals that would end the process at once interrupt it, so that nothing is left.

    Args:
        signals: which; those that are ignored or handled already stay so.
        received: a signal that has come is appended.
    """

    def interrupt(number: int, frame: types.FrameType | None) -> None:
        received.append(signal.Signals(number))
        raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()
    handled = [n for n in signals if is_main and signal.getsignal(n) is signal.SIG_DFL]
    for number in handled:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)


def _name(args: argparse.Namespace) -> str:
    return f"padless {args.command}" if args.command else "padless"


def _parse(argv: list[str]) -> argparse.Namespace:
    try:
        return _parse_arguments(argv)
    except SystemExit:
        _flush_output()  # of `--help` and `--version`
        raise


def _parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = _make_parser()
    if not argv:
        parser.print_help(sys.stderr)
        parser.exit(2, "\npadless: error: the following arguments are required: COMMAND\n")
    args, unknown = parser.parse_known_args(argv)
    is_job = args.command == "preprocess" or getattr(args, "output_directory", None) is not None
    if unknown and not is_job:
        note = "; those of Apache Beam go with --output-directory" * (args.command == "score")
        args.parser.error(f"unrecognized arguments: {' '.join(unknown)}{note}")
    args.beam_arguments = unknown
    return args


def _flush_output() -> None:
    if sys.stdout is not None:  # it is None where standard output was closed from the start
        sys.stdout.flush()


def _is_output_closed() -> bool:
    """Checks whether nobody reads standard output any more; if so, drops what is left to write.

    Otherwise Python would report the same error again when it flushes the output at its end.
    """
    if sys.stdout is None:
        return False
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    if not any(event & (select.POLLERR | select.POLLHUP) for _, event in output.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _is_answer(error: Exception) -> bool:
    """Checks whether the message of an error is enough for the user, without a traceback."""
    answers = (ValueError, OSError, ArithmeticError, ImportError, RuntimeError, MemoryError)
    return isinstance(error, answers) or _is_tensorflow_error(error)


def _is_tensorflow_error(error: Exception) -> bool:
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(error, tensorflow.errors.OpError)


def _explain(error: Exception) -> str:
    if not _is_tensorflow_error(error):
        return str(error) or type(error).__name__
    text = f"TensorFlow: {getattr(error, 'message', error)}"
    if type(error).__name__ == "ResourceExhaustedError" and find_full_disk(error) is None:
        text += (
            "\nOut of memory: try a smaller --batch-size or --batch-timesteps, or fewer --units."
        )
    return text


def _make_parser() -> Parser:
    parser = Parser(
        prog="padless",
        description="Variable-length sequences to embeddings and anomaly scores, nothing padded.",
        epilog="`padless COMMAND --help` shows the options of a command and examples.",
    )
    parser.add_argument("--version", action=ShowVersion, nargs=0, help="show the version and exit")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        module = importlib.import_module(f"padless.cli.{name}")
        subparser = subparsers.add_parser(
            name,
            help=summary,
            usage=f"padless {name} {module.USAGE}",
            description=fold(f"{summary[0].upper()}{summary[1:]}."),
            epilog=describe_examples(module.EXAMPLES),
        )
        module.add_arguments(subparser)
        _add_message_arguments(subparser)
        subparser.set_defaults(run=module.run, parser=subparser)
    return parser


def _add_message_arguments(parser: Parser) -> None:
    group = parser.add_argument_group("messages").add_mutually_exclusive_group()
    quiet = "show no progress and no messages but warnings and errors"
    group.add_argument("-q", "--quiet", action="store_true", help=quiet)
    group.add_argument("-v", "--verbose", action="store_true", help="show details too")


if __name__ == "__main__":
    sys.exit(main())
