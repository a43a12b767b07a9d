"""A worker process of the local runner: Beam's own, but quiet and leaving Ctrl-C to its parent.

Run by `padless.beam_jobs.local_runner` as `python -m padless.beam_jobs.local_worker`.
"""

from __future__ import annotations

import logging
import signal
import sys

from padless.beam_jobs import _beam  # noqa: F401, first of all: it imports Beam quietly


def main() -> None:
    """Works until the runner has no more work, or is gone."""
    from apache_beam.runners.worker import sdk_worker_main

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What is worth knowing reaches the runner over its own channel, and there the exception.
    logging.getLogger().addHandler(logging.NullHandler())
    sdk_worker_main.main(sys.argv)


if __name__ == "__main__":
    main()
