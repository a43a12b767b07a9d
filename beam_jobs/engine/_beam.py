"""Imports Beam without its warning of missing Google Cloud clients, which padless does not use.

Nor does gRPC, which Beam imports, tell of connections that end; `GRPC_VERBOSITY` says otherwise.
"""

import contextlib
import logging
import os
from collections.abc import Iterator


@contextlib.contextmanager
def _root_logger_silenced() -> Iterator[None]:
    """Drops all records of the root logger.

    The null handler keeps `logging.warning` from configuring the root logger of a program that has
    not done so itself.
    """
    root, drop, null = logging.getLogger(), lambda record: False, logging.NullHandler()
    root.addFilter(drop)
    root.addHandler(null)
    try:
        yield
    finally:
        root.removeFilter(drop)
        root.removeHandler(null)


os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # before it is loaded
with _root_logger_silenced():
    import apache_beam  # noqa: F401
