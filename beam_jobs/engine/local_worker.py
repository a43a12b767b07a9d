"""A worker process of the local runner: Beam's own, but quiet and leaving Ctrl-C to its parent.

Run by `padless.beam_jobs.engine.local_runner` as `python -m padless.beam_jobs.engine.local_worker`,
with the process id of the launcher, whose end is its own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys

from padless.pipeline.parent_process import end_with_parent


def main() -> None:
    """Works until the runner has no more work, or is gone.

    `PADLESS_TRACEBACK=1` in the environment shows what Beam prints in addition to what it sends.
    """
    end_with_parent(int(sys.argv.pop()))
    import grpc

    from padless.beam_jobs.engine import _beam  # noqa: F401, before Beam: it imports it quietly

    # ruff: isort: split
    from apache_beam.runners.worker import sdk_worker_main

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as the shell that starts it has done
    # What is worth knowing reaches the runner over its own channel, and there the exception.
    logging.getLogger().addHandler(logging.NullHandler())
    with contextlib.ExitStack() as stack:
        if not os.environ.get("PADLESS_TRACEBACK"):
            nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stderr(nowhere))
        # After Ctrl-C the runner is gone, and no longer receives errors.
        stack.enter_context(contextlib.suppress(grpc.RpcError))
        sdk_worker_main.main(sys.argv)


if __name__ == "__main__":
    main()
