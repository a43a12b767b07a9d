"""Keeps what Beam's job servers and their connections say from burying what the command says."""

from __future__ import annotations

import logging
import os
import threading

import grpc

_SERVERS = "apache_beam.utils.subprocess_server"
_CONNECTIONS = "apache_beam.runners.worker.data_plane"
# Beam sets this logger to INFO and so shows all that Prism says, whatever the root logger's level.
_PRISM = "PrismJobServer"


def quiet_job_servers() -> None:
    """Leaves warnings and errors of a job server, and of its end only what the job's error tells.

    When a job is interrupted, each thread that was connected to the server reports that by a
    traceback. `PADLESS_TRACEBACK=1` in the environment keeps all of it.
    """
    if os.environ.get("PADLESS_TRACEBACK"):
        return
    logging.getLogger(_SERVERS).addFilter(_is_no_announcement)
    logging.getLogger(_CONNECTIONS).addFilter(_is_no_lost_connection)
    logging.getLogger(_PRISM).addHandler(_PASS_WARNINGS_ON)
    logging.getLogger(_PRISM).propagate = False
    threading.excepthook = _report_thread


def _is_no_announcement(record: logging.LogRecord) -> bool:
    return not record.msg.startswith("Really ")


def _is_no_lost_connection(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], grpc.RpcError))


def _report_thread(args: threading.ExceptHookArgs) -> None:
    if not issubclass(args.exc_type, grpc.RpcError):
        threading.__excepthook__(args)


class _PassWarningsOn(logging.Handler):
    """Hands warnings and worse to the root logger: Beam's filter has found their level by now."""

    def emit(self, record: logging.LogRecord) -> None:
        """Hands one on."""
        if record.levelno >= logging.WARNING:
            logging.getLogger().handle(record)


_PASS_WARNINGS_ON = _PassWarningsOn()
