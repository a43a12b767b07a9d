"""Which name was meant by one that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def find_similar(name: str, known: Iterable[str], *, similarity: float = 0.6) -> str | None:
    """Returns the known name that is most similar, whatever its case, or None.

    Args:
        name: what was given.
        known: the names that there are.
        similarity: how similar the two must be at least: 0 is not at all, 1 is equal.

    Example:
        >>> find_similar("tarin", ["test", "train"])
        'train'
    """
    folded = {one.casefold(): one for one in known}
    matches = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=similarity)
    return folded[matches[0]] if matches else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns a question that names the most similar name, to end a message with, or nothing.

    A number is not taken for another one.

    Example:
        >>> did_you_mean("Time", ["machine", "time"])
        " Did you mean 'time'?"
        >>> did_you_mean("pressure", ["machine", "time"])
        ''
        >>> did_you_mean("12", ["1", "2"])
        ''
    """
    similar = None if name.isdecimal() else find_similar(name, known)
    return "" if similar is None else f" Did you mean {similar!r}?"
