"""A worker process of the local runner: Beam's own, but quiet and leaving Ctrl-C to its parent.

Run by `padless.beam_jobs.local_runner` as `python -m padless.beam_jobs.local_worker`.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading

import grpc

from padless.beam_jobs import _beam  # noqa: F401, first of all: it imports Beam quietly


def main() -> None:
    """Works until the runner has no more work, or is gone."""
    from apache_beam.runners.worker import sdk_worker_main

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.excepthook = _report_thread
    # What is worth knowing reaches the runner over its own channel, and there the exception.
    logging.getLogger().addHandler(logging.NullHandler())
    # Where the runner is gone, as after Ctrl-C, nobody is there to be told.
    with contextlib.suppress(grpc.RpcError):
        sdk_worker_main.main(sys.argv)


def _report_thread(args: threading.ExceptHookArgs) -> None:
    if not issubclass(args.exc_type, grpc.RpcError):
        threading.__excepthook__(args)


if __name__ == "__main__":
    main()
