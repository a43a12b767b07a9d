"""One process at a time writes into a run directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import socket
from collections.abc import Iterator

from padless.pipeline.claims import is_at
from padless.pipeline.full_disk import full_disk_named

LOCK_FILE = "lock"


@contextlib.contextmanager
def locked(directory: pathlib.Path) -> Iterator[None]:
    """Holds the directory's lock, which the system takes back when the process dies.

    Raises:
        RuntimeError: if a running process holds it.
    """
    path = directory / LOCK_FILE
    descriptor = _acquire(path)
    try:
        with full_disk_named(path):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        # Deleted while it is held: who waits for it sees in `is_at` that it is gone.
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(path: pathlib.Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 200).decode(errors="replace") or "another process"
            os.close(descriptor)
            raise RuntimeError(
                f"{path.parent}: the run directory is written by {holder}, which still runs. "
                "Wait for it, or stop it and resume the run."
            ) from None
        if is_at(descriptor, path):
            return descriptor
        os.close(descriptor)
