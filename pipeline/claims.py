"""Names that a process claims while it writes, so that what it leaves if it is killed is known.

A claim on `x` is the file `x.lock`, which says so and is locked: the system takes the lock back
when the process dies. What is claimed but not locked was left, and only that is ever removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator

_LOCK = ".lock"
_REMOVED = ".removed"
_MARK = (
    b"Claimed by padless: the name before .lock is its own, to be removed if nobody holds this.\n"
)


@contextlib.contextmanager
def claimed(path: pathlib.Path) -> Iterator[None]:
    """Claims a path, which need not exist, until the end; what is there then stays claimed.

    Raises:
        FileExistsError: if it is claimed.
        OSError: if the claim cannot be written.
    """
    descriptor = _acquire(_lock_of(path))
    try:
        os.write(descriptor, _MARK)
        yield
    finally:
        if not _is_left(path):
            _lock_of(path).unlink(missing_ok=True)
        os.close(descriptor)


def sweep(
    directory: pathlib.Path,
    is_wanted: Callable[[str], bool],
    remove: Callable[[pathlib.Path], bool] | None = None,
) -> None:
    """Removes what killed processes have claimed and left.

    Args:
        directory: where to look.
        is_wanted: whether a claim on a file or directory of this name is looked at.
        remove: removes what goes with a claimed path, and returns whether the claim may end; the
            path alone is removed, and the claim ended, if None.
    """
    for lock in directory.glob(f"*{_LOCK}"):
        path = lock.with_name(lock.name.removesuffix(_LOCK))
        if not is_wanted(path.name) or (descriptor := _take_over(lock)) is None:
            continue
        try:
            if remove is not None and not remove(path):
                continue
            remove_at_once(path)
            if not _is_left(path):
                lock.unlink(missing_ok=True)
        finally:
            os.close(descriptor)


def remove_at_once(path: pathlib.Path) -> None:
    """Removes a claimed file or directory, if it is there, as far as that is possible.

    A directory gets another name first, so that no part of it is ever taken for the whole, and
    nobody writes to it who knows where it was.
    """
    removed = path.with_name(path.name + _REMOVED)
    shutil.rmtree(removed, ignore_errors=True)
    with contextlib.suppress(OSError):  # it is gone, or there is no room for another name
        if path.is_dir() and not path.is_symlink():
            path.rename(removed)
        else:
            path.unlink()
    for directory in (removed, path):
        shutil.rmtree(directory, ignore_errors=True)


def is_claimed(path: pathlib.Path) -> bool:
    """Checks whether a path is claimed, by whomever."""
    return os.path.lexists(_lock_of(path))


def _lock_of(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(path.name + _LOCK)


def _is_left(path: pathlib.Path) -> bool:
    return os.path.lexists(path) or os.path.lexists(path.with_name(path.name + _REMOVED))


def _acquire(lock: pathlib.Path) -> int:
    while True:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = os.open(lock, flags, 0o644)
        # Where the file system has no locks, nobody can take the claim over either.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not is_at(descriptor, lock):  # who swept took it for left
                os.close(descriptor)
                continue
        return descriptor


def _take_over(lock: pathlib.Path) -> int | None:
    """Locks a claim that was left, or returns None if it is held or is no claim of padless."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        # An empty one is of a process that was killed before it had written.
        if _MARK.startswith(os.read(descriptor, len(_MARK) + 1)):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_at(descriptor, lock):
                return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def is_at(descriptor: int, path: pathlib.Path) -> bool:
    """Checks whether an open file is still the one at a path, which it may have been locked at."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    return False
