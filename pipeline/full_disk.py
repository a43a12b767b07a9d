"""A full disk is called that, whichever library has found it full."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

_NUMBERS = (errno.ENOSPC, errno.EDQUOT)


def find_full_disk(error: BaseException) -> int | None:
    """Returns the number of the system's error if a full disk or quota is the cause, or None.

    TensorFlow reports it as too little of a resource, as it does too little memory, and HDF5 in the
    text of its own error.

    Example:
        >>> find_full_disk(ValueError("x; No space left on device")) == errno.ENOSPC
        True
        >>> find_full_disk(MemoryError("x"))
    """
    for number in _NUMBERS:
        is_named = os.strerror(number) in str(error)
        if is_named or (isinstance(error, OSError) and error.errno == number):
            return number
    return None


@contextlib.contextmanager
def full_disk_named(path: str | os.PathLike) -> Iterator[None]:
    """Raises an `OSError` with the path where a full disk has any library fail.

    Raises:
        OSError: in place of whatever says so.
    """
    try:
        yield
    except Exception as error:
        if (number := find_full_disk(error)) is None:
            raise
        raise OSError(number, os.strerror(number), os.fspath(path)) from error
