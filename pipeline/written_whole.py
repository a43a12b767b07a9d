"""Files and directories that are whole or not there: the one way to write them."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import secrets
import shutil
from collections.abc import Iterator
from typing import TypeVar

from padless.pipeline.claims import claimed, sweep
from padless.pipeline.full_disk import full_disk_named
from padless.pipeline.paths import is_local

# Hidden, so that a reader of all files of a folder leaves out what is being written.
_UNFINISHED = ".incomplete."

_Path = TypeVar("_Path", bound=pathlib.Path)


@contextlib.contextmanager
def written_whole(path: _Path, *, durable: bool = False, shared: bool = False) -> Iterator[_Path]:
    """Yields the path beside `path` where it is to be written, and moves it there on success.

    Where the writer fails, what it has written is deleted, and what was at `path` before is still
    there. What a killed writer has left is overwritten by the next one. A writer that is killed
    while it replaces a directory may leave the old one beside it, by a hidden name.

    Args:
        path: file or directory; one that exists is replaced.
        durable: whether the file is also brought to the disk, so that it outlives a loss of power.
        shared: whether several processes may write `path` at the same time. Each then has a name of
            its own to write to; the next one removes what a killed one has left.

    Raises:
        OSError: if it cannot be moved to its place; if the disk is full, in place of what a library
            makes of that.

    Example:
        >>> import tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "notes.txt"
        >>> with written_whole(path) as beside:
        ...     _ = beside.write_text("whole")
        >>> path.read_text()
        'whole'
    """
    name = f"{secrets.token_hex(4)}.{path.name}" if shared else path.name
    beside = path.with_name(unfinished(name))
    with _claimed_of(path, beside) if shared else contextlib.nullcontext():
        if beside.is_dir():
            _delete(beside)
        try:
            with full_disk_named(path):
                yield beside
                if durable:
                    _sync(beside)
                _move(beside, path)
        except BaseException:
            _delete(beside)
            raise
    if durable:
        _sync(path.parent)


@contextlib.contextmanager
def _claimed_of(path: pathlib.Path, beside: pathlib.Path) -> Iterator[None]:
    """Claims a name to write to, after what killed writers of the same file left is removed."""
    if not is_local(path):  # where there are no locks
        yield
        return
    pattern = re.compile(re.escape(_UNFINISHED) + r"[0-9a-f]{8}\." + re.escape(path.name))
    sweep(pathlib.Path(path.parent), lambda name: pattern.fullmatch(name) is not None)
    with claimed(pathlib.Path(beside)):
        yield


def unfinished(name: str) -> str:
    """Returns the name of a file or directory while it is written.

    Example:
        >>> unfinished("config.json")
        '.incomplete.config.json'
    """
    return _UNFINISHED + name


def is_unfinished(name: str) -> bool:
    """Checks whether a name is that of something that is being written, or was not finished."""
    return name.startswith(_UNFINISHED)


def delete_unfinished(directory: pathlib.Path) -> None:
    """Deletes what killed writers have left in a directory that nobody writes to now."""
    for leftover in directory.glob(f"{_UNFINISHED}*"):
        _delete(leftover)


def _move(beside: pathlib.Path, path: pathlib.Path) -> None:
    """Moves a file or directory to its place; what was there is kept if that fails."""
    if not beside.is_dir():
        beside.replace(path)
        return
    # A directory cannot replace another. A killed writer may have left the old one.
    old = path.with_name(unfinished(f"old.{path.name}"))
    if path.exists():
        _delete(old)
        path.replace(old)
    try:
        beside.replace(path)
    except BaseException:
        if old.exists():
            old.replace(path)
        raise
    _delete(old)


def _delete(path: pathlib.Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
