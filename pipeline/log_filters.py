"""Drops records that other packages log, for a while."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def records_dropped(name: str, drops: Callable[[logging.LogRecord], bool]) -> Iterator[None]:
    """Drops the records of a logger for which `drops` is true; those of loggers below it stay."""

    def keep(record: logging.LogRecord) -> bool:
        return not drops(record)

    logger = logging.getLogger(name)
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


@contextlib.contextmanager
def notes_dropped(name: str) -> Iterator[None]:
    """Drops the records of a logger that are no warnings."""
    with records_dropped(name, lambda record: record.levelno < logging.WARNING):
        yield
