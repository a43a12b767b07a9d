"""Shows results on standard output, and messages on standard error, no wider than the terminal.

Both are folded on a terminal only: in a file, a pipe or a log each stays the line that it is, so
that it can be searched for and cut. Messages are what the library sends to the logger `padless`.
Code, JSON and progress have their own form.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import TextIO

_LOGGER = "padless"


def fold(text: str, width: int = 80) -> str:
    """Folds lines that are too wide; what follows is indented, and no word is cut.

    Example:
        >>> print(fold("  read 4 files", 10))
          read 4
            files
    """
    return "\n".join(part for line in text.split("\n") for part in _fold_line(line, width))


def _fold_line(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    indent = line[: len(line) - len(line.lstrip(" "))]
    return textwrap.wrap(
        line,
        width,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def show(result: object) -> None:
    """Prints a result on standard output."""
    print(_folded(str(result), sys.stdout), flush=True)


def tell(message: str) -> None:
    """Prints a message on standard error, whichever file that is at the time."""
    print(_folded(message, sys.stderr), file=sys.stderr, flush=True)


def _folded(text: str, stream: TextIO | None) -> str:
    return fold(text, shutil.get_terminal_size().columns) if _is_terminal(stream) else text


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


@contextlib.contextmanager
def messages_shown(command: str, *, quiet: bool = False, verbose: bool = False) -> Iterator[None]:
    """Shows messages while a command runs.

    Args:
        command: its name, which goes before warnings.
        quiet: whether to show only warnings and errors.
        verbose: whether to show details too.
    """
    logger, handler = logging.getLogger(_LOGGER), MessageHandler(command)
    before = logger.level, logger.propagate
    logger.setLevel(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)
    # A library may have given the root logger a handler, which would show each message again.
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


class MessageHandler(logging.Handler):
    """Prints messages on standard error, whichever file that is at the time.

    Args:
        command: name of the command, which goes before warnings.
    """

    def __init__(self, command: str):
        super().__init__()
        self._command = command

    def emit(self, record: logging.LogRecord) -> None:
        """Prints a message."""
        text = record.getMessage()
        if record.levelno >= logging.WARNING:
            text = f"padless {self._command}: {record.levelname.lower()}: {text}"
        tell(text)
