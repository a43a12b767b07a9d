"""Paths of this machine, and addresses on other file systems, such as `gs://bucket/x`."""

from __future__ import annotations

import os
import re

# As Beam tells a scheme: a path of this machine may have `://` further in.
_SCHEME = re.compile(r"[A-Za-z][-A-Za-z0-9+.]*://")


def is_local(path: str | os.PathLike[str]) -> bool:
    """Checks whether a path is on a file system of this machine.

    Example:
        >>> is_local("data/x.csv"), is_local("gs://bucket/x.csv")
        (True, False)
    """
    return _SCHEME.match(os.fspath(path)) is None


def make_absolute(path: str | os.PathLike[str]) -> str:
    """Returns a path by which other processes of this machine find the file too.

    Links and `..` in it stay as they are: after a link, `..` leads out of what it leads to.

    Example:
        >>> make_absolute("/data/../x.csv"), make_absolute("gs://bucket/x.csv")
        ('/data/../x.csv', 'gs://bucket/x.csv')
    """
    path = os.fspath(path)
    return os.path.join(os.getcwd(), path) if is_local(path) else path
