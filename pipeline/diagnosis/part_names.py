"""The names by which lengths and keys are told from other parts."""

from __future__ import annotations

import re

_LENGTH_NAME = re.compile(
    r"(seq(uence)?_?|num_?|n_?)?(len|lens|length|lengths|timesteps|frames|steps)", re.IGNORECASE
)
_KEY_NAME = re.compile(r"(\w+_)?(key|id|name|uid|uuid)", re.IGNORECASE)


def is_length_name(name: str) -> bool:
    """Checks whether a name is one that lengths have.

    Example:
        >>> [n for n in ("length", "seq_len", "num_frames", "width", "time") if is_length_name(n)]
        ['length', 'seq_len', 'num_frames']
    """
    return _LENGTH_NAME.fullmatch(name) is not None


def is_key_name(name: str) -> bool:
    """Checks whether a name is one that keys have.

    Example:
        >>> [name for name in ("key", "utterance_id", "label") if is_key_name(name)]
        ['key', 'utterance_id']
    """
    return _KEY_NAME.fullmatch(name) is not None
