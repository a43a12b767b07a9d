"""Shows the messages of the library, which go to the logger `padless`, on standard error."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator

_LOGGER = "padless"


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
        print(text, file=sys.stderr, flush=True)
