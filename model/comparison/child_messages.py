"""What the process of a compared run sends to its parent: progress and messages, as JSON lines."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Iterable
from typing import TextIO

from padless.pipeline.progress import Progress, ShowProgress

_LOGGER = "padless"
_SECONDS_BETWEEN = 0.1


class MessagePipe(logging.Handler):
    """Writes progress and log messages into a pipe; of the steps of an epoch ten a second.

    Args:
        pipe: to the parent.
    """

    def __init__(self, pipe: TextIO):
        super().__init__()
        self._pipe, self._work, self._due = pipe, "", 0.0

    def start(self) -> None:
        """Sends from now on what padless logs, at every level: the parent chooses."""
        logger = logging.getLogger(_LOGGER)
        logger.addHandler(self)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Sends a log message."""
        self._write(log={"level": record.levelno, "message": record.getMessage()})

    def show(self, progress: Progress) -> None:
        """Sends how far the run is."""
        now = time.monotonic()
        if progress.work != self._work or progress.is_over or now >= self._due:
            self._work, self._due = progress.work, now + _SECONDS_BETWEEN
            self._write(progress=dataclasses.asdict(progress))

    def _write(self, **message: dict) -> None:
        self._pipe.write(f"{json.dumps(message)}\n")
        self._pipe.flush()


def pass_on(lines: Iterable[str], name: str, progress: ShowProgress) -> None:
    """Passes on what a run sends, until it ends, each message after the name of the run.

    Args:
        lines: what `MessagePipe` wrote.
        name: of the run.
        progress: called with how far it is.
    """
    logger = logging.getLogger(__name__)
    for line in lines:
        if not line.endswith("\n"):  # the process was killed
            return
        message = json.loads(line)
        if "log" in message:
            logger.log(message["log"]["level"], "%s: %s", name, message["log"]["message"])
        else:
            of_run = Progress(**message["progress"])
            progress(dataclasses.replace(of_run, work=f"{name}, {of_run.work}"))
